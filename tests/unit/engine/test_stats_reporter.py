"""Counters reach the store complete, and are never counted twice."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.base import Change, ReadResult
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine import stats_reporter
from aiocache_pe.events import BackendFailed
from aiocache_pe.exceptions import BackendError
from aiocache_pe.record import Head, Record
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.internals import get_reporter
from tests.support.polling import poll

COUNTERS = "default+stats:counters"


class SlowUpdateBackend(MemoryBackend):
    """A store with an update that waits, before or after the change, until it is released."""

    def __init__(self, *, change_first: bool) -> None:
        super().__init__()
        self.change_first = change_first
        self.waiting = 0
        self.released = asyncio.Event()

    async def update(self, key: str, change: Change) -> Record | None:
        stored = await super().update(key, change) if self.change_first else None
        self.waiting += 1
        await self.released.wait()
        return stored if self.change_first else await super().update(key, change)


@pytest.mark.parametrize("change_first", [False, True])
async def test_a_cancelled_report_is_counted_once(change_first: bool) -> None:
    backend = SlowUpdateBackend(change_first=change_first)
    cache = CacheManager(backend)
    await cache.get("absent")
    task = asyncio.create_task(cache.get_stats())
    await poll(lambda: backend.waiting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    backend.released.set()
    assert (await cache.get_stats()).misses == 1
    assert (await CacheManager(backend).get_stats()).misses == 1


async def test_stats_wait_for_counters_that_another_task_writes() -> None:
    backend = SlowUpdateBackend(change_first=False)
    async with CacheManager(backend) as cache:
        await cache.get("absent")
        tasks = [asyncio.create_task(cache.get_stats()) for _ in range(2)]
        await poll(lambda: backend.waiting)
        for _ in range(20):
            await asyncio.sleep(0)  # the second task has nothing to report, but it must wait
        done = [task.done() for task in tasks]
        backend.released.set()
        assert done == [False, False]
        assert [(await task).misses for task in tasks] == [1, 1]


class HangingBackend(MemoryBackend):
    """A store that hangs on its counters until it is released, and then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []
        self.released = asyncio.Event()

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        return await self._hang("read") if COUNTERS in keys else await super().read(keys)

    async def update(self, key: str, change: Change) -> Record | None:
        return await self._hang("update")

    async def _hang(self, verb: str) -> NoReturn:
        self.waiting.append(verb)
        await self.released.wait()
        raise BackendError(f"{verb} has no answer")


async def test_stats_of_a_store_that_hangs_contain_the_counts_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = HangingBackend()
    async with CacheManager(backend) as cache:
        read = asyncio.create_task(cache.get_stats())
        await poll(lambda: backend.waiting == ["read"])
        monkeypatch.setattr(stats_reporter, "_REPORT_DELAY", 0.0)
        await cache.get("absent")
        for _ in range(20):
            await asyncio.sleep(0)
        monkeypatch.setattr(stats_reporter, "_REPORT_DELAY", 3600.0)
        backend.released.set()
        assert (await read).misses == 1


class SlowUsageBackend(FileBackend):
    """A store that writes access statistics when it is released."""

    released: asyncio.Event
    waiting = 0

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        self.waiting += 1
        await self.released.wait()
        await super().add_usage(usage)


async def test_entry_waits_for_hits_that_another_task_writes(cache_dir: Path) -> None:
    backend = SlowUsageBackend(cache_dir)
    backend.released = asyncio.Event()
    async with CacheManager(backend) as cache:
        await cache.set("k", 1)
        await cache.get("k")
        tasks = [asyncio.create_task(cache.entry("k")) for _ in range(2)]
        await poll(lambda: backend.waiting)
        for _ in range(20):
            await asyncio.sleep(0)
        backend.released.set()
        assert [entry.hit_count for task in tasks if (entry := await task)] == [1, 1]
    await backend.close()


@pytest.mark.parametrize(
    ("codec", "payload"), [("json", b"[1]"), ("json", b"nonsense"), ("unknown", b"{}")]
)
async def test_unreadable_counters_start_at_zero(codec: str, payload: bytes) -> None:
    backend = MemoryBackend()
    await backend.write([Record(Head(1, COUNTERS, codec, 0.0, len(payload)), payload)])
    cache = CacheManager(backend)
    await cache.get("absent")
    assert (await cache.get_stats()).misses == 1


async def test_entries_of_a_store_without_totals_are_counted_by_a_scan() -> None:
    async with CacheManager(SpyBackend(MemoryBackend())) as cache:
        await cache.set_many({"a": "x" * 10, "b": "x" * 20})
        stats = await cache.get_stats()
        entries = [await cache.entry(key) for key in "ab"]
    sizes = [entry.size_bytes for entry in entries if entry is not None]
    assert (stats.total_entries, stats.total_size_bytes) == (2, sum(sizes))


