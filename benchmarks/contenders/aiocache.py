"""aiocache: the best-known asynchronous cache, over memory and over Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiocache import (  # type: ignore[import-untyped]  # the library carries no types
    RedisCache,
    SimpleMemoryCache,
    cached,
)
from aiocache.serializers import JsonSerializer  # type: ignore[import-untyped]  # the same

from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import COMPLETION, TTL
from benchmarks.redis_server import start_redis


@asynccontextmanager
async def open_memory(job: Job) -> AsyncIterator[Store]:
    """Open the memory store; its hits return the stored object itself."""
    yield Store(decorate=cached(ttl=TTL, cache=SimpleMemoryCache))


@asynccontextmanager
async def open_redis(job: Job) -> AsyncIterator[Store]:
    """Open the Redis store with values as JSON."""
    with start_redis(job.directory) as url:
        parts = urlsplit(url)
        async with RedisCache(
            endpoint=parts.hostname, port=parts.port, serializer=JsonSerializer(), timeout=0
        ) as cache:

            async def fill(keys: Sequence[str]) -> None:
                await cache.multi_set([(key, COMPLETION) for key in keys], ttl=TTL)

            yield Store(get=cache.get, fill=fill, working_set=1000)
