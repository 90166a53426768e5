"""The store in memory lets go of what is over, though nobody looks at it or cleans up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine.maintenance import AGAIN, FIRST
from aiocache_pe.events import Event, Removed
from aiocache_pe.testing import FakeClock
from aiocache_pe.testing.contract_support import AREA, record
from tests.support.polling import poll
from tests.support.scale import scale_size


def held(cache: CacheManager) -> int:
    backend = cache._shared.engine.backend
    assert isinstance(backend, MemoryBackend)
    return len(backend._cells.nodes)


async def test_unique_keys_with_a_ttl_do_not_pile_up() -> None:
    clock, told = FakeClock(), list[Event]()
    total = scale_size(2000)
    async with CacheManager("memory", clock=clock) as cache:
        cache.subscribe(Removed, told.append)
        for n in range(total):
            await cache.set(f"k{n}", n, ttl=60)
            clock.advance(0.1)
            assert held(cache) <= 620
        stats = await cache.get_stats()
        assert stats.expirations == total - held(cache) == len(told)
        assert stats.evictions == stats.deletes == 0
        assert {event.cause for event in told if isinstance(event, Removed)} == {"expired"}
        assert await cache.get(f"k{total - 1}") == total - 1


async def test_of_many_that_end_at_once_a_write_removes_few() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        await cache.set_many({f"k{n}": n for n in range(2000)}, ttl=60)
        clock.advance(61)
        before, writes = held(cache), 0
        while before > writes:
            await cache.set(f"new{writes}", 1)
            writes += 1
            assert 0 <= before + 1 - held(cache) <= 4
            before = held(cache)
        assert writes < 700
        assert (await cache.get_stats()).expirations == 2000


async def test_what_may_be_served_stale_stays() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock, memory_max_bytes=0) as cache:
        await cache.get_or_set("k", lambda: "old", ttl=60, stale_ttl="1h")
        await cache.set("gone", 1, ttl=60)
        clock.advance(120)
        await cache.set("other", 1)
        assert held(cache) == 2
        assert await cache.get_or_set("k", lambda: "new", ttl=60, stale_ttl="1h") == "old"


async def test_what_was_given_more_time_stays() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        await cache.set_many(dict.fromkeys(("touched", "rewritten", "for ever", "less"), 1), ttl=60)
        await cache.touch("touched", 600)
        await cache.set("rewritten", 2, ttl=600)
        await cache.touch("for ever", None)
        await cache.touch("less", 5)
        clock.advance(7)
        await cache.set("a", 1)
        assert held(cache) == 4
        clock.advance(500)
        await cache.set("b", 1)
        assert await cache.get_many(["touched", "rewritten", "for ever"]) == {
            "touched": 1,
            "rewritten": 2,
            "for ever": 1,
        }
        clock.advance(600)
        await cache.set("c", 1)
        assert held(cache) == 4  # a, b, c and what is for ever
        assert await cache.exists("for ever")


async def test_what_is_over_makes_room_before_what_is_not() -> None:
    clock = FakeClock()
    async with CacheManager("memory", max_entries=100, clock=clock) as cache:
        await cache.set_many({f"live{n}": n for n in range(50)}, ttl="1d")
        await cache.set_many({f"short{n}": n for n in range(50)}, ttl=60)
        clock.advance(62)
        await cache.set_many({f"more{n}": n for n in range(50)}, ttl="1d")
        assert len(await cache.get_many([f"live{n}" for n in range(50)])) == 50
        stats = await cache.get_stats()
        assert (stats.evictions, stats.expirations, stats.total_entries) == (0, 50, 100)


async def test_without_writes_it_goes_in_rounds() -> None:
    clock = FakeClock()
    backend = MemoryBackend()  # not told the time, as one that a user makes
    async with CacheManager(backend, clock=clock) as cache:
        await cache.set_many({f"k{n}": n for n in range(700)}, ttl=60)
        await cache.set("long", 1, ttl="1d")
        clock.advance(max(FIRST, 61))
        assert held(cache) == 701
        await _use(cache)
        await poll(lambda: held(cache) == 1, deadline=60)
        await poll(lambda: cache._shared.maintenance._loop is None, deadline=60)
        assert (await cache.get_stats()).expirations == 700
        await cache.set("k", 1, ttl=60)
        clock.advance(61 + AGAIN)
        await _use(cache)
        await poll(lambda: held(cache) == 1, deadline=60)


async def _use(cache: CacheManager) -> None:
    """Do something that brings about a report."""
    cache._shared.reporter._scheduled = None
    await cache.get("absent")


def test_a_step_of_a_round_is_bounded_and_a_short_one_is_the_last() -> None:
    backend = MemoryBackend()
    asyncio.run(backend.write([record(str(n), expires_at=1500.0) for n in range(600)]))

    async def go() -> list[int]:
        steps: list[int] = []
        while (heads := await backend.maintain(1e9)) is not None:
            steps.append(len(heads))
        return steps

    assert asyncio.run(go()) == [256, 256, 88]
    assert asyncio.run(go()) == []


async def test_cleaning_up_also_removes_what_is_dead_by_its_tags() -> None:
    clock = FakeClock()
    async with CacheManager("memory", clock=clock) as cache:
        await cache.set_many({"a": 1, "b": 2}, ttl=60)
        await cache.set("tagged", 1, tags=["t"])
        await cache.set("kept", 1)
        await cache.delete_by_tag("t")
        clock.advance(60)  # over, but its bucket is not
        assert await cache.cleanup_expired() == 3
        assert held(cache) == 1


@pytest.mark.parametrize("bounded", [False, True])
def test_threads_that_write_and_rounds_agree(bounded: bool) -> None:
    clock = FakeClock()
    backend = MemoryBackend(max_entries=300 if bounded else None, clock=clock)
    cells, now = backend._cells, clock.time()

    def work(seed: int) -> None:
        async def go() -> None:
            for n in range(400):
                name = str((n * (seed + 1)) % 97)
                ttl = (1, 60, 7200)[n % 3]
                await backend.write([record(name, expires_at=clock.time() + ttl)])
                if n % 11 == 0:
                    await backend.delete([AREA + str(n % 97)])
                if n % 50 == 0:
                    await backend.maintain(clock.time())
                if seed == 0:
                    clock.advance(0.5)

        asyncio.run(go())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    calendar = cells._expiry_buckets
    assert calendar is not None
    assert len(calendar) == len(cells.nodes)
    assert cells.total_size == sum(cell.size for cell in cells.nodes.values())
    gone = cells.expire(now + 1e9, 1000)
    assert (len(cells.nodes), len(calendar), cells.total_size) == (0, 0, 0)
    assert len({cell.key for cell in gone}) == len(gone) <= 97
