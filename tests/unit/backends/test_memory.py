"""Memory store: bounds, expiry, maintenance rounds and leases."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiocache_pe import BackendError, CacheManager, cached
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine.maintenance import FIRST_ROUND_DELAY, ROUND_INTERVAL
from aiocache_pe.events import Event, Removed
from aiocache_pe.testing import FakeClock
from aiocache_pe.testing.contract_support import PREFIX, make_record
from tests.support.internals import (
    count_expiring_nodes,
    get_backend,
    get_engine,
    trigger_maintenance,
    wait_for_round,
)
from tests.support.polling import poll
from tests.support.scale import scale_size

LARGE_TEXT = "x" * 1000


def count_stored(cache: CacheManager) -> int:
    """Return the number of entries in the store, expired ones included."""
    backend = get_backend(cache)
    assert isinstance(backend, MemoryBackend)
    return len(backend._entries.nodes)


# Bounds


async def test_an_entry_larger_than_the_bound_is_not_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with CacheManager("memory", max_bytes=500) as cache:
        assert await cache.set_many({"k": "small", "other": 1})
        assert not await cache.set("k", LARGE_TEXT)
        assert await cache.get("k") is None  # the value to replace is outdated
        assert not await cache.add("new", LARGE_TEXT)
        assert not await cache.set_many({"a": 1, "large": LARGE_TEXT, "b": 2})
        assert await cache.get_many(["other", "a", "large", "b"]) == {"other": 1, "a": 1, "b": 2}
        stats = await cache.get_stats()
    assert (stats.errors, stats.total_entries) == (3, 3)
    assert caplog.text.count("exceeds max_bytes=500") == 1  # logged once


async def test_a_counter_that_cannot_be_stored_raises() -> None:
    async with CacheManager("memory", max_bytes=1) as cache:
        with pytest.raises(BackendError, match="exceeds max_bytes=1"):
            await cache.incr("n")


async def test_a_function_returns_a_result_that_is_too_large_to_store() -> None:
    async with CacheManager("memory", max_bytes=500) as cache:

        @cached(cache=cache)
        async def repeat(length: int) -> str:
            return "x" * length

        assert [await repeat(1000), await repeat(1000)] == [LARGE_TEXT, LARGE_TEXT]
        assert repeat.cache_info()[:2] == (0, 2)
        assert (await cache.get_stats()).errors == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.set("popular", 2),
        lambda cache: cache.touch("popular", ttl=60),
        lambda cache: cache.incr("popular"),
    ],
    ids=["set", "touch", "incr"],
)
async def test_lfu_keeps_the_hits_of_a_changed_entry(
    change: Callable[[CacheManager], Awaitable[object]],
) -> None:
    async with CacheManager("memory", max_entries=2, eviction="lfu") as cache:
        await cache.set_many({"popular": 1, "other": 1})
        for _ in range(3):
            assert await cache.get("popular") == 1
        assert await cache.get("other") == 1
        await change(cache)
        await cache.set("new", 1)
        assert await cache.get_many(["popular", "other", "new"]) != {}
        assert await cache.get("other") is None
        assert await cache.get("popular") is not None
        stats = await cache.get_stats()
    assert stats.hits == 7  # each of them is reported once


async def test_the_memory_tier_keeps_the_hits_of_a_rewritten_entry(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, eviction="lfu") as cache:
        await cache.set("k", 1)
        for number in range(3):
            assert await cache.get("k") == 1 + number
            await cache.set("k", 2 + number)
        tier = get_engine(cache).tier
        assert tier is not None
        entry = tier.nodes["default:k"]
        assert (entry.hits, entry.counted_hits) == (3, 3)
        stats = await cache.get_stats()
    assert (stats.hits, stats.sets) == (3, 4)


# Expiry


async def test_expired_unique_keys_do_not_accumulate() -> None:
    clock, events = FakeClock(), list[Event]()
    total = scale_size(2000)
    async with CacheManager("memory", clock=clock) as cache:
        cache.subscribe(Removed, events.append)
        for n in range(total):
            await cache.set(f"k{n}", n, ttl=60)
            clock.advance(0.1)
            assert count_stored(cache) <= 620
        stats = await cache.get_stats()
        assert stats.expirations == total - count_stored(cache) == len(events)
        assert stats.evictions == stats.deletes == 0
        assert {event.cause for event in events if isinstance(event, Removed)} == {"expired"}
        assert await cache.get(f"k{total - 1}") == total - 1


async def test_one_write_removes_at_most_four_expired_entries() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        await cache.set_many({f"k{n}": n for n in range(2000)}, ttl=60)
        clock.advance(61)
        before, writes = count_stored(cache), 0
        while before > writes:
            await cache.set(f"new{writes}", 1)
            writes += 1
            assert 0 <= before + 1 - count_stored(cache) <= 4
            before = count_stored(cache)
        assert writes < 700
        assert (await cache.get_stats()).expirations == 2000


async def test_an_entry_that_may_be_served_stale_stays() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock, memory_max_bytes=0) as cache:
        await cache.get_or_set("k", lambda: "old", ttl=60, stale_ttl="1h")
        await cache.set("expired", 1, ttl=60)
        clock.advance(120)
        await cache.set("other", 1)
        assert count_stored(cache) == 2
        assert await cache.get_or_set("k", lambda: "new", ttl=60, stale_ttl="1h") == "old"


async def test_an_entry_with_an_extended_lifetime_stays() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        names = ("touched", "rewritten", "permanent", "shortened")
        await cache.set_many(dict.fromkeys(names, 1), ttl=60)
        await cache.touch("touched", 600)
        await cache.set("rewritten", 2, ttl=600)
        await cache.touch("permanent", None)
        await cache.touch("shortened", 5)
        clock.advance(7)
        await cache.set("a", 1)
        assert count_stored(cache) == 4
        clock.advance(500)
        await cache.set("b", 1)
        assert await cache.get_many(["touched", "rewritten", "permanent"]) == {
            "touched": 1,
            "rewritten": 2,
            "permanent": 1,
        }
        clock.advance(600)
        await cache.set("c", 1)
        assert count_stored(cache) == 4  # a, b, c and the permanent entry
        assert await cache.exists("permanent")


async def test_expired_entries_are_removed_before_live_ones_are_evicted() -> None:
    clock = FakeClock()
    async with CacheManager("memory", max_entries=100, clock=clock) as cache:
        await cache.set_many({f"live{n}": n for n in range(50)}, ttl="1d")
        await cache.set_many({f"short{n}": n for n in range(50)}, ttl=60)
        clock.advance(62)
        await cache.set_many({f"more{n}": n for n in range(50)}, ttl="1d")
        assert len(await cache.get_many([f"live{n}" for n in range(50)])) == 50
        stats = await cache.get_stats()
        assert (stats.evictions, stats.expirations, stats.total_entries) == (0, 50, 100)


async def test_maintenance_rounds_remove_expired_entries_without_writes() -> None:
    clock = FakeClock()
    backend = MemoryBackend()  # without a clock, as a user creates it
    async with CacheManager(backend, clock=clock) as cache:
        await cache.set_many({f"k{n}": n for n in range(700)}, ttl=60)
        await cache.set("long", 1, ttl="1d")
        clock.advance(max(FIRST_ROUND_DELAY, 61))
        assert count_stored(cache) == 701
        await trigger_maintenance(cache)
        await poll(lambda: count_stored(cache) == 1, deadline=60)
        await wait_for_round(cache)
        assert (await cache.get_stats()).expirations == 700
        await cache.set("k", 1, ttl=60)
        clock.advance(61 + ROUND_INTERVAL)
        await trigger_maintenance(cache)
        await poll(lambda: count_stored(cache) == 1, deadline=60)


def test_a_maintenance_step_is_bounded_and_a_short_step_is_the_last() -> None:
    backend = MemoryBackend()
    asyncio.run(backend.write([make_record(str(n), expires_at=1500.0) for n in range(600)]))

    async def run_round() -> list[int]:
        steps: list[int] = []
        while (heads := await backend.maintain(1e9)) is not None:
            steps.append(len(heads))
        return steps

    assert asyncio.run(run_round()) == [256, 256, 88]
    assert asyncio.run(run_round()) == []


async def test_cleanup_also_removes_entries_with_invalidated_tags() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        await cache.set_many({"a": 1, "b": 2}, ttl=60)
        await cache.set("tagged", 1, tags=["t"])
        await cache.set("live", 1)
        await cache.delete_by_tag("t")
        clock.advance(60)  # the entries have expired, but not their bucket
        assert await cache.cleanup_expired() == 3
        assert count_stored(cache) == 1


@pytest.mark.parametrize("bounded", [False, True])
def test_concurrent_writes_and_rounds_keep_map_and_buckets_consistent(bounded: bool) -> None:
    clock = FakeClock()
    backend = MemoryBackend(max_entries=300 if bounded else None, clock=clock)
    entries, now = backend._entries, clock.time()

    def work(seed: int) -> None:
        async def run() -> None:
            for n in range(400):
                name = str((n * (seed + 1)) % 97)
                ttl = (1, 60, 7200)[n % 3]
                await backend.write([make_record(name, expires_at=clock.time() + ttl)])
                if n % 11 == 0:
                    await backend.delete([PREFIX + str(n % 97)])
                if n % 50 == 0:
                    await backend.maintain(clock.time())
                if seed == 0:
                    clock.advance(0.5)

        asyncio.run(run())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert count_expiring_nodes(entries) == len(entries.nodes)
    assert entries.total_size == sum(stored.size for stored in entries.nodes.values())
    removed = entries.expire(now + 1e9, 1000)
    assert (len(entries.nodes), count_expiring_nodes(entries), entries.total_size) == (0, 0, 0)
    assert len({stored.key for stored in removed}) == len(removed) <= 97


# Leases


def test_a_forked_child_does_not_inherit_leases() -> None:
    backend = MemoryBackend()
    lease = asyncio.run(backend.try_lease("default:a"))
    assert lease is not None
    child = os.fork()
    if child == 0:
        status = 1
        try:
            backend.try_lease("default:a").send(None)
        except StopIteration as end:
            status = 0 if end.value is not None else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(backend.try_lease("default:a")) is None
    asyncio.run(lease.release())
