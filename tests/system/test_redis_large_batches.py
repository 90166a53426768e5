"""Large batches over Redis: they take longer than a time-out, and fail in part at most."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from redis import Redis

from aiocache_pe import CacheManager
from aiocache_pe.backends.fallback.backend import FallbackBackend
from tests.support.internals import get_backend
from tests.support.scale import scale_size
from tests.support.servers.deployments import Proxy
from tests.support.servers.redis_server import Server

FALLBACKS = pytest.mark.parametrize("fallback", ["file", None])


@pytest.fixture
def slow_proxy(own_redis: Server) -> Iterator[Proxy]:
    """Yield a proxy that transfers 80 Mbit/s."""
    proxy = Proxy(own_redis.port)
    proxy.bytes_per_second = 10_000_000
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.mark.timeout(120)
@FALLBACKS
async def test_a_batch_of_30_megabytes_over_a_slow_line_is_done(
    fallback: Literal["file"] | None, slow_proxy: Proxy, cache_dir: Path
) -> None:
    values = {f"k{n}": f"{n:05d}" * 2000 for n in range(3000)}
    async with CacheManager(
        "redis",
        redis_url=f"redis://127.0.0.1:{slow_proxy.port}",
        directory=cache_dir,
        fallback=fallback,
        compression=None,
        memory_max_bytes=0,
    ) as cache:
        assert await cache.set_many(values)
        assert await cache.get_many(values) == values
        assert await cache.delete_many(values) == 3000
        backend = get_backend(cache)
        assert not (isinstance(backend, FallbackBackend) and backend.is_away)


@pytest.mark.timeout(120)
async def test_a_large_deletion_is_done(own_redis: Server, cache_dir: Path) -> None:
    url = own_redis.default_url
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        keys = [f"k{n}" for n in range(scale_size(10_000))]
        assert await cache.set_many(dict.fromkeys(keys, 1))
        assert await cache.delete_many(keys) == len(keys)
        backend = get_backend(cache)
        assert isinstance(backend, FallbackBackend)
        assert not backend.is_away


async def test_a_batch_that_fails_in_part_reports_what_was_done(own_redis: Server) -> None:
    url = f"{own_redis.default_url}?socket_timeout=0.5"
    async with CacheManager("redis", redis_url=url, fallback=None) as cache:
        keys = [f"k{n}" for n in range(5000)]
        assert await cache.set_many(dict.fromkeys(keys, 1))
        deletes = (await cache.get_stats()).deletes
        with Redis.from_url(own_redis.url) as admin:
            deleting = asyncio.ensure_future(cache.delete_many(keys))
            while admin.exists("aiocache_pe:default:k2500"):  # noqa: ASYNC110 - a server has no event
                await asyncio.sleep(0)
            own_redis.freeze()
            removed = await deleting
            own_redis.thaw()
            left = sum(admin.exists(f"aiocache_pe:default:{key}") for key in keys)
        # The server executes the part that it had received when it continues.
        assert 1000 <= removed < 5000
        assert 0 <= 5000 - left - removed <= 1000
        assert (await cache.get_stats()).deletes - deletes == removed
