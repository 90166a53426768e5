"""Hits and last accesses reach the store complete, and in small batches in the background."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine.access_log import AccessLog
from tests.support.internals import get_engine


class RecordingBackend(MemoryBackend):
    """A store that records the sizes of the batches that it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        self.batches.append(len(usage))
        await super().add_usage(usage)


@pytest.fixture
def backend() -> RecordingBackend:
    return RecordingBackend()


@pytest.fixture
async def cache(backend: RecordingBackend) -> AsyncIterator[CacheManager]:
    async with CacheManager(backend) as cache:
        yield cache


@pytest.fixture
def log(cache: CacheManager, backend: RecordingBackend) -> AccessLog:
    return AccessLog(backend, get_engine(cache).clock)


async def test_background_writes_are_small(
    cache: CacheManager, backend: RecordingBackend, log: AccessLog
) -> None:
    await cache.set_many({str(n): n for n in range(100)})
    for _ in range(3):
        usage = {f"default:{n}": (1, 1000.0) for n in range(100)}
        log.add(cache.loader.namespace.attempt, usage)
    await log.write(in_background=True)
    assert sum(backend.batches) == 100
    assert max(backend.batches) <= 32
    assert [(await backend.usage(f"default:{n}"))[0] for n in range(100)] == [3] * 100


async def test_closing_writes_the_rest_at_once(backend: RecordingBackend) -> None:
    async with CacheManager(backend) as cache:
        await cache.set_many({str(n): n for n in range(100)})
        for _ in range(2):
            for n in range(100):
                assert await cache.get(str(n)) == n
    assert backend.batches == [100]
    async with CacheManager(backend) as cache:
        entry = await cache.entry("7")
        assert entry is not None
        assert entry.hit_count == 2


async def test_merging_many_entries_does_not_block_the_event_loop(
    cache: CacheManager, backend: RecordingBackend, log: AccessLog
) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    for _ in range(2):
        usage = {f"default:{n}": (1, 1000.0) for n in range(2000)}
        log.add(cache.loader.namespace.attempt, usage)
    other = asyncio.create_task(count_turns())
    await log.write()
    other.cancel()
    assert turns >= 2 * (2000 // 256)
    assert backend.batches == [2000]


async def test_concurrent_writes_of_several_event_loops_lose_nothing(
    cache: CacheManager, backend: RecordingBackend, log: AccessLog
) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for turn in range(20):
            usage = {f"default:{turn}-{n}": (1, 1.0) for n in range(1000)}
            log.add(cache.loader.namespace.attempt, usage)
            await log._merge_incoming()
            background_writes = [
                asyncio.to_thread(lambda: asyncio.run(log.write(in_background=True)))
                for _ in range(2)
            ]
            await asyncio.gather(*background_writes, log.write())
    finally:
        sys.setswitchinterval(before)
    assert sum(backend.batches) == 20_000


async def test_statistics_that_wait_for_a_slow_store_take_a_bounded_part_of_memory(
    log: AccessLog, backend: RecordingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiocache_pe.engine.access_log._MAX_MERGED", 64)
    usage = {f"default:{n}": (1, 1000.0) for n in range(1000)}

    async def attempt(verb: str, work: object, otherwise: None) -> None:
        await work  # type: ignore[misc]  # an awaitable

    log.add(attempt, dict(usage))
    await log.write(in_background=True)
    assert sum(backend.batches) == 64
    log.add(attempt, dict(usage))
    await log.write()
    assert sum(backend.batches) == 64 + 1000
