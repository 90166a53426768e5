"""`observe`: the calls within the block, with their outcomes; and the same in the log at DEBUG."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.outputs import Generation
from redis import Redis

from aiocache_pe import (
    CacheManager,
    ObservedCall,
    Price,
    bypass,
    cached,
    cached_batch,
    events,
    observe,
    read_only,
    recording,
    refresh,
    sync,
)
from aiocache_pe.decorators.streams.fan_out import SharedStream, StreamReader
from aiocache_pe.integrations.langchain import LangChainCache
from aiocache_pe.recordings.recorder import MODES
from aiocache_pe.runtime.single_flight import Flight
from aiocache_pe.testing import FakeClock
from examples.llmserver.server import ModelServer
from tests.support.function_kinds import CallCounter, Kind, each_kind
from tests.support.internals import wait_for_refreshes
from tests.support.polling import poll
from tests.support.sdk_clients import CHAT, WAYS, open_client
from tests.support.servers.redis_server import Server


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that gets the flight or stream of each caller that joins another's."""
    joins: list[Any] = []
    join_flight, join_stream = Flight.join, SharedStream.join

    def join_other_flight(flight: Flight, max_wait: float | None) -> asyncio.Future[Any]:
        if flight.waiters:
            joins.append(flight)
        return join_flight(flight, max_wait)

    def join_other_stream(stream: SharedStream[Any]) -> StreamReader | None:
        joins.append(stream)
        return join_stream(stream)

    monkeypatch.setattr(Flight, "join", join_other_flight)
    monkeypatch.setattr(SharedStream, "join", join_other_stream)
    return joins


def list_outcomes(calls: list[ObservedCall]) -> list[str]:
    return [call.outcome for call in calls]


@each_kind
async def test_the_list_has_each_call_with_its_outcome(
    kind: Kind, memory: CacheManager, clock: FakeClock
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, ttl=100, stale_ttl=100)
    with observe() as calls:
        await kind.get_result(count())
        clock.advance(30)
        await kind.get_result(count())
        clock.advance(100)
        await kind.get_result(count())
        with bypass():
            await kind.get_result(count())
    await wait_for_refreshes(memory)
    assert list_outcomes(calls) == ["miss", "hit", "stale", "bypassed"]
    assert [call.age for call in calls] == [None, 30, 130, None]
    assert [call.tier for call in calls] == [None, "memory", "memory", None]
    assert {call.key for call in calls[:3]} == {count.cache_key()}
    assert {call.namespace for call in calls[:3]} == {"default"}
    assert {call.function for call in calls} == {f"{count.__module__}.{count.__qualname__}"}
    assert (calls[3].key, calls[3].reason) == ("", "bypass()")


