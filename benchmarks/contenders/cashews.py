"""cashews: memory, disk by way of diskcache in a thread, and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from cashews import Cache

from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import COMPLETION, TTL
from benchmarks.redis_server import start_redis


def open_memory(job: Job) -> AbstractAsyncContextManager[Store]:
    """Open the memory store."""
    return _open("mem://")


def open_disk(job: Job) -> AbstractAsyncContextManager[Store]:
    """Open the disk store."""
    return _open("disk://", directory=str(job.directory))


@asynccontextmanager
async def open_redis(job: Job) -> AsyncIterator[Store]:
    """Open the Redis store."""
    with start_redis(job.directory) as url:
        async with _open(url, client_side=False) as store:
            yield replace(store, working_set=1000)


@asynccontextmanager
async def open_client_side_redis(job: Job) -> AsyncIterator[Store]:
    """Open the Redis store with its client-side cache."""
    with start_redis(job.directory) as url:
        async with _open(url, client_side=True) as store:

            async def fill(keys: Sequence[str]) -> None:
                await store.fill(keys)
                await asyncio.sleep(0.2)  # until the listener for changes is connected

            yield replace(store, fill=fill, working_set=100)


@asynccontextmanager
async def _open(url: str, **settings: Any) -> AsyncIterator[Store]:
    cache = Cache()
    cache.setup(url, **settings)

    async def fill(keys: Sequence[str]) -> None:
        await cache.set_many(dict.fromkeys(keys, COMPLETION), expire=TTL)

    yield Store(
        decorate=cache(ttl=TTL),
        get=cache.get,
        put=partial(cache.set, value=COMPLETION, expire=TTL),
        fill=fill,
    )
    await cache.close()
