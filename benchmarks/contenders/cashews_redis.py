"""cashews over Redis, also with its client-side cache."""

from __future__ import annotations

import asyncio

from cashews import Cache

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, around, keys
from benchmarks.server import redis_server
from benchmarks.timing import awaited, awaited_hit, require

PACKAGES = ("cashews", "redis")
KEYS = 1000


async def get(job: Job) -> Sample:
    """A ``get``."""
    return await _get(job, KEYS, client_side=False)


async def client_side_get(job: Job) -> Sample:
    """A ``get`` from its client-side cache."""
    return await _get(job, 100, client_side=True)


async def get_many(job: Job) -> Sample:
    """A ``get_many`` of 1,000."""
    with redis_server(job.directory) as url:
        cache = await _filled(url, KEYS, client_side=False)
        some = keys(KEYS)
        require((await cache.get_many(*some))[0], COMPLETION)
        microseconds = await awaited_hit(lambda: cache.get_many(*some), job.n)
        await cache.close()
        return Sample(microseconds)


async def _get(job: Job, size: int, *, client_side: bool) -> Sample:
    with redis_server(job.directory) as url:
        cache = await _filled(url, size, client_side=client_side)
        some = keys(size)
        require(await cache.get(some[0]), COMPLETION)
        microseconds = await awaited(cache.get, some, around(some, job.n))
        await cache.close()
        return Sample(microseconds)


async def _filled(url: str, size: int, *, client_side: bool) -> Cache:
    cache = Cache()
    cache.setup(url, client_side=client_side)
    await cache.set_many(dict.fromkeys(keys(size), COMPLETION), expire=TTL)
    await asyncio.sleep(0.2)  # its listener begins
    return cache