@each_kind
async def test_the_modes_have_outcomes(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    with observe() as calls:
        with read_only():
            await kind.get_result(count())
        with refresh():
            await kind.get_result(count())
        with read_only():
            await kind.get_result(count())
    assert list_outcomes(calls) == ["miss", "miss", "hit"]
    assert [call.reason for call in calls] == [""] * 3


@each_kind
async def test_a_result_that_is_not_stored_has_a_reason(kind: Kind, memory: CacheManager) -> None:
    refused = kind.decorate(CallCounter().make_body(), cache=memory, cache_if=lambda _: False)
    broken = kind.decorate(CallCounter().make_body(), cache=memory, ttl=lambda _: 1 // 0)
    with observe() as calls:
        for function in (refused, broken):
            await kind.get_result(function())
    assert list_outcomes(calls) == ["unstorable"] * 2
    assert calls[0].reason == "cache_if forbids it"
    assert calls[1].reason.startswith("ttl or cache_if raised ZeroDivisionError")


async def test_a_result_that_no_codec_holds_has_a_reason(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def open_lock() -> Any:
        return threading.Lock()

    @cached(cache=memory)
    async def stream_locks() -> AsyncIterator[Any]:
        yield threading.Lock()

    @cached_batch(cache=memory)
    async def open_locks(numbers: list[int]) -> Any:
        return [threading.Lock() for _ in numbers]

    with observe() as calls:
        await open_lock()
        async for _ in stream_locks():
            pass
        await open_locks([1])
    assert list_outcomes(calls) == ["unstorable"] * 3
    assert all("lock" in call.reason for call in calls)


@each_kind
async def test_a_call_that_raises_is_a_miss_with_a_reason(kind: Kind, memory: CacheManager) -> None:
    def fail() -> None:
        raise LookupError

    function = kind.decorate(fail, cache=memory)
    with observe() as calls, pytest.raises(LookupError):
        await kind.get_result(function())
    assert [(call.outcome, call.reason) for call in calls] == [("miss", "raised LookupError")]


async def test_concurrent_callers_join(cache: CacheManager, joins: list[Any]) -> None:
    @cached(cache=cache)
    async def compute(number: int) -> list[int]:
        await poll(lambda: len(joins) == 2)
        return [number]

    @cached(cache=cache)
    async def stream(number: int) -> AsyncIterator[int]:
        await poll(lambda: len(joins) == 2)
        yield number

    async def read() -> list[int]:
        return [chunk async for chunk in stream(1)]

    @cached_batch(cache=cache)
    async def embed(numbers: list[int]) -> list[list[int]]:
        await poll(lambda: len(joins) == 2)
        return [[number] for number in numbers]

    for call in (lambda: compute(1), read, lambda: embed([1])):
        joins.clear()
        with observe() as calls:
            await asyncio.gather(*(call() for _ in range(3)))
        assert sorted(list_outcomes(calls)) == ["joined", "joined", "miss"]


async def test_a_batch_lists_each_item(cache: CacheManager) -> None:
    @cached_batch(cache=cache)
    async def embed(texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    await embed(["a"])
    with observe() as calls:
        await embed(["a", "bb", "a"])
        with read_only():
            await embed(["bb", "ccc"])
    found = {(call.key, call.outcome) for call in calls}
    a, bb, ccc = embed.cache_keys(["a", "bb", "ccc"])
    assert found == {(a, "hit"), (bb, "miss"), (bb, "hit"), (ccc, "miss")}
    assert len(calls) == 4


async def test_the_list_has_the_store_that_answered(redis_server: Server, cache_dir: Path) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.flushall()
    stores: list[dict[str, Any]] = [
        {"directory": cache_dir},
        {"redis_url": redis_server.url, "fallback": None},
    ]
    for make in [partial(CacheManager, **settings) for settings in stores]:
        async with make() as writer, make() as reader:
            name = writer.loader.namespace.store_name
            await writer.set("k", [1])
            with observe() as calls:
                while not calls or calls[-1].tier != "memory":  # Redis must track the key first
                    await reader.get_or_set("k", lambda: [2])
            assert {call.tier for call in calls} == {name, "memory"}
            assert calls[0].tier == name


async def test_get_or_set_and_blocking_calls_are_listed(memory: CacheManager) -> None:
    blocking = sync.CacheManager.of(memory)

    def call() -> None:
        for _ in range(2):
            blocking.get_or_set("thread", lambda: 1)

    with observe() as calls:
        await memory.get_or_set("task", lambda: 1)
        blocking.get_or_set("here", lambda: 1)
        await asyncio.to_thread(call)
    found = [(call.function, call.key, call.outcome) for call in calls]
    assert found == [
        ("get_or_set", "task", "miss"),
        ("get_or_set", "here", "miss"),
        ("get_or_set", "thread", "miss"),
        ("get_or_set", "thread", "hit"),
    ]


async def test_another_task_is_not_observed(memory: CacheManager) -> None:
    inside, done = asyncio.Event(), asyncio.Event()

    async def call_outside() -> None:
        await inside.wait()
        await memory.get_or_set("outside", lambda: 1)
        done.set()

    task = asyncio.create_task(call_outside())
    with observe() as calls:
        inside.set()
        await done.wait()
        await asyncio.gather(memory.get_or_set("inside", lambda: 1))
    await task
    assert [call.key for call in calls] == ["inside"]


async def test_an_inner_block_adds_its_calls_to_the_outer_one(memory: CacheManager) -> None:
    with observe() as outer:
        await memory.get_or_set("a", lambda: 1)
        with observe() as inner:
            await memory.get_or_set("b", lambda: 1)
        await memory.get_or_set("c", lambda: 1)
    assert [call.key for call in outer] == ["a", "b", "c"]
    assert [call.key for call in inner] == ["b"]


async def test_calls_of_a_background_refresh_are_not_listed(
    memory: CacheManager, clock: FakeClock
) -> None:
    @cached(cache=memory, ttl=10, stale_ttl=100)
    async def outer() -> int:
        return await memory.get_or_set("inner", lambda: 1, ttl=1)

    await outer()
    clock.advance(20)
    with observe() as calls:
        await outer()
        await wait_for_refreshes(memory)
    assert list_outcomes(calls) == ["stale"]


async def test_a_hit_lists_what_it_saved(clock: FakeClock) -> None:
    prices = {"small": Price(input=1.0, output=2.0)}
    async with CacheManager("memory", clock=clock, prices=prices) as cache:

        @cached(cache=cache)
        async def ask(text: str) -> dict[str, Any]:
            clock.advance(3)
            usage = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
            return {"model": "small", "usage": usage}

        with observe() as calls:
            await ask("why?")
            await ask("why?")
    miss, hit = calls
    assert (miss.seconds_saved, miss.money_saved) == (0.0, 0.0)
    assert (hit.seconds_saved, hit.money_saved) == (3.0, 2.0)
    assert (hit.input_tokens_saved, hit.output_tokens_saved) == (1_000_000, 500_000)


async def test_the_langchain_cache_lists_its_lookups(memory: CacheManager) -> None:
    class Custom(Generation):
        pass

    answers = LangChainCache(memory)
    with observe() as calls:
        assert await answers.alookup("Why?", "model") is None
        await answers.aupdate("Why?", "model", [Generation(text="Because.")])
        assert answers.lookup("Why?", "model") is not None
        with bypass():
            assert answers.lookup("Why?", "model") is None
        assert answers.lookup("How?", "model") is None
        answers.update("How?", "model", [Custom(text="So.")])
    assert list_outcomes(calls) == ["miss", "hit", "bypassed", "unstorable"]
    assert {call.function for call in calls} == {"langchain"}
    assert (await memory.namespace("langchain").get_stats()).misses == 2


async def test_recorded_calls_are_listed(memory: CacheManager, tmp_path: Path) -> None:
    kinds: dict[str, Any] = {"function": cached, "batch": cached_batch}
    functions: list[Callable[..., Any]] = []
    for kind, decorate in kinds.items():

        async def call(texts: list[str]) -> list[str]:
            return texts

        call.__qualname__ = kind
        functions.append(decorate(cache=memory)(call))
    for mode, outcome in zip(MODES, ("miss", "hit"), strict=False):
        with recording(tmp_path, mode), observe() as calls:
            for function in functions:
                await function(["a"])
        assert list_outcomes(calls) == [outcome] * 2
        assert {call.tier for call in calls} == {"recording" if outcome == "hit" else None}


@pytest.mark.parametrize("way", WAYS)
async def test_requests_are_listed_with_reasons(
    way: str, memory: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.create
        for read in (sdk.call, sdk.read_stream):
            with observe() as calls:
                for _ in range(2):
                    await read(create, **CHAT)
                server.cut = True  # a stream; `max_tokens` cuts any other answer
                await read(create, **CHAT, max_tokens=1)
                server.cut = False
                with bypass():
                    await read(create, **CHAT)
            expected = ["miss", "hit", "unstorable", "bypassed"]
            assert list_outcomes(calls) == expected
            assert calls[1].tier == "memory"
            assert calls[1].function.endswith("/v1/chat/completions tiny")
            assert ("a limit on its length" in calls[2].reason) is (read == sdk.call)
            assert calls[2].reason
            assert calls[3].function.endswith("/v1/chat/completions")
        with observe() as calls:
            responses = sdk.openai.responses.create
            await sdk.call(responses, model="tiny", input="Why?", previous_response_id="resp_1")
            with pytest.raises(openai.APIStatusError):  # the server has no such path
                await sdk.call(sdk.openai.models.retrieve, model="tiny")
    assert list_outcomes(calls) == ["bypassed"] * 2
    assert "a state of the server (previous_response_id)" in calls[0].reason
    assert "are not cached; see cacheable=" in calls[1].reason


@pytest.mark.parametrize("way", WAYS)
async def test_joined_requests_have_their_header(
    way: str, memory: CacheManager, server: ModelServer, joins: list[Any]
) -> None:
    server.gate.clear()
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.with_raw_response.create
        first = asyncio.create_task(sdk.call(create, **CHAT))
        await poll(lambda: len(server.requests) == 1)
        second = asyncio.create_task(sdk.call(create, **CHAT))
        await poll(lambda: joins)
        server.gate.set()
        origins = [response.headers["x-aiocache-pe"] for response in (await first, await second)]
    assert origins == ["miss", "joined"]


@pytest.fixture
def debug_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="aiocache_pe")
    return caplog


async def test_hits_misses_stale_hits_and_stored_entries_are_logged_in_one_form(
    memory: CacheManager, clock: FakeClock, debug_log: pytest.LogCaptureFixture
) -> None:
    @cached(cache=memory, ttl=10, stale_ttl=100, key_prefix="f", key="{n}")
    async def double(n: int) -> int:
        return 2 * n

    await double(1)
    await double(1)
    clock.advance(20)
    await double(1)
    lines = [record.getMessage() for record in debug_log.records if record.levelname == "DEBUG"]
    start = "store memory of namespace 'default': "
    assert [line.removeprefix(start) for line in lines if line.startswith(start)] == [
        "miss, key 'f:1'",
        "stored, key 'f:1'",
        "hit, key 'f:1'",
        "hit, key 'f:1'",
        "stale, key 'f:1'",
    ]
    await wait_for_refreshes(memory)


async def test_nothing_is_subscribed_above_debug(
    memory: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="aiocache_pe")
    await memory.get_or_set("k", lambda: 1)
    assert events.Hit not in memory.loader.namespace.engine.events.subscribed
    caplog.set_level(logging.DEBUG, logger="aiocache_pe")
    await memory.get("k")
    assert events.Hit in memory.loader.namespace.engine.events.subscribed
    caplog.set_level(logging.INFO, logger="aiocache_pe")
    await memory.get("absent")
    assert events.Hit not in memory.loader.namespace.engine.events.subscribed


async def test_a_log_handler_that_uses_the_cache_does_not_log_without_end(
    memory: CacheManager, debug_log: pytest.LogCaptureFixture
) -> None:
    blocking = sync.CacheManager.of(memory)

    class Counter(logging.Handler):
        lines = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.lines += 1
            blocking.get("absent")
            blocking.get("k")

    await memory.set("k", 1)
    handler = Counter()
    logger = logging.getLogger("aiocache_pe")
    logger.addHandler(handler)
    try:
        await memory.get("k")
    finally:
        logger.removeHandler(handler)
    assert handler.lines == 1
