"""Maintenance rounds remove expired entries in small steps, by one process at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file import maintenance
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.size_ledger import Bounds
from aiocache_pe.engine.maintenance import FIRST_ROUND_DELAY, ROUND_INTERVAL
from aiocache_pe.events import Event, Removed
from aiocache_pe.record import Head
from aiocache_pe.testing import FakeClock
from tests.support.file_store import list_entry_files, make_record, run_round
from tests.support.internals import trigger_maintenance, wait_for_round
from tests.support.polling import poll


def count_entries(directory: Path) -> int:
    return len(list_entry_files(directory))


def count_removed(backend: FileBackend, now: float) -> int | None:
    """Make a round; return the number of entries it removed, or ``None`` if none was due."""
    removed = run_round(backend, now)
    return None if removed is None else len(removed)


async def test_expired_entries_are_removed_while_a_cache_is_used(cache_dir: Path) -> None:
    clock, events = FakeClock(), list[Event]()
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        cache.subscribe(Removed, events.append)
        await cache.set_many({f"short{n}": n for n in range(100)}, ttl=5)
        await cache.set_many({f"long{n}": n for n in range(10)}, ttl="1h")
        await cache.get_or_set("stale", lambda: 1, ttl=5, stale_ttl="1h")
        await trigger_maintenance(cache)
        assert count_entries(cache_dir) == 111  # a short program makes no rounds
        clock.advance(FIRST_ROUND_DELAY)
        await trigger_maintenance(cache)
        await wait_for_round(cache)
        assert count_entries(cache_dir) == 11
        assert (await cache.get_stats()).expirations == 100
        assert len(events) == 100
        assert {event.cause for event in events if isinstance(event, Removed)} == {"expired"}


async def test_rounds_are_repeated_after_ten_minutes(cache_dir: Path) -> None:
    clock = FakeClock()
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        for _ in range(2):
            await cache.set("k", 1, ttl=5)
            clock.advance(ROUND_INTERVAL + 600)
            await trigger_maintenance(cache)
            await wait_for_round(cache)
            assert count_entries(cache_dir) == 0
        await cache.set("k", 1, ttl=5)
        clock.advance(ROUND_INTERVAL)  # the last round was a minute ago
        await trigger_maintenance(cache)
        await wait_for_round(cache)
        assert count_entries(cache_dir) == 1


def test_one_of_several_processes_makes_a_round(cache_dir: Path) -> None:
    one, two = FileBackend(cache_dir), FileBackend(cache_dir)
    assert count_removed(one, 1000.0) is None  # there is no directory
    asyncio.run(one.write([make_record(str(n), expires_at=1500.0) for n in range(20)]))
    asyncio.run(one.write([make_record("stale", expires_at=1500.0, stale_until=9000.0)]))
    assert count_removed(one, 1000.0) == 0
    assert count_removed(two, 1599.0) is None
    assert count_removed(two, 1600.0) == 20
    assert count_removed(one, 1700.0) is None
    assert count_removed(one, 900.0) == 0  # the clock was set back
    assert oct((cache_dir / ".swept").stat().st_mode)[-3:] == "600"


def test_a_round_consists_of_small_steps(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir, max_entries=5000)
    asyncio.run(backend.write([make_record(f"k{n}", expires_at=1.0) for n in range(2000)]))
    steps: list[Sequence[Head]] = []

    async def run() -> None:
        while (heads := await backend.maintain(1e9)) is not None:
            steps.append(heads)

    asyncio.run(run())
    assert max(map(len, steps)) <= 100
    assert sum(map(len, steps)) == 2000


def test_a_change_that_a_killed_process_did_not_record_is_counted_by_the_next_round(
    cache_dir: Path,
) -> None:
    asyncio.run(FileBackend(cache_dir, max_entries=50).write([make_record("k")]))
    backend = FileBackend(cache_dir)
    assert count_removed(backend, 1000.0) == 0
    asyncio.run(backend.close())
    ledger = Disk(Layout(str(cache_dir))).bounds.ledger
    assert ledger.ensure_open()
    ledger.add(30, 0)
    ledger.after_fork()  # leaves its row without a mark, as if it had been killed
    assert count_removed(backend, 1001.0) == 0
    assert count_removed(backend, 1002.0) is None
    assert ledger.ensure_open()
    assert ledger.get_totals().entries == 1


def test_a_process_that_ends_before_the_recount_leaves_it_to_the_next(cache_dir: Path) -> None:
    asyncio.run(FileBackend(cache_dir, max_entries=50).write([make_record("k")]))
    layout = Layout(str(cache_dir))
    backend = FileBackend(cache_dir)
    assert count_removed(backend, 1000.0) == 0
    asyncio.run(backend.close())
    killed = Disk(layout).bounds.ledger
    assert killed.ensure_open()
    killed.add(30, 0)
    killed.after_fork()
    for _ in range(2):
        short = FileBackend(cache_dir)
        asyncio.run(short.write([make_record("short")]))
        asyncio.run(short.maintain(1001.0))  # the first step of a round
        asyncio.run(short.close())
        ledger = Disk(layout).bounds.ledger
        assert ledger.ensure_open()
        assert ledger.needs_recount
        ledger.close()


def test_an_area_that_a_killed_process_cleared_causes_no_eviction(cache_dir: Path) -> None:
    disk = Disk(Layout(str(cache_dir)), Bounds(3, None))
    disk.write([make_record("a")])
    disk.bounds.ledger.add(3, 0)  # entries of a cleared area, not recorded as removed yet
    disk.bounds.ledger.after_fork()  # killed
    later = Disk(disk.layout, Bounds(3, None))
    later.write([make_record("b")])
    later.write([make_record("c")])
    assert len(later.read([f"default:{name}" for name in "abc"])) == 3
    assert later.bounds.ledger.get_totals().entries == 3


async def test_expirations_count_in_the_namespace_of_the_entry(cache_dir: Path) -> None:
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
    clock.advance(FIRST_ROUND_DELAY)
    await trigger_maintenance(cache)
    await cache.close()
    assert count_entries(cache_dir) > 0
    await poll(lambda: len(asyncio.all_tasks()) == 1)


def test_the_end_of_a_loop_does_not_wait_for_a_round(cache_dir: Path) -> None:
    clock = FakeClock()
    cache = CacheManager(directory=cache_dir, clock=clock)

    async def main() -> None:
        await cache.set_many({f"k{n}": n for n in range(200)}, ttl=5)
        clock.advance(FIRST_ROUND_DELAY)
        await trigger_maintenance(cache)

    asyncio.run(main())
    assert count_entries(cache_dir) > 0

    async def use_in_another_loop() -> None:
        clock.advance(ROUND_INTERVAL + 600)
        await trigger_maintenance(cache)
        await wait_for_round(cache)
        await cache.close()

    asyncio.run(use_in_another_loop())
    assert count_entries(cache_dir) == 0


async def test_a_failed_round_is_no_error_of_a_caller_and_is_not_repeated_at_once(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def fail(*arguments: Any) -> None:
        calls.append(arguments)
        raise OSError("the disk is gone")

    monkeypatch.setattr(maintenance, "iter_expired_keys", fail)
    clock = FakeClock()
    async with CacheManager(directory=cache_dir, clock=clock) as cache:
        await cache.set("k", 1)
        clock.advance(FIRST_ROUND_DELAY)
        await trigger_maintenance(cache)
        await wait_for_round(cache)
        await trigger_maintenance(cache)
        assert len(calls) == 1
        assert await cache.get("k") == 1
        assert (await cache.get_stats()).errors == 0
