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
from benchmarks.payload import COMPLETION, TTL
from benchmarks.redis_server import start_redis
from benchmarks.job import Job


@asynccontextmanager
async def open_memory(job: Job) -> AsyncIterator[Store]:
    """Open the memory store; its hits return the stored object itself."""

    async def complete(messages: object) -> None: ...

    decorate = cached(ttl=TTL, cache=SimpleMemoryCache)
    yield Store(
        decorate=decorate,
        make_key=lambda messages: decorate.get_cache_key(complete, (messages,), {}),
    )


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

            async def get_many(keys: Sequence[str]) -> dict[str, object]:
                return dict(zip(keys, await cache.multi_get(keys), strict=True))

            yield Store(get=cache.get, fill=fill, get_many=get_many, working_set=1000)
