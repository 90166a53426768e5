"""Samples: repeated calls have different results, the same ones in the same places each time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.outputs import Generation

from aiocache_pe import (
    CacheManager,
    bypass,
    cached,
    cached_batch,
    observe,
    recording,
    refresh,
    sample,
    sync,
)
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.langchain import LangChainCache
from aiocache_pe.recordings.recorder import MODES
from examples.llmserver.server import ModelServer
from tests.support.function_kinds import KINDS, CallCounter, Kind, each_kind
from tests.support.scale import report
from tests.support.sdk_clients import CHAT, WAYS, open_client


@each_kind
async def test_each_number_has_a_result_of_its_own(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)

    async def ask(number: int) -> int:
        with sample(number):
            return int(await kind.get_result(count()))

    assert [await ask(number) for number in (0, 1, 2, 1, 0, 2)] == [1, 2, 3, 2, 1, 3]
    assert await kind.get_result(count()) == 1  # sample 0
    with sample(2):
        assert await kind.get_result(count.invalidate()) is True
        assert await kind.get_result(count()) == 4
    assert await kind.get_result(count.cache_clear()) == 3


@each_kind
async def test_repeated_calls_have_the_same_results_in_the_same_places(
    kind: Kind, memory: CacheManager
) -> None:
    body = CallCounter().make_body()
    first, second = [kind.decorate(body, cache=memory, samples=3) for _ in range(2)]
    for count in (first, second):  # as two processes
        results = [await kind.get_result(count()) for _ in range(6)]
        assert results == [1, 2, 3] * 2
        other = [await kind.get_result(count("other")) for _ in range(3)]
        assert other == [4, 5, 6]
    assert await kind.get_result(second.invalidate()) is True
    assert [await kind.get_result(second()) for _ in range(3)] == [7, 8, 9]


async def test_concurrent_calls_have_the_same_results_in_the_same_places(
    cache: CacheManager,
) -> None:
    count = KINDS[0].decorate(CallCounter().make_body(), cache=cache, samples=10)

    async def ask() -> int:
        return int(await KINDS[0].get_result(count()))

    runs = [await asyncio.gather(*(ask() for _ in range(10))) for _ in range(2)]
    assert runs[0] == runs[1]
    assert sorted(runs[0]) == list(range(1, 11))


@each_kind
async def test_a_block_or_a_mode_takes_precedence(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, samples=3)
    with sample(1):
        assert [await kind.get_result(count()) for _ in range(2)] == [1, 1]
    with bypass():
        assert await kind.get_result(count()) == 2
    assert [await kind.get_result(count()) for _ in range(3)] == [3, 1, 4]
    with refresh():
        assert await kind.get_result(count()) == 5
    assert [await kind.get_result(count.refresh()) for _ in range(2)] == [6, 7]
    assert [await kind.get_result(count()) for _ in range(3)] == [5, 6, 7]


@each_kind
async def test_a_call_that_fails_leaves_its_number_to_the_next_one(
    kind: Kind, memory: CacheManager
) -> None:
    failures = [False, True, False, False]

    def answer() -> int:
        if failures and failures.pop(0):
            raise ConnectionError
        return len(failures)

    function = kind.decorate(answer, cache=memory, samples=3)
    first = [await kind.get_result(function())]
    with pytest.raises(ConnectionError):
        await kind.get_result(function())
    first += [await kind.get_result(function()) for _ in range(2)]
    assert [await kind.get_result(function()) for _ in range(3)] == first == [3, 1, 0]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_calls_that_the_function_makes_have_its_number(
    memory: CacheManager, is_stream: bool
) -> None:
    drawn = iter(range(100))

    async def draw() -> int:
        return await memory.get_or_set("dice", lambda: next(drawn))

    async def stream() -> Any:
        yield await draw()

    def draw_blocking() -> int:
        return sync.CacheManager.of(memory).get_or_set("blocking dice", lambda: next(drawn))

    def stream_blocking() -> Iterator[int]:
        yield draw_blocking()

    async_function: Any = cached(cache=memory, samples=2)(stream if is_stream else draw)
    function: Any = cached(cache=memory, samples=2)(stream_blocking if is_stream else draw_blocking)
    found = []
    for _ in range(4):
        result = async_function()
        found.append([chunk async for chunk in result] if is_stream else [await result])
    assert found == [[0], [1]] * 2
    blocking = [list(function()) if is_stream else [function()] for _ in range(4)]
    assert blocking == [[2], [3]] * 2


async def test_batches_and_get_or_set_have_samples(cache: CacheManager) -> None:
    drawn = iter(range(100))

    @cached_batch(cache=cache)
    async def embed(texts: list[str]) -> list[int]:
        return [next(drawn) for _ in texts]

    assert await embed(["a", "b"]) == [0, 1]
    with sample(1):
        assert await embed(["a", "b"]) == [2, 3]
        assert await cache.get_or_set("k", lambda: next(drawn)) == 4
        blocking = sync.CacheManager.of(cache)
        assert blocking.get_or_set("k", lambda: next(drawn)) == 4
    assert await embed(["a", "b"]) == [0, 1]
    assert await cache.get_or_set("k", lambda: next(drawn)) == 5
    assert await cache.invalidate("k*") == 2


async def test_a_number_does_not_meet_another_key(memory: CacheManager) -> None:
    for key in ("k", "k#1", "k#1:"):
        assert await memory.get_or_set(key, partial(str, key)) == key
    with observe() as calls, sample(1):
        for key in ("k", "k#1", "k#1:"):
            assert await memory.get_or_set(key, partial(str, f"{key}!")) == f"{key}!"
    assert len({call.key for call in calls}) == 3


@pytest.mark.parametrize("way", WAYS)
async def test_requests_have_samples_that_are_not_sent(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    runs = list[list[Any]]()
    for _ in range(2):  # as two processes
        async with open_client(way, files, server, samples=3) as sdk:
            create = sdk.openai.chat.completions.create
            ids = [(await sdk.call(create, **CHAT)).id for _ in range(6)]
            ids += [(await sdk.read_stream(create, **CHAT))[0].id for _ in range(3)]
            with sample(1):
                ids.append((await sdk.call(create, **CHAT)).id)
            runs.append(ids)
    assert runs[0] == runs[1]
    assert runs[0][:3] == runs[0][3:6]
    assert runs[0][9] == runs[0][1]
    assert len(set(runs[0])) == 6 == len(server.requests)
    assert len({json.dumps(body) for _, body in server.requests}) == 2  # whole, and streamed


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_that_fails_leaves_its_number_to_the_next_one(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server, samples=3) as sdk:
        create = sdk.openai.chat.completions.create
        for read in (sdk.call, sdk.read_stream):
            server.failures = [500]
            with pytest.raises(openai.InternalServerError):
                await read(create, **CHAT)
        first = [(await sdk.call(create, **CHAT)).id for _ in range(3)]
        assert [(await sdk.call(create, **CHAT)).id for _ in range(3)] == first
    assert len(set(first)) == 3


@pytest.mark.parametrize("is_async", [True, False])
async def test_langchain_models_have_samples(memory: CacheManager, is_async: bool) -> None:
    answers = [str(number) for number in range(20)]
    model = FakeListChatModel(responses=answers, cache=LangChainCache(memory, samples=3))

    async def ask() -> Any:
        message = await model.ainvoke("Why?") if is_async else model.invoke("Why?")
        return message.content

    assert [await ask() for _ in range(6)] == ["0", "1", "2"] * 2
    assert await asyncio.gather(*(ask() for _ in range(3))) == ["0", "1", "2"]
    with sample(5):
        assert [await ask() for _ in range(2)] == ["3", "3"]


async def test_a_langchain_model_that_fails_leaves_its_number(memory: CacheManager) -> None:
    answers = LangChainCache(memory, samples=2)
    for number in range(2):
        for _ in range(2):  # the model fails after the first lookup
            assert answers.lookup("Why?", "model") is None
        answers.update("Why?", "model", [Generation(text=str(number))])
    for number in range(2):
        assert answers.lookup("Why?", "model") == [Generation(text=str(number))]


@each_kind
async def test_a_recording_replays_repeated_calls_in_their_order(
    kind: Kind, memory: CacheManager, tmp_path: Path
) -> None:
    body = CallCounter().make_body()
    count = kind.decorate(body, cache=memory, samples=3)
    await kind.get_result(count())  # the numbers of a recording begin with 0
    with recording(tmp_path, "record"):
        recorded = [await kind.get_result(count()) for _ in range(3)]
    assert recorded == [2, 3, 4]
    for _ in range(2):
        with recording(tmp_path):
            assert [await kind.get_result(count()) for _ in range(3)] == recorded
    assert len(list(tmp_path.glob("*.json"))) == 3


@pytest.mark.parametrize("way", WAYS)
async def test_a_recording_replays_repeated_requests_in_their_order(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    runs = []
    async with open_client(way, memory, server, samples=3) as sdk:
        create = sdk.openai.chat.completions.create
        for mode in MODES[:2]:
            with recording(tmp_path, mode):
                ids = [(await sdk.call(create, **CHAT)).id for _ in range(3)]
                runs.append(ids + [(await sdk.read_stream(create, **CHAT))[0].id for _ in "ab"])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 5 == len(server.requests)


async def test_a_recording_replays_repeated_prompts_of_langchain_in_their_order(
    memory: CacheManager, tmp_path: Path
) -> None:
    runs = []
    for mode in MODES[:2]:
        start = 0 if mode == "record" else 5  # a call during the replay has another answer
        answers = LangChainCache(memory, samples=3)
        model = FakeListChatModel(responses=list("0123456789"), i=start, cache=answers)
        with recording(tmp_path, mode):
            runs.append([(await model.ainvoke("Why?")).content for _ in range(3)])
    assert runs == [["0", "1", "2"]] * 2


def test_two_processes_get_the_same_ten_answers(cache_dir: Path, server: ModelServer) -> None:
    command = [sys.executable, "-m", "tests.support.processes.ask_samples", str(cache_dir)]
    runs = []
    for _ in range(2):
        done = subprocess.run(
            [*command, server.url], capture_output=True, check=True, text=True, timeout=60
        )
        runs.append(json.loads(done.stdout))
    for kind in ("function", "transport"):
        first = runs[0][kind][0]
        assert len(set(first)) == 10
        assert [answers for run in runs for answers in run[kind]] == [first] * 4
        report(f"{kind}: {len(set(first))} answers, the same twice in each of two processes")
    assert len(server.requests) == 10


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (-1, ConfigurationError, "number must be an int of 0 or more; got -1"),
        ("1", TypeError, "number must be an int; got str: '1'"),
        (True, TypeError, "number must be an int; got bool: True"),
    ],
)
def test_a_number_that_cannot_work_is_refused(
    number: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        sample(number)


@pytest.mark.parametrize("samples", [0, -1, "3", 1.5])
def test_a_count_that_cannot_work_is_refused(samples: Any, memory: CacheManager) -> None:
    for make in (cached, lambda **settings: LangChainCache(memory, **settings)):
        with pytest.raises((TypeError, ConfigurationError), match="samples must be an int"):
            make(samples=samples)
