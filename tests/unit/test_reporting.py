"""Counters that cannot be read are told of, not taken for zero."""

from __future__ import annotations

from pathlib import Path

from aiocache_pe import CacheManager
from aiocache_pe.events import BackendFailed


async def test_damaged_counters_are_an_error_that_is_told(cache_dir: Path) -> None:
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
