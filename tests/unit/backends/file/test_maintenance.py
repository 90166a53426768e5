"""Rounds in the background: what is over goes, little by little, by one process at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file import expiry_index, scan
from aiocache_pe.backends.file import maintenance as rounds
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.size_ledger import Bounds
from aiocache_pe.engine.maintenance import AGAIN, FIRST
from aiocache_pe.events import Event, Removed
from aiocache_pe.record import Head
from aiocache_pe.testing import FakeClock
from tests.support.file_records import record
from tests.support.polling import poll


def files(directory: Path) -> int:
    return len(list(directory.glob("default/??/*")))


async def rounds_end(cache: CacheManager) -> None:
    tender = cache._shared.maintenance
    await poll(lambda: tender._loop is None, deadline=60)


async def use(cache: CacheManager) -> None:
    """Do something that brings about a report."""
    await cache.get_stats()
    cache._shared.reporter._scheduled = None
    await cache.get("absent")


async def test_what_is_expired_goes_while_a_cache_is_used(cache_dir: Path) -> None:
    clock, told = FakeClock(), list[Event]()
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        cache.subscribe(Removed, told.append)
        await cache.set_many({f"short{n}": n for n in range(100)}, ttl=5)
        await cache.set_many({f"long{n}": n for n in range(10)}, ttl="1h")
        await cache.get_or_set("stale", lambda: 1, ttl=5, stale_ttl="1h")
        await use(cache)
        assert files(cache_dir) == 111  # a program that is over soon pays nothing
        clock.advance(FIRST)
        await use(cache)
        await rounds_end(cache)
        assert files(cache_dir) == 11
        assert (await cache.get_stats()).expirations == 100
        assert len(told) == 100
        assert {event.cause for event in told if isinstance(event, Removed)} == {"expired"}


async def test_a_round_is_made_again_after_a_while(cache_dir: Path) -> None:
    clock = FakeClock()
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        for _ in range(2):
            await cache.set("k", 1, ttl=5)
            clock.advance(AGAIN + 600)
            await use(cache)
            await rounds_end(cache)
            assert files(cache_dir) == 0
        await cache.set("k", 1, ttl=5)
        clock.advance(AGAIN)  # there was a round a minute ago
        await use(cache)
        await rounds_end(cache)
        assert files(cache_dir) == 1


def whole_round(backend: FileBackend, now: float) -> int | None:
    """How many entries a round removed; ``None`` if there was none."""

    async def go() -> int | None:
        removed: int | None = None
        while (heads := await backend.maintain(now)) is not None:
            removed = (removed or 0) + len(heads)
        return removed

    return asyncio.run(go())


def test_of_several_processes_one_makes_the_round(cache_dir: Path) -> None:
    one, two = FileBackend(cache_dir), FileBackend(cache_dir)
    assert whole_round(one, 1000.0) is None  # there is no directory
    asyncio.run(one.write([record(str(n), expires_at=1500.0) for n in range(20)]))
    asyncio.run(one.write([record("whole", expires_at=1500.0, stale_until=9000.0)]))
    assert whole_round(one, 1000.0) == 0
    assert whole_round(two, 1599.0) is None
    assert whole_round(two, 1600.0) == 20
    assert whole_round(one, 1700.0) is None
    assert whole_round(one, 900.0) == 0  # the clock was put back
    assert oct((cache_dir / ".swept").stat().st_mode)[-3:] == "600"


def test_a_round_goes_in_small_steps(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_STEP", 3)
    monkeypatch.setattr(expiry_index, "_STEP", 3)
    backend = FileBackend(cache_dir, max_entries=5000)
    names = [f"k{n}" for n in range(2000)]
    asyncio.run(backend.write([record(name, expires_at=1.0) for name in names]))
    steps: list[Sequence[Head]] = []

    async def go() -> None:
        while (heads := await backend.maintain(1e9)) is not None:
            steps.append(heads)

    asyncio.run(go())
    assert max(map(len, steps)) <= 3
    assert sum(map(len, steps)) == 2000


def test_what_a_dead_process_left_out_of_the_book_is_found_soon(cache_dir: Path) -> None:
    asyncio.run(FileBackend(cache_dir, max_entries=50).write([record("k")]))
    backend = FileBackend(cache_dir)
    assert whole_round(backend, 1000.0) == 0
    asyncio.run(backend.close())
    book = Disk(Layout(str(cache_dir))).room.book
    assert book.refresh()
    book.add(30, 0)
    book.after_fork()  # gone without a word, as if it had been killed
    assert whole_round(backend, 1001.0) == 0
    assert whole_round(backend, 1002.0) is None
    assert book.refresh()
    assert book.totals().entries == 1


def test_who_ends_before_all_is_counted_leaves_that_to_the_next(cache_dir: Path) -> None:
    asyncio.run(FileBackend(cache_dir, max_entries=50).write([record("k")]))
    layout = Layout(str(cache_dir))
    backend = FileBackend(cache_dir)
    assert whole_round(backend, 1000.0) == 0
    asyncio.run(backend.close())
    killed = Disk(layout).room.book
    assert killed.refresh()
    killed.add(30, 0)
    killed.after_fork()
    for _ in range(2):
        early = FileBackend(cache_dir)
        asyncio.run(early.write([record("early")]))
        asyncio.run(early.maintain(1001.0))  # the first step of a round
        asyncio.run(early.close())
        book = Disk(layout).room.book
        assert book.refresh()
        assert book.was_left
        book.close()


def test_what_a_killed_process_cleared_is_no_reason_to_remove_anything(cache_dir: Path) -> None:
    disk = Disk(Layout(str(cache_dir)), Bounds(3, None))
    disk.write([record("a")])
    disk.room.book.add(3, 0)  # of an area that was cleared and counted, and not noted yet
    disk.room.book.after_fork()  # killed
    later = Disk(disk.layout, Bounds(3, None))
    later.write([record("b")])
    later.write([record("c")])
    assert len(later.read([f"default:{name}" for name in "abc"])) == 3
    assert later.room.book.totals().entries == 3


async def test_what_a_cleanup_removes_of_other_namespaces_is_counted_there(
    cache_dir: Path,
) -> None:
    clock = FakeClock(time.time())
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        other = cache.namespace("other")
        await cache.set("k", 1, ttl=1)
        await other.set("k", 1, ttl=1)
        clock.advance(3600)
        assert await cache.cleanup_expired() == 1
        assert (await cache.get_stats()).expirations == 1
        assert (await other.get_stats()).expirations == 1


async def test_closing_does_not_wait_for_a_round(cache_dir: Path) -> None:
    clock = FakeClock()
    cache = CacheManager(directory=cache_dir, clock=clock)
    await cache.set_many({f"k{n}": n for n in range(200)}, ttl=5)
    clock.advance(FIRST)
    await use(cache)
    await cache.close()
    assert files(cache_dir) > 0
    await poll(lambda: len(asyncio.all_tasks()) == 1)


def test_the_end_of_a_loop_does_not_wait_for_a_round(cache_dir: Path) -> None:
    clock = FakeClock()
    cache = CacheManager(directory=cache_dir, clock=clock)

    async def main() -> None:
        await cache.set_many({f"k{n}": n for n in range(200)}, ttl=5)
        clock.advance(FIRST)
        await use(cache)

    asyncio.run(main())
    assert files(cache_dir) > 0

    async def later() -> None:  # the same cache in another loop
        clock.advance(AGAIN + 600)
        await use(cache)
        await rounds_end(cache)
        await cache.close()

    asyncio.run(later())
    assert files(cache_dir) == 0


async def test_a_store_that_fails_at_it_is_left_alone(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def fail(*arguments: Any) -> None:
        calls.append(arguments)
        raise OSError("the disk is gone")

    monkeypatch.setattr(rounds, "steps", fail)
    clock = FakeClock()
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        await cache.set("k", 1)
        clock.advance(FIRST)
        await use(cache)
        await rounds_end(cache)
        await use(cache)
        assert len(calls) == 1
        assert await cache.get("k") == 1
        assert (await cache.get_stats()).errors == 0
