"""`fresh`: calls within the block are answered by entries up to an age, or computed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from langchain_core.outputs import Generation

from aiocache_pe import CacheManager, cached, cached_batch, fresh, read_only, sync
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.langchain import LangChainCache
from aiocache_pe.testing import FakeClock
from examples.llmserver.server import ModelServer
from tests.support.function_kinds import CallCounter, Kind, each_kind
from tests.support.internals import wait_for_refreshes
from tests.support.sdk_clients import CHAT, WAYS, open_client


@pytest.fixture
def sync_memory(clock: FakeClock) -> Iterator[sync.CacheManager]:
    with sync.CacheManager("memory", clock=clock) as cache:
        yield cache


@each_kind
async def test_an_older_entry_is_computed_and_replaced(
    kind: Kind, cache: CacheManager, clock: FakeClock
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    assert await kind.get_result(count()) == 1
    clock.advance(100)
    with fresh(max_age="2m"):
        assert await kind.get_result(count()) == 1
    with fresh(max_age=50):
        assert [await kind.get_result(count()) for _ in range(2)] == [2, 2]
    assert await kind.get_result(count()) == 2
    assert count.cache_info()[:2] == (3, 2)


@each_kind
async def test_an_older_entry_is_computed_and_stays_in_a_read_only_block(
    kind: Kind, memory: CacheManager, clock: FakeClock
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    clock.advance(100)
    with read_only(), fresh(50):
        assert await kind.get_result(count()) == 2
    assert await kind.get_result(count()) == 1


@each_kind
async def test_an_expired_entry_is_not_served_although_it_is_young(
    kind: Kind, memory: CacheManager, clock: FakeClock
) -> None:
    body = CallCounter().make_body()
    count = kind.decorate(body, cache=memory, ttl=10, stale_ttl=1000)
    assert await kind.get_result(count()) == 1
    clock.advance(20)
    with fresh(500):
        assert await kind.get_result(count()) == 2
    clock.advance(20)
    assert await kind.get_result(count()) == 2  # stale
    await wait_for_refreshes(memory)


async def test_batches_compute_only_older_items(cache: CacheManager, clock: FakeClock) -> None:
    calls = list[list[str]]()

    @cached_batch(cache=cache)
    async def measure(texts: list[str]) -> list[int]:
        calls.append(texts)
        return [len(text) for text in texts]

    await measure(["a"])
    clock.advance(100)
    await measure(["bb"])
    with fresh(50):
        assert await measure(["a", "bb", "ccc"]) == [1, 2, 3]
        with read_only():
            assert await measure(["a", "dddd"]) == [1, 4]
    assert calls == [["a"], ["bb"], ["a", "ccc"], ["dddd"]]


def test_blocking_calls_obey_the_block(sync_memory: sync.CacheManager, clock: FakeClock) -> None:
    calls = list[list[int]]()

    @cached_batch(cache=sync_memory)
    def double(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [2 * number for number in numbers]

    sync_memory.set("k", "old")
    double([1])
    clock.advance(100)
    with fresh(50):
        assert sync_memory.get_or_set("k", lambda: "new") == "new"
        assert double([1, 2]) == [2, 4]
    assert sync_memory.get("k") == "new"
    assert calls == [[1], [1, 2]]


async def test_get_or_set_computes_an_older_value(cache: CacheManager, clock: FakeClock) -> None:
    await cache.set("k", "old")
    await cache.touch("k", 1000)
    clock.advance(100)
    await cache.touch("k", 1000)  # a longer lifetime makes no entry younger
    with fresh(50):
        assert await cache.get_or_set("k", lambda: "new") == "new"
        assert await cache.get_or_set("k", lambda: "newest") == "new"


async def test_concurrent_callers_compute_once(cache: CacheManager, clock: FakeClock) -> None:
    calls = 0

    @cached(cache=cache)
    async def count(number: int) -> list[int]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return [calls]

    await count(1)
    clock.advance(100)
    with fresh(50):
        young = await asyncio.gather(*(count(1) for _ in range(5)))
    assert young == [[2]] * 5


async def test_a_caller_in_the_block_takes_no_older_value_that_another_caller_reads(
    cache: CacheManager, clock: FakeClock
) -> None:
    calls = 0

    async def compute() -> list[int]:
        nonlocal calls
        calls += 1
        return [calls]

    async def ask_fresh() -> list[int]:
        with fresh(50):
            return await cache.get_or_set("k", compute)

    await cache.get_or_set("k", compute)
    clock.advance(100)
    found = await asyncio.gather(cache.get_or_set("k", compute), ask_fresh(), ask_fresh())
    assert list(found[1:]) == [[2], [2]]


async def test_the_langchain_cache_finds_no_older_answer(
    cache: CacheManager, clock: FakeClock
) -> None:
    answers = LangChainCache(cache)
    await answers.aupdate("Why?", "model", [Generation(text="old")])
    clock.advance(100)
    with fresh(50):
        assert await answers.alookup("Why?", "model") is None
        assert answers.lookup("Why?", "model") is None
        await answers.aupdate("Why?", "model", [Generation(text="new")])
        assert await answers.alookup("Why?", "model") == [Generation(text="new")]


@pytest.mark.parametrize("way", WAYS)
async def test_requests_are_sent_again_for_an_older_response(
    way: str, memory: CacheManager, clock: FakeClock, server: ModelServer
) -> None:
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.create
        for read in (sdk.call, sdk.read_stream):
            server.requests.clear()
            await read(create, **CHAT)
            clock.advance(100)
            with fresh("1h"):
                await read(create, **CHAT)
            with fresh(50):
                await read(create, **CHAT)
                await read(create, **CHAT)
            assert len(server.requests) == 2
            clock.advance(100)
            for max_age in ("1h", "50"):
                await read(create, **CHAT, extra_headers={"x-aiocache-pe": f"max-age={max_age}"})
            assert len(server.requests) == 3


@pytest.mark.parametrize("max_age", [0, -1, "soon", None])
def test_an_age_that_is_no_duration_is_refused(max_age: object) -> None:
    with pytest.raises(ConfigurationError, match="max_age must be a positive number of seconds"):
        fresh(max_age)  # type: ignore[arg-type] # must raise
