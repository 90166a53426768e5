"""aiocache_pe over Redis, as it is by default: with files to fall back to."""

from __future__ import annotations

import asyncio

from aiocache_pe import CacheManager
from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, around, keys
from benchmarks.server import redis_server
from benchmarks.timing import awaited, awaited_hit, require

PACKAGES = ("aiocache_pe", "redis", "hiredis", "msgspec")
KEYS = 1000


async def get(job: Job) -> Sample:
    """A ``get`` past the memory tier: a round trip each."""
    with redis_server(job.directory) as url:
        async with CacheManager(
            "redis", redis_url=url, directory=job.directory, memory_max_bytes=0
        ) as cache:
            some = keys(KEYS)
            await cache.set_many(dict.fromkeys(some, COMPLETION), TTL)
            require(await cache.get(some[0]), COMPLETION)
            return Sample(await awaited(cache.get, some, around(some, job.n)))


async def tracked_get(job: Job) -> Sample:
    """A ``get`` from memory, of what the server says has not changed."""
    with redis_server(job.directory) as url:
        async with CacheManager("redis", redis_url=url, directory=job.directory) as cache:
            some = keys(100)
            await cache.set_many(dict.fromkeys(some, COMPLETION), TTL)
            await cache.get_many(some)
            await asyncio.sleep(0.5)  # its listener begins
            await cache.get_many(some)
            require(await cache.get(some[0]), COMPLETION)
            return Sample(await awaited(cache.get, some, around(some, job.n)))


async def get_many(job: Job) -> Sample:
    """1,000 keys in one round trip, past the memory tier; microseconds for all of them."""
    with redis_server(job.directory) as url:
        async with CacheManager(
            "redis", redis_url=url, directory=job.directory, memory_max_bytes=0
        ) as cache:
            some = keys(KEYS)
            await cache.set_many(dict.fromkeys(some, COMPLETION), TTL)
            require(await cache.get_many(some), dict.fromkeys(some, COMPLETION))
            return Sample(await awaited_hit(lambda: cache.get_many(some), job.n))
