"""Plugin for pytest, tested by separate runs of pytest: recorded, then without a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe.integrations.pytest import _parse_mark
from examples.llmserver.server import run_model_server

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.timeout(300)  # they start processes, on a machine that may be busy
NO_NETWORK = """
import socket
import pytest

def refuse(*args, **kwargs):
    raise AssertionError("a test used the network")

@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
"""
SUITE = """
import os
import asyncio
import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from aiocache_pe import CacheManager, cached
from aiocache_pe.integrations.httpx2 import AsyncCacheTransport, CacheTransport

pytestmark = pytest.mark.aiocache_recording
client_args = {"api_key": "sk-very-secret-0123456789", "base_url": os.environ["MODEL_URL"]}
chat = {"model": "tiny", "messages": [{"role": "user", "content": os.environ.get("ASK", "Why?")}]}

async def test_async():
    transport = AsyncCacheTransport(CacheManager("memory"))
    async with httpx2.AsyncClient(transport=transport) as http:
        client = AsyncOpenAI(http_client=http, **client_args)
        answer = await client.chat.completions.create(**chat)
        assert answer.choices[0].message.content.startswith("You asked 1 words")
        stream = await client.chat.completions.create(stream=True, **chat)
        words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
        assert "".join(word or "" for word in words) == answer.choices[0].message.content

def test_blocking():
    with httpx2.Client(transport=CacheTransport(CacheManager("memory"))) as http:
        client = OpenAI(http_client=http, **client_args)
        vectors = client.embeddings.create(model="e", input=["a", "b"]).data
        assert len(vectors) == 2

@cached(backend="memory")
async def fetch(path: str) -> str:
    async with httpx2.AsyncClient() as http:
        body = {"model": "tiny", "input": path}
        return (await http.post(client_args["base_url"] + path, json=body)).text

@pytest.mark.parametrize("path", ["/embeddings", "/responses"])
async def test_function(path):
    assert "tiny" in await fetch(path)

@pytest.fixture
async def vectors():
    return await fetch("/embeddings")

async def test_fixture(vectors, aiocache_recording):
    assert "tiny" in vectors
    assert len(aiocache_recording.used()) == 1
"""
NUMBERS = """
import pytest
from aiocache_pe.sync import cached

@cached(backend="memory")
def double(number):
    return 2 * number

@pytest.mark.aiocache_recording("numbers")
@pytest.mark.parametrize("number", {numbers})
def test_number(number):
    assert double(number) == 2 * number
"""
UNUSUAL_TESTS = """
import os
import pytest
from aiocache_pe import recording
from aiocache_pe.sync import cached

@cached(backend="memory")
def ask(question):
    return question.upper()

class TestClass:
    @pytest.mark.parametrize("text", ["a/../b c", "plain"])
    def test_with_parameters(self, text, aiocache_recording):
        assert ask(text) == text.upper()

@pytest.mark.aiocache_recording
def test_that_hides_errors():
    try:
        ask("hidden")
    except Exception:
        pass

@pytest.mark.aiocache_recording
def test_that_fails_otherwise():
    try:
        ask("hidden")
    except Exception:
        raise ValueError("no answer") from None

@pytest.mark.aiocache_recording
def test_in_a_block_of_its_own(tmp_path):
    with recording(tmp_path) as own:
        try:
            ask("own")
        except LookupError:
            own.unrecorded.clear()
    assert len(list(tmp_path.iterdir())) == (os.environ["AIOCACHE_PE_RECORD"] == "record")

@pytest.mark.aiocache_recording
def test_skipped():
    pytest.skip("not today")

def test_without():
    assert ask("anything") == "ANYTHING"
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs pytest in a process, with few plugins to save time."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:9/v1")

    def run_pytest(*args: Any, plugins: tuple[str, ...] = ("asyncio", "aiocache_pe")) -> Any:
        for name in plugins:
            args = ("-p", name, *args)
        return pytester.runpytest_subprocess(*args, "-p", "no:cacheprovider", timeout=120)

    return run_pytest


def read_recordings(pytester: pytest.Pytester) -> dict[str, bytes]:
    root = pytester.path / "recordings"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.json")}


