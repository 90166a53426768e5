"""Events tell the tier, the duration and the reason; without a subscriber none is created."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from aiocache_pe import CacheManager, cached, cached_batch, events, sync
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine import namespace as namespace_module
from aiocache_pe.events import (
    BackendFailed,
    BreakerClosed,
    BreakerOpened,
    Event,
    Hit,
    Joined,
    Loaded,
    LoadFailed,
    Miss,
    RefreshFailed,
    RefreshStarted,
    Saved,
    Stale,
    Stored,
    Unstorable,
)
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.cache_fixtures import make_manager
from tests.support.factories import Factory
from tests.support.internals import wait_for_refreshes
from tests.support.polling import poll

STALE: dict[str, Any] = {"ttl": 10, "stale_ttl": 100}
READS = (Hit, Miss, Joined, Stale)


@pytest.fixture
async def memory(clock: FakeClock) -> CacheManager:
    return CacheManager("memory", clock=clock)


def collect(cache: CacheManager, *kinds: type[Any]) -> list[Any]:
    """Return the list that receives the events of some classes."""
    seen = list[Any]()
    for kind in kinds or (Event,):
        cache.subscribe(kind, seen.append)
    return seen


async def test_a_hit_names_the_tier_that_answered(cache_dir: Path, clock: FakeClock) -> None:
    async with make_manager("file", cache_dir, clock) as writer:
        await writer.set("k", "text")
        await writer.set("large", "x" * 1_000_000)
    async with make_manager("file", cache_dir, clock) as cache:
        hits = collect(cache, Hit)
        for _ in range(2):
            assert await cache.get("k") == "text"
        for _ in range(2):
            assert len(await cache.get_many(["k", "large"])) == 2
        assert await cache.get_or_set("large", str) == "x" * 1_000_000
        assert await cache.pop("k") == "text"
    assert [(hit.key, hit.tier) for hit in hits] == [
        ("k", "file"),
        ("k", "memory"),
        ("k", "memory"),
        ("large", "file"),
        ("k", "memory"),
        ("large", "memory"),
        ("large", "memory"),
        ("k", "file"),
    ]


async def test_a_hit_has_the_time_that_it_saves(memory: CacheManager, clock: FakeClock) -> None:
    hits = collect(memory, Hit)

    def slow() -> int:
        clock.advance(7)
        return 1

    for _ in range(2):
        await memory.get_or_set("k", slow)
    [hit] = hits
    assert (hit.tier, hit.seconds, hit.seconds_saved) == ("memory", 0.0, 7.0)


async def test_the_duration_of_a_read_and_of_a_write_is_that_of_the_store(
    clock: FakeClock,
) -> None:
    class SlowBackend(MemoryBackend):
        async def read(self, keys: Any) -> Any:
            clock.advance(2)
            return await super().read(keys)

        async def write(self, records: Any) -> Any:
            clock.advance(6)
            return await super().write(records)

        async def write_computed(self, records: Any, generations: Any) -> Any:
            clock.advance(5)
            return await super().write_computed(records, generations)

    # The spy has no `peek`, so that each read waits for the store.
    async with CacheManager(SpyBackend(SlowBackend(clock=clock)), clock=clock) as cache:
        seen = collect(cache, *READS, Stored)
        await cache.get("k")
        await cache.set_many({"k": 1, "l": 2})
        await cache.get("k")
        assert [(type(event), event.seconds) for event in seen] == [
            (Miss, 2.0),
            (Stored, 3.0),
            (Stored, 3.0),
            (Hit, 2.0),
        ]


@pytest.mark.parametrize("value", [1, [1]], ids=["shared", "copied"])
async def test_callers_that_join_a_computation_report_their_wait(
    memory: CacheManager, clock: FakeClock, value: object
) -> None:
    seen, factory = collect(memory, *READS, Loaded), Factory(lambda _: value)
    factory.hold()

    @cached(cache=memory, ttl=10)
    async def compute() -> Any:
        return await factory()

    async def get_or_set() -> Any:
        return await memory.get_or_set("k", factory)

    for call in (compute, get_or_set):
        seen.clear()
        factory.hold()
        tasks = [asyncio.create_task(call()) for _ in range(3)]
        await poll(lambda: factory.running)
        clock.advance(4)
        factory.release()
        assert await asyncio.gather(*tasks) == [value] * 3
        assert [type(event) for event in seen].count(Hit) == 2
        joined = [event for event in seen if type(event) is Joined]
        assert [event.seconds for event in joined] == [4.0, 4.0]
        assert [event.seconds for event in seen if type(event) is Loaded] == [4.0]


async def test_callers_of_a_value_that_is_not_stored_report_that_they_joined(
    memory: CacheManager,
) -> None:
    seen, factory = collect(memory, Joined), Factory()
    factory.hold()

    @cached(cache=memory, cache_if=lambda _: False)
    async def compute() -> Any:
        return await factory()

    tasks = [asyncio.create_task(compute()) for _ in range(3)]
    await poll(lambda: factory.running)
    factory.release()
    assert await asyncio.gather(*tasks) == [1] * 3
    assert len(seen) == 2


async def test_items_of_overlapping_batches_and_streams_report_that_they_joined(
    memory: CacheManager,
) -> None:
    seen, free = collect(memory, Joined), asyncio.Event()

    @cached_batch(cache=memory)
    async def double(numbers: list[int]) -> list[int]:
        await free.wait()
        return [2 * number for number in numbers]

    @cached(cache=memory)
    async def count() -> AsyncIterator[int]:
        yield 1
        await free.wait()
        yield 2

    async def consume() -> list[int]:
        return [chunk async for chunk in count()]

    tasks = [asyncio.create_task(double([1, 2])), asyncio.create_task(double([2, 3]))]
    streams = [asyncio.create_task(consume()) for _ in range(2)]
    for _ in range(20):
        await asyncio.sleep(0)
    free.set()
    assert await asyncio.gather(*tasks) == [[2, 4], [4, 6]]
    assert await asyncio.gather(*streams) == [[1, 2]] * 2
    assert len(seen) == 2


async def test_callers_of_a_stream_report_their_savings_at_its_end(
    memory: CacheManager, clock: FakeClock
) -> None:
    seen, free = collect(memory, Hit, Saved), asyncio.Event()

    @cached(cache=memory)
    async def count() -> AsyncIterator[int]:
        yield 1
        await free.wait()
        clock.advance(5)
        yield 2

    async def consume() -> list[int]:
        return [chunk async for chunk in count()]

    tasks = [asyncio.create_task(consume()) for _ in range(3)]
    for _ in range(20):
        await asyncio.sleep(0)
    free.set()
    assert await asyncio.gather(*tasks) == [[1, 2]] * 3
    assert await consume() == [1, 2]
    seconds = sum(event.seconds_saved for event in seen)
    stats = await memory.get_stats()
    assert (stats.hits, stats.seconds_saved) == (3, 15.0)
    assert ([type(event) for event in seen].count(Hit), seconds) == (3, 15.0)


async def test_a_refresh_reports_its_start_its_end_and_its_failure(
    memory: CacheManager, clock: FakeClock
) -> None:
    seen = collect(memory, Stale, RefreshStarted, RefreshFailed, Loaded, LoadFailed)
    error: Exception | None = None

    def compute() -> int:
        clock.advance(3)
        if error is not None:
            raise error
        return 1

    await memory.get_or_set("k", compute, **STALE)
    clock.advance(11)
    await memory.get_or_set("k", compute, **STALE)
    await wait_for_refreshes(memory)
    clock.advance(11)
    error = ConnectionError("down")
    await memory.get_or_set("k", compute, **STALE)
    await wait_for_refreshes(memory)
    assert seen == [
        Loaded("default", "k", 3.0),
        Stale("default", "k", 1.0),
        RefreshStarted("default", "k"),
        Loaded("default", "k", 3.0),
        Stale("default", "k", 1.0),
        RefreshStarted("default", "k"),
        LoadFailed("default", "k", error, 3.0),
        RefreshFailed("default", "k", error, 3.0),
    ]


async def test_a_value_that_cannot_be_stored_is_no_failure_of_the_store(
    memory: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    seen = collect(memory, Unstorable, BackendFailed)
    await memory.get_or_set("k", threading.Lock)
    [event] = seen
    assert isinstance(event, Unstorable)
    assert (event.namespace, event.key) == ("default", "k")
    assert "lock" in str(event.error)
    assert (await memory.get_stats()).unstorable == 1


async def test_an_outage_reports_the_breaker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = SpyBackend(MemoryBackend())
    store = FallbackBackend(first, MemoryBackend(), str(tmp_path), pauses=(0.001, 0.001))
    async with CacheManager(store) as cache:
        seen = collect(cache, BreakerOpened, BreakerClosed)
        await cache.get("k")
        first.failing = error = StoreUnavailableError("away")
        await cache.get("k")
        await cache.get("k")
        assert seen == [BreakerOpened("", "", error)]
        first.failing = None
        await poll(lambda: len(seen) == 2, deadline=60)
        assert type(seen[1]) is BreakerClosed
        assert seen[1].seconds > 0


def refuse(*details: object) -> NoReturn:
    raise AssertionError(f"an event is created: {details}")


async def test_no_event_is_created_while_nothing_is_subscribed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "aiocache_pe")
    for kind in Event.__subclasses__():
        monkeypatch.setattr(events, kind.__name__, refuse)
        for module in (namespace_module, events):
            if hasattr(module, kind.__name__):
                monkeypatch.setattr(module, kind.__name__, refuse)
    first = SpyBackend(MemoryBackend(clock=clock))
    store = FallbackBackend(first, MemoryBackend(clock=clock), str(tmp_path), pauses=(0, 0))
    async with CacheManager(store, clock=clock) as cache:
        blocking = sync.CacheManager.of(cache)
        factory = Factory()
        await asyncio.gather(*(cache.get_or_set("k", factory, **STALE) for _ in range(3)))
        assert await cache.get("k") == blocking.get("k") == 1
        clock.advance(11)
        assert await cache.get_or_set("k", factory, **STALE) == 1
        await wait_for_refreshes(cache)
        await cache.get_or_set("unstorable", threading.Lock)
        factory.error = ValueError("no")
        with pytest.raises(ValueError, match="no"):
            await cache.get_or_set("failing", factory)
        assert await cache.pop("k") == 2
        await cache.clear()
        first.failing = StoreUnavailableError("away")
        await cache.set("k", 1)
        first.failing = None
        await poll(lambda: not store.is_away, deadline=60)
