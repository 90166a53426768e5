"""aiocache over Redis, values as JSON."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiocache import RedisCache
from aiocache.serializers import JsonSerializer

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, around, keys
from benchmarks.server import redis_server
from benchmarks.timing import awaited, awaited_hit, require

PACKAGES = ("aiocache", "redis")
KEYS = 1000


async def get(job: Job) -> Sample:
    """A ``get``."""
    with redis_server(job.directory) as url:
        async with _cache(url) as cache:
            some = keys(KEYS)
            await cache.multi_set([(key, COMPLETION) for key in some], ttl=TTL)
            require(await cache.get(some[0]), COMPLETION)
            return Sample(await awaited(cache.get, some, around(some, job.n)))


async def get_many(job: Job) -> Sample:
    """A ``multi_get`` of 1,000."""
    with redis_server(job.directory) as url:
        async with _cache(url) as cache:
            some = keys(KEYS)
            await cache.multi_set([(key, COMPLETION) for key in some], ttl=TTL)
            require((await cache.multi_get(some))[0], COMPLETION)
            return Sample(await awaited_hit(lambda: cache.multi_get(some), job.n))


def _cache(url: str) -> RedisCache:
    parts = urlsplit(url)
    return RedisCache(
        endpoint=parts.hostname, port=parts.port, serializer=JsonSerializer(), timeout=0
    )
