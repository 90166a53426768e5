"""Counters and entries of a manager: exact, per namespace, and stored after its end."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheEntry, CacheManager, CacheStats
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.cache_fixtures import make_manager
from tests.support.internals import delay_reports


def select_counters(stats: CacheStats) -> dict[str, float]:
    """Return the counters that are not zero, without the sizes."""
    names = "hits misses sets deletes evictions expirations errors seconds_saved".split()
    return {name: getattr(stats, name) for name in names if getattr(stats, name)}


async def test_every_operation_counts_exactly(cache: CacheManager, clock: FakeClock) -> None:
    assert select_counters(await cache.get_stats()) == {}
    await cache.set("a", [1])  # sets 1
    await cache.set_many({"b": 2, "c": 3}, ttl=10)  # sets 3
    await cache.get("a")  # hits 1
    await cache.get("absent")  # misses 1
    await cache.get_many(["a", "b", "absent", "a"])  # hits 3, misses 2
    await cache.add("a", 1)  # nothing
    await cache.add("d", 4)  # sets 4
    await cache.incr("n")  # sets 5
    await cache.touch("a")
    await cache.exists("a")
    await cache.exists("absent")
    await cache.get_ttl("a")
    await cache.entry("a")
    assert [key async for key in cache.keys("*")] != []
    await cache.delete_many(["b", "absent"])  # deletes 1
    await cache.delete("absent")
    clock.advance(10)
    await cache.get("c")  # misses 3
    await cache.cleanup_expired()  # expirations 1
    await cache.invalidate("[ad]")  # deletes 3
    await cache.clear()  # deletes 4
    assert select_counters(await cache.get_stats()) == {
        "hits": 3,
        "misses": 3,
        "sets": 5,
        "deletes": 4,
        "expirations": 1,
    }


async def test_get_or_set_counts_a_miss_hits_and_saved_seconds(
    cache: CacheManager, clock: FakeClock
) -> None:
    def slow() -> list[int]:
        clock.advance(2.5)
        return [1]

    for _ in range(4):
        await cache.get_or_set("k", slow)
    assert select_counters(await cache.get_stats()) == {
        "misses": 1,
        "hits": 3,
        "sets": 1,
        "seconds_saved": 7.5,
    }


@pytest.mark.parametrize("value", ["shared", ["copied"]], ids=["immutable", "mutable"])
async def test_concurrent_callers_count_as_one_miss_and_hits(
    cache: CacheManager, value: Any
) -> None:
    start = asyncio.Event()

    async def slow() -> Any:
        await start.wait()
        return value

    tasks = [asyncio.create_task(cache.get_or_set("k", slow)) for _ in range(10)]
    await asyncio.sleep(0)
    start.set()
    assert await asyncio.gather(*tasks) == [value] * 10
    found = select_counters(await cache.get_stats())
    assert (found["misses"], found["hits"], found["sets"]) == (1, 9, 1)


async def test_evictions_are_counted() -> None:
    async with CacheManager("memory", max_entries=10) as cache:
        await cache.set_many({str(n): n for n in range(25)})
        stats = await cache.get_stats()
    assert (stats.evictions, stats.total_entries, stats.deletes) == (15, 10, 0)


async def test_sizes_grow_and_shrink_with_the_entries(cache: CacheManager) -> None:
    await cache.set("a", "x" * 1000)
    small = await cache.get_stats()
    await cache.set("b", "x" * 5000)
    large = await cache.get_stats()
    assert (small.total_entries, large.total_entries) == (1, 2)
    assert 1000 < small.total_size_bytes < 1500
    assert large.total_size_bytes - small.total_size_bytes > 5000
    await cache.clear()
    assert (await cache.get_stats()).total_size_bytes == 0


async def test_hit_rate_is_the_share_of_reads() -> None:
    assert CacheStats().hit_rate == 0.0
    assert CacheStats(hits=3, misses=1).hit_rate == 0.75


@pytest.mark.parametrize("store", ["file", "file without tier"])
def test_counters_are_stored_however_a_manager_ends(
    store: str, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delay_reports(monkeypatch)  # the counters are written at the end
    clock = FakeClock()

    async def closed() -> None:
        async with make_manager(store, cache_dir, clock) as cache:
            await cache.set("k", [1])
            await cache.get("k")
            await cache.namespace("other").get("absent")

    async def left_open() -> None:
        cache = make_manager(store, cache_dir, clock)
        await cache.get("k")
        await cache.get("absent")

    async def raising() -> None:
        await make_manager(store, cache_dir, clock).get("k")
        raise ZeroDivisionError

    async def inspect_store() -> tuple[CacheStats, CacheStats, CacheEntry | None]:
        async with make_manager(store, cache_dir, clock) as cache:
            other = await cache.namespace("other").get_stats()
            return await cache.get_stats(), other, await cache.entry("k")

    asyncio.run(closed())
    asyncio.run(left_open())
    with pytest.raises(ZeroDivisionError):
        asyncio.run(raising())
    stats, other, entry = asyncio.run(inspect_store())
    assert select_counters(stats) == {"hits": 3, "misses": 1, "sets": 1}
    assert select_counters(other) == {"misses": 1}
    assert entry is not None
    assert entry.hit_count == 3


async def test_managers_over_one_directory_share_the_counters(cache_dir: Path) -> None:
    managers = [CacheManager(directory=cache_dir) for _ in range(3)]
    for manager in managers:
        await manager.get("absent")
    await asyncio.gather(*(manager.close() for manager in managers))
    async with CacheManager(directory=cache_dir) as manager:
        assert (await manager.get_stats()).misses == 3


async def test_an_entry_reports_all_known_facts(cache: CacheManager, clock: FakeClock) -> None:
    assert await cache.entry("k") is None
    begin = clock.time()
    await cache.set("k", {"a": (1,)}, ttl=100, tags=["b", "a", "b"])
    clock.advance(5)
    fresh = await cache.entry("k")
    assert fresh is not None
    assert (fresh.key, fresh.value, fresh.tags) == ("k", {"a": (1,)}, ("a", "b"))
    assert (fresh.created_at, fresh.expires_at) == (begin, begin + 100)
    assert fresh.hit_count == 0
    assert fresh.size_bytes > 20
    for _ in range(3):
        clock.advance(1)
        await cache.get("k")
    used = await cache.entry("k")
    assert used is not None
    assert used.hit_count == 3
    assert used.last_access == pytest.approx(begin + 8, abs=0.01)
    await cache.set("k", 1)
    written = await cache.entry("k")
    assert written is not None
    assert (written.hit_count, written.expires_at) == (0, None)


async def test_an_entry_that_was_never_read_was_last_accessed_when_it_was_written(
    memory: CacheManager, clock: FakeClock
) -> None:
    await memory.set("k", 1)
    clock.advance(50)
    entry = await memory.entry("k")
    assert entry is not None
    assert entry.last_access == entry.created_at == clock.time() - 50


@pytest.mark.parametrize("instance", [CacheEntry("k", 1, 0.0, None, 0.0, 0, 1), CacheStats()])
def test_stats_and_entries_are_immutable(instance: Any) -> None:
    assert not hasattr(instance, "__dict__")
    field = next(iter(type(instance).__slots__))
    with pytest.raises(FrozenInstanceError):
        setattr(instance, field, 7)


async def test_the_null_store_keeps_nothing_and_counts_misses(clock: FakeClock) -> None:
    async with CacheManager("null", clock=clock) as cache:
        assert await cache.set("k", 1)
        assert await cache.get("k", "absent") == "absent"
        assert await cache.get_or_set("k", lambda: 1) == 1
        assert await cache.incr("n", 5) == 5
        assert await cache.incr("n", 5) == 5
        assert not await cache.touch("k")
        assert await cache.pop("k") is None
        assert not await cache.delete("k")
        assert await cache.clear() == 0
        assert await cache.invalidate("*") == 0
        assert await cache.cleanup_expired() == 0
        assert [key async for key in cache.keys("*")] == []
        assert await cache.set("t", 1, tags=["t"])
        assert await cache.delete_by_tag("t")
        stats = await cache.get_stats()
    assert (stats.hits, stats.misses, stats.total_entries) == (0, 3, 0)
