"""Counters on their way to the store: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.base import Change
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine import stats_reporter
from aiocache_pe.events import BackendFailed
from aiocache_pe.record import Head, Record
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.polling import poll

COUNTERS = "default+stats:counters"


class Slow(MemoryBackend):
    """Its update waits, before the change or after it, until it is let go."""

    def __init__(self, *, change_first: bool) -> None:
        super().__init__()
        self.change_first = change_first
        self.waiting = 0
        self.go = asyncio.Event()

    async def update(self, key: str, change: Change) -> Record | None:
        stored = await super().update(key, change) if self.change_first else None
        self.waiting += 1
        await self.go.wait()
        return stored if self.change_first else await super().update(key, change)


@pytest.mark.parametrize("change_first", [False, True])
async def test_a_report_that_is_cancelled_is_counted_once(change_first: bool) -> None:
    backend = Slow(change_first=change_first)
    cache = CacheManager(backend)
    await cache.get("absent")
    task = asyncio.create_task(cache.get_stats())
    await poll(lambda: backend.waiting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    backend.go.set()
    assert (await cache.get_stats()).misses == 1
    assert (await CacheManager(backend).get_stats()).misses == 1


async def test_counters_that_another_is_adding_are_waited_for() -> None:
    backend = Slow(change_first=False)
    async with CacheManager(backend) as cache:
        await cache.get("absent")
        asked = [asyncio.create_task(cache.get_stats()) for _ in range(2)]
        await poll(lambda: backend.waiting)
        for _ in range(20):
            await asyncio.sleep(0)  # the second has nothing to report, and would have looked
        looked = [task.done() for task in asked]
        backend.go.set()
        assert looked == [False, False]
        assert [(await task).misses for task in asked] == [1, 1]


class SlowToNote(FileBackend):
    """Notes who was read when it is let go."""

    go: asyncio.Event
    noting = 0

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        self.noting += 1
        await self.go.wait()
        await super().add_usage(usage)


async def test_hits_that_another_is_noting_are_waited_for(cache_dir: Path) -> None:
    backend = SlowToNote(cache_dir)
    backend.go = asyncio.Event()
    async with CacheManager(backend) as cache:
        await cache.set("k", 1)
        await cache.get("k")
        asked = [asyncio.create_task(cache.entry("k")) for _ in range(2)]
        await poll(lambda: backend.noting)
        for _ in range(20):
            await asyncio.sleep(0)
        backend.go.set()
        assert [entry.hit_count for task in asked if (entry := await task)] == [1, 1]
    await backend.close()


@pytest.mark.parametrize(
    ("codec", "payload"), [("json", b"[1]"), ("json", b"nonsense"), ("unknown", b"{}")]
)
async def test_counters_that_cannot_be_read_begin_anew(codec: str, payload: bytes) -> None:
    backend = MemoryBackend()
    await backend.write([Record(Head(1, COUNTERS, codec, 0.0, len(payload)), payload)])
    cache = CacheManager(backend)
    await cache.get("absent")
    assert (await cache.get_stats()).misses == 1


async def test_a_store_that_does_not_know_its_size_is_counted() -> None:
    async with CacheManager(SpyBackend(MemoryBackend())) as cache:
        await cache.set_many({"a": "x" * 10, "b": "x" * 20})
        stats = await cache.get_stats()
        entries = [await cache.entry(key) for key in "ab"]
    sizes = [entry.size_bytes for entry in entries if entry is not None]
    assert (stats.total_entries, stats.total_size_bytes) == (2, sum(sizes))


async def test_what_threads_without_a_loop_do_goes_with_the_next_report() -> None:
    async with CacheManager("memory") as cache:
        await cache.set("k", 1)
        await cache.get_stats()
        space = cache.loader.namespace
        thread = threading.Thread(target=lambda: [space.peek("default:k") for _ in range(5)])
        thread.start()
        thread.join()
        assert (await cache.get_stats()).hits == 5


async def test_failing_to_report_loses_nothing() -> None:
    recorder = SpyBackend(MemoryBackend())
    async with CacheManager(recorder) as cache:
        await cache.get("absent")
        recorder.failing = OSError("away")
        assert (await cache.get_stats()).misses == 1
        recorder.failing = None
        assert (await cache.get_stats()).misses == 1
    assert (await CacheManager(recorder).get_stats()).misses == 1


async def test_many_namespaces_report_each_its_own() -> None:
    async with CacheManager("memory") as cache:
        views: Sequence[CacheManager] = [cache.namespace(str(n)) for n in range(5)]
        for number, view in enumerate(views):
            for _ in range(number):
                await view.get("absent")
        assert [(await view.get_stats()).misses for view in views] == [0, 1, 2, 3, 4]


async def test_a_report_that_fails_does_not_bring_about_the_next() -> None:
    recorder = SpyBackend(MemoryBackend())
    cache = CacheManager(recorder)
    await cache.get("absent")
    recorder.failing = OSError("no space left")
    reporter = cache._shared.reporter
    timer = reporter._timers.get()
    assert timer.handle is not None
    timer.handle.cancel()
    reporter._fire(timer)
    assert timer.task is not None
    await timer.task
    assert timer.handle is None
    recorder.failing = None
    assert (await cache.get_stats()).errors == 1


async def test_a_pop_that_finds_something_is_a_hit() -> None:
    async with CacheManager("memory") as cache:
        await cache.set("a", 1)
        assert (await cache.pop("a"), await cache.pop("a")) == (1, None)
        stats = await cache.get_stats()
        assert (stats.hits, stats.misses, stats.deletes) == (1, 1, 1)


async def test_damaged_counters_are_told_of_and_not_taken_for_zero(cache_dir: Path) -> None:
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


def test_a_report_that_comes_due_while_a_loop_ends_is_not_left_undone_in_it(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CacheManager("file", directory=cache_dir)

    async def use() -> None:
        await cache.get("absent")
        await cache.set("k", 1)

    for number in range(60):
        monkeypatch.setattr(stats_reporter, "_DELAY", number % 30 * 0.0002)  # some when it ends
        asyncio.run(use())
    gc.collect()
    assert not caplog.records  # "Task was destroyed but it is pending!"
    stats = asyncio.run(cache.get_stats())
    assert (stats.misses, stats.sets) == (60, 60)


def test_what_is_done_while_a_loop_ends_begins_no_report_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stats_reporter, "_DELAY", 3600.0)  # none is due however slow the machine
    cache = CacheManager("memory")
    reporter = cache._shared.reporter

    async def late() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await poll(lambda: reporter._at_end.is_loop_ending)
            await cache.get("absent")

    async def use() -> stats_reporter._Timer:
        generator = late()
        await anext(generator)
        await cache.get("absent")
        kept.append(generator)
        return reporter._timers.get()

    kept: list[object] = []
    timer = asyncio.run(use())
    assert timer.handle is not None
    assert timer.handle.cancelled()
    assert asyncio.run(cache.get_stats()).misses == 2


async def test_steady_hits_do_not_keep_counters_from_being_told() -> None:
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
        assert stats.hits >= 1000