def test_a_recorded_suite_runs_without_a_network(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_model=SUITE)
    with run_model_server() as server:
        monkeypatch.setenv("MODEL_URL", f"{server.url}/v1")
        run("--aiocache-record=record").assert_outcomes(passed=5)
        sent, first = len(server.requests), read_recordings(pytester)
        assert (sent, len(first)) == (6, 6)
    assert not any(b"sk-very-secret" in text for text in first.values())
    pytester.makeconftest(NO_NETWORK)
    run("--aiocache-unused=list").assert_outcomes(passed=5)
    monkeypatch.setenv("ASK", "What?")
    failed = run()
    failed.assert_outcomes(failed=1, passed=4)
    failed.stdout.fnmatch_lines(
        [
            "E * no recording of 127.0.0.1:*/v1/chat/completions tiny in recordings/*/test_async",
            'E * asked: {*"What?"*',
            "E * nearest: chat-completions-why-*.json",
            "E * messages[[]0[]].content: recorded 'Why?', asked 'What?'",
            "E * record it: pytest 'test_model.py::test_async' --aiocache-record=record",
        ]
    )
    assert read_recordings(pytester) == first


def test_unused_recordings_are_listed_and_removed_also_with_several_workers(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2, 3, 4]))
    run("--aiocache-record=record").assert_outcomes(passed=4)
    assert sorted(name[:15] for name in read_recordings(pytester)) == ["numbers/double-"] * 4
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2, 3]))
    result = run("--aiocache-unused=list", "-n2", plugins=("xdist", "aiocache_pe", "asyncio"))
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["not used: recordings/numbers/double-*.json", "1 recordings not used"]
    )
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2, 5]))
    result = run("--aiocache-unused=remove")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["0 recordings removed"])  # a failed test may need more
    run("--aiocache-unused=remove", "--aiocache-record=off").stdout.fnmatch_lines(
        ["0 recordings removed"]  # no test used them
    )
    stopped = run("--aiocache-unused=remove", "-x")
    stopped.stdout.fnmatch_lines(["unused recordings are unknown, because not all tests ran"])
    assert len(read_recordings(pytester)) == 4
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2]))
    run("--aiocache-unused=remove").stdout.fnmatch_lines(["2 recordings removed"])
    assert len(read_recordings(pytester)) == 2


def test_tests_of_all_kinds_are_recorded(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_unusual=UNUSUAL_TESTS)
    failed = run("--aiocache-record=replay")
    failed.assert_outcomes(passed=2, failed=4, skipped=1)
    failed.stdout.fnmatch_lines(
        [
            "*no recording of test_unusual.ask in recordings/test_unusual/*test_that_hides_errors",
            "E * ValueError: no answer",
            "E * no recording of test_unusual.ask in *",
        ]
    )
    run("--aiocache-record=record").assert_outcomes(passed=6, skipped=1)
    folders = sorted({name.rpartition("/")[0] for name in read_recordings(pytester)})
    assert [folder.partition("c-")[0] for folder in folders] == [
        "test_unusual/TestClass.test_with_parameters-a-..-b-",
        "test_unusual/TestClass.test_with_parameters-plain",
        "test_unusual/test_that_fails_otherwise",
        "test_unusual/test_that_hides_errors",
    ]
    for path in (pytester.path / "recordings").rglob("*.json"):
        path.write_text("{}")
    broken = run("--aiocache-record=replay", "-k", "plain")
    broken.assert_outcomes(errors=1)
    broken.stdout.fnmatch_lines(
        ["*test_with_parameters-plain/ask-plain-*.json is not a recording*"]
    )


@pytest.mark.parametrize(("args", "kwargs"), [((5,), {}), (("a", "b"), {}), ((), {"mode": "off"})])
def test_other_arguments_of_a_mark_are_refused(args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a directory; got 5|takes from 0 to 1|'mode'"):
        _parse_mark(*args, **kwargs)


def test_a_run_without_recordings_does_not_import_the_recorder(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("""
        import sys

        def test_it():
            imported = {name for name in sys.modules if name.startswith("aiocache_pe.")}
            names = {"aiocache_pe._exports", "aiocache_pe._version"}
            plugin = {"aiocache_pe.integrations", "aiocache_pe.integrations.pytest"}
            assert imported == names | plugin
    """)
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cov", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert "1 passed" in process.stdout, process.stdout
    assert "aiocache_pe-" in process.stdout  # found by its entry point
