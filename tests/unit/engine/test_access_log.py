"""Hits and last accesses reach the store whole, and in the background a few at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.engine.access_log import AccessLog


class Watched(MemoryBackend):
    """Notes how much usage it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[int] = []

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        self.chunks.append(len(usage))
        await super().add_usage(usage)


async def read_all(cache: CacheManager, times: int) -> None:
    await cache.set_many({str(n): n for n in range(100)})
    for _ in range(times):
        for n in range(100):
            assert await cache.get(str(n)) == n


async def test_in_the_background_usage_is_written_a_few_at_a_time() -> None:
    backend = Watched()
    cache = CacheManager(backend)
    await read_all(cache, 3)
    await cache._shared.reporter._report_gently()
    assert sum(backend.chunks) == 100
    assert max(backend.chunks) <= 32
    assert [(await backend.usage(f"default:{n}"))[0] for n in range(100)] == [3] * 100


async def test_at_close_all_that_is_left_is_written_at_once() -> None:
    backend = Watched()
    async with CacheManager(backend) as cache:
        await read_all(cache, 2)
    assert backend.chunks == [100]
    async with CacheManager(backend) as cache:
        entry = await cache.entry("7")
        assert entry is not None
        assert entry.hit_count == 2


async def test_much_usage_is_taken_in_without_holding_up_the_loop() -> None:
    backend, turns = Watched(), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    cache = CacheManager(backend)  # not used itself, so it reports nothing meanwhile
    log, space = AccessLog(cache._shared.engine), cache.loader.namespace
    for _ in range(2):
        log.add(space, {f"default:{n}": (1, 1000.0) for n in range(2000)})
    other = asyncio.create_task(count_turns())
    await log.write()
    other.cancel()
    assert turns >= 2 * (2000 // 256)
    assert backend.chunks == [2000]


async def test_loops_that_write_at_once_lose_nothing_and_disturb_nobody() -> None:
    backend = Watched()
    async with CacheManager(backend) as cache:
        log = cache._shared.reporter._usage
        space = cache._shared.reporter.get_namespace("default")
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for turn in range(20):
                log.add(space, {f"default:{turn}-{n}": (1, 1.0) for n in range(1000)})
                await log._take_in()
                await asyncio.gather(
                    *(asyncio.to_thread(lambda: asyncio.run(log.write(gently=True))) for _ in "ab"),
                    log.write(),
                )
        finally:
            sys.setswitchinterval(before)
        assert sum(backend.chunks) == 20_000
