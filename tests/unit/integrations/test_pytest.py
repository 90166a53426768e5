"""The plugin for pytest, in runs of pytest of their own: recorded, then without a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aiocache_pe.integrations.pytest import _given as given
from examples.llmserver.server import run_model_server

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.timeout(300)  # they begin processes, on a machine that may be busy
NO_NETWORK = """
import socket
import pytest

def refuse(*args, **kwargs):
    raise AssertionError("somebody asked the network")

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
told = {"api_key": "sk-very-secret-0123456789", "base_url": os.environ["MODEL_URL"]}
chat = {"model": "tiny", "messages": [{"role": "user", "content": os.environ.get("ASK", "Why?")}]}

async def test_async():
    transport = AsyncCacheTransport(CacheManager("memory"))
    async with httpx2.AsyncClient(transport=transport) as http:
        client = AsyncOpenAI(http_client=http, **told)
        answer = await client.chat.completions.create(**chat)
        assert answer.choices[0].message.content.startswith("You asked 1 words")
        stream = await client.chat.completions.create(stream=True, **chat)
        words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
        assert "".join(word or "" for word in words) == answer.choices[0].message.content

def test_blocking():
    with httpx2.Client(transport=CacheTransport(CacheManager("memory"))) as http:
        client = OpenAI(http_client=http, **told)
        vectors = client.embeddings.create(model="e", input=["a", "b"]).data
        assert len(vectors) == 2

@cached(backend="memory")
async def fetch(path: str) -> str:
    async with httpx2.AsyncClient() as http:
        asked = {"model": "tiny", "input": path}
        return (await http.post(told["base_url"] + path, json=asked)).text

@pytest.mark.parametrize("path", ["/embeddings", "/responses"])
async def test_function(path):
    assert "tiny" in await fetch(path)

@pytest.fixture
async def asked():
    return await fetch("/embeddings")

async def test_fixture(asked, aiocache_recording):
    assert "tiny" in asked
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
ODDITIES = """
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
    """Runs pytest in a process of its own, with few plugins, which is quick."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:9/v1")

    def run_it(*args: Any, plugins: tuple[str, ...] = ("asyncio", "aiocache_pe")) -> Any:
        for name in plugins:
            args = ("-p", name, *args)
        return pytester.runpytest_subprocess(*args, "-p", "no:cacheprovider", timeout=120)

    return run_it


def recorded(pytester: pytest.Pytester) -> dict[str, bytes]:
    home = pytester.path / "recordings"
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*.json")}


def test_a_suite_runs_without_a_network_from_what_was_recorded(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_model=SUITE)
    with run_model_server() as server:
        monkeypatch.setenv("MODEL_URL", f"{server.url}/v1")
        run("--aiocache-record=record").assert_outcomes(passed=5)
        sent, first = len(server.requests), recorded(pytester)
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
            'E * asked: {"model":"tiny","messages":*"What?"*',
            "E * nearest: chat-completions-why-*.json",
            "E * messages[[]0[]].content: recorded 'Why?', asked 'What?'",
            "E * record it: pytest 'test_model.py::test_async' --aiocache-record=record",
        ]
    )
    assert recorded(pytester) == first


def test_unused_recordings_are_told_and_removed_with_several_workers_too(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2, 3, 4]))
    run("--aiocache-record=record").assert_outcomes(passed=4)
    assert sorted(name[:15] for name in recorded(pytester)) == ["numbers/double-"] * 4
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2, 3]))
    told = run("--aiocache-unused=list", "-n2", plugins=("xdist", "aiocache_pe", "asyncio"))
    told.assert_outcomes(passed=3)
    told.stdout.fnmatch_lines(
        ["not used: recordings/numbers/double-*.json", "1 recordings not used"]
    )
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2, 5]))
    told = run("--aiocache-unused=remove")
    told.assert_outcomes(passed=2, failed=1)
    told.stdout.fnmatch_lines(["0 recordings removed"])  # what a failing test needs is not known
    run("--aiocache-unused=remove", "--aiocache-record=off").stdout.fnmatch_lines(
        ["0 recordings removed"]  # nobody asked them
    )
    stopped = run("--aiocache-unused=remove", "-x")
    stopped.stdout.fnmatch_lines(["which are unused is not known: not all tests ran"])
    assert len(recorded(pytester)) == 4
    pytester.makepyfile(test_numbers=NUMBERS.format(numbers=[1, 2]))
    run("--aiocache-unused=remove").stdout.fnmatch_lines(["2 recordings removed"])
    assert len(recorded(pytester)) == 2


def test_tests_of_all_kinds_are_steered(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_odd=ODDITIES)
    failed = run("--aiocache-record=replay")
    failed.assert_outcomes(passed=2, failed=4, skipped=1)
    failed.stdout.fnmatch_lines(
        [
            "*no recording of test_odd.ask in recordings/test_odd/*test_that_hides_errors",
            "E * ValueError: no answer",
            "E * no recording of test_odd.ask in *",
        ]
    )
    run("--aiocache-record=record").assert_outcomes(passed=6, skipped=1)
    folders = sorted({name.rpartition("/")[0] for name in recorded(pytester)})
    assert [folder.partition("c-")[0] for folder in folders] == [
        "test_odd/TestClass.test_with_parameters-a-..-b-",
        "test_odd/TestClass.test_with_parameters-plain",
        "test_odd/test_that_fails_otherwise",
        "test_odd/test_that_hides_errors",
    ]
    for path in (pytester.path / "recordings").rglob("*.json"):
        path.write_text("{}")
    broken = run("--aiocache-record=replay", "-k", "plain")
    broken.assert_outcomes(errors=1)
    broken.stdout.fnmatch_lines(["*test_with_parameters-plain/ask-plain-*.json is no recording*"])


@pytest.mark.parametrize(("args", "kwargs"), [((5,), {}), (("a", "b"), {}), ((), {"mode": "off"})])
def test_a_mark_that_says_something_else_is_refused(args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a directory, not 5|takes from 0 to 1|'mode'"):
        given(*args, **kwargs)


def test_who_records_nothing_does_not_import_what_does_the_work(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("""
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.startswith("aiocache_pe.")}
            names, plugin = "aiocache_pe._exports", "aiocache_pe.integrations.pytest"
            assert ours == {names, "aiocache_pe.integrations", plugin}
    """)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cov", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert "1 passed" in done.stdout, done.stdout
    assert "aiocache_pe-" in done.stdout  # it was found by its entry point