async def test_hits_of_threads_without_an_event_loop_are_reported() -> None:
    async with CacheManager("memory") as cache:
        await cache.set("k", 1)
        await cache.get_stats()
        peek = cache.loader.namespace.peek
        thread = threading.Thread(target=lambda: [peek("default:k") for _ in range(5)])
        thread.start()
        thread.join()
        assert (await cache.get_stats()).hits == 5


async def test_a_failed_report_loses_no_counts() -> None:
    backend = SpyBackend(MemoryBackend())
    async with CacheManager(backend) as cache:
        await cache.get("absent")
        backend.failing = OSError("away")
        assert (await cache.get_stats()).misses == 1
        backend.failing = None
        assert (await cache.get_stats()).misses == 1
    assert (await CacheManager(backend).get_stats()).misses == 1


async def test_each_namespace_has_its_own_counters() -> None:
    async with CacheManager("memory") as cache:
        views: Sequence[CacheManager] = [cache.namespace(str(n)) for n in range(5)]
        for number, view in enumerate(views):
            for _ in range(number):
                await view.get("absent")
        assert [(await view.get_stats()).misses for view in views] == [0, 1, 2, 3, 4]


async def test_a_failed_report_does_not_schedule_the_next() -> None:
    backend = SpyBackend(MemoryBackend())
    cache = CacheManager(backend)
    await cache.get("absent")
    backend.failing = OSError("no space left")
    reporter = get_reporter(cache)
    timer = reporter._timers.get()
    assert timer.handle is not None
    timer.handle.cancel()
    reporter._start_report(timer)
    assert timer.task is not None
    await timer.task
    assert timer.handle is None
    backend.failing = None
    stats = await cache.get_stats()
    assert (stats.misses, stats.errors) == (1, 0)


async def test_a_pop_that_finds_an_entry_counts_as_a_hit() -> None:
    async with CacheManager("memory") as cache:
        await cache.set("a", 1)
        assert (await cache.pop("a"), await cache.pop("a")) == (1, None)
        stats = await cache.get_stats()
        assert (stats.hits, stats.misses, stats.deletes) == (1, 1, 1)


async def test_damaged_counters_are_an_error_and_start_at_zero(cache_dir: Path) -> None:
    async with CacheManager("file", directory=cache_dir) as cache:
        await cache.set("a", 1)
    [counters] = cache_dir.glob("default+stats/*/*-counters")
    counters.write_bytes(counters.read_bytes()[:-1] + b"?")
    failures: list[BackendFailed] = []
    async with CacheManager("file", directory=cache_dir) as cache:
        cache.subscribe(BackendFailed, failures.append)
        stats = await cache.get_stats()
        assert (stats.sets, stats.errors) == (0, 1)
        assert [failure.verb for failure in failures] == ["stats"]
        await cache.set("b", 1)
        assert (await cache.get_stats()).sets == 1


def test_a_report_that_is_due_while_its_event_loop_ends_is_completed(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CacheManager("file", directory=cache_dir)

    async def use() -> None:
        await cache.get("absent")
        await cache.set("k", 1)

    for number in range(60):  # some reports are due just when the loop ends
        monkeypatch.setattr(stats_reporter, "_REPORT_DELAY", number % 30 * 0.0002)
        asyncio.run(use())
    gc.collect()
    assert not caplog.records  # "Task was destroyed but it is pending!"
    stats = asyncio.run(cache.get_stats())
    assert (stats.misses, stats.sets) == (60, 60)


def test_a_call_while_the_event_loop_ends_schedules_no_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stats_reporter, "_REPORT_DELAY", 3600.0)  # on a slow machine, too
    cache = CacheManager("memory")
    reporter = get_reporter(cache)

    async def call_at_loop_end() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await poll(lambda: reporter._loop_end.is_loop_ending)
            await cache.get("absent")

    async def use() -> stats_reporter._Timer:
        generator = call_at_loop_end()
        await anext(generator)
        await cache.get("absent")
        references.append(generator)
        return reporter._timers.get()

    references: list[object] = []
    timer = asyncio.run(use())
    assert timer.handle is not None
    assert timer.handle.cancelled()
    assert asyncio.run(cache.get_stats()).misses == 2


async def test_stats_are_available_during_steady_hits() -> None:
    async with CacheManager("memory") as cache:
        keys = [str(n) for n in range(1000)]
        await cache.set_many(dict.fromkeys(keys, 1))

        async def read() -> None:
            while True:
                await cache.get_many(keys)
                await asyncio.sleep(0)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            stats = await cache.get_stats()
        reading.cancel()
        assert stats.hits > 0
