"""aiocache_pe, from the working tree: every other contender is compared with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from aiocache_pe import CacheManager, cached, sync
from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import COMPLETION, TTL
from benchmarks.redis_server import start_redis


def open_memory(job: Job) -> AbstractAsyncContextManager[Store]:
    """Open the memory store."""
    return _open("memory")


def open_files(job: Job) -> AbstractAsyncContextManager[Store]:
    """Open the file store; a hit in the memory tier is checked against the file."""
    return _open("file", directory=job.directory)


def open_untiered_files(job: Job) -> AbstractAsyncContextManager[Store]:
    """Open the file store without a memory tier."""
    return _open("file", directory=job.directory, memory_max_bytes=0)


@asynccontextmanager
async def open_redis(job: Job) -> AsyncIterator[Store]:
    """Open the Redis store with its defaults: tracked memory tier, fallback to files."""
    with start_redis(job.directory) as url:
        async with _open("redis", redis_url=url, directory=job.directory) as store:

            async def fill(keys: Sequence[str]) -> None:
                await store.fill(keys)
                await store.get_many(keys)
                await asyncio.sleep(0.5)  # until the listener for changes is connected
                await store.get_many(keys)

            yield replace(store, fill=fill, working_set=100)


@asynccontextmanager
async def open_untiered_redis(job: Job) -> AsyncIterator[Store]:
    """Open the Redis store without a memory tier: one round trip for each read."""
    with start_redis(job.directory) as url:
        async with _open(
            "redis", redis_url=url, directory=job.directory, memory_max_bytes=0
        ) as store:
            yield replace(store, working_set=1000)


@contextmanager
def open_blocking_memory(job: Job) -> Iterator[Store]:
    """Open the memory store in a thread without an event loop."""
    with sync.CacheManager("memory") as cache:
        yield Store(decorate=cached(cache=cache, ttl=TTL))


@contextmanager
def open_blocking_files(job: Job) -> Iterator[Store]:
    """Open the file store in a thread without an event loop."""
    with sync.CacheManager("file", directory=job.directory) as cache:
        yield Store(decorate=cached(cache=cache, ttl=TTL))


@asynccontextmanager
async def _open(backend: str, **settings: Any) -> AsyncIterator[Store]:
    async with CacheManager(backend, **settings) as cache:

        async def complete(
            messages: Any, model: str = "small", temperature: float = 0.2
        ) -> None: ...

        async def fill(keys: Sequence[str]) -> None:
            await cache.set_many(dict.fromkeys(keys, COMPLETION), TTL)

        yield Store(
            decorate=cached(cache=cache, ttl=TTL),
            get=cache.get,
            put=partial(cache.set, value=COMPLETION, ttl=TTL),
            fill=fill,
            get_many=cache.get_many,
            make_key=cached(cache=cache)(complete).cache_key,
        )
