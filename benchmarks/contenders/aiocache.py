"""aiocache: the best-known asynchronous cache, over its memory store."""

from __future__ import annotations

from aiocache import SimpleMemoryCache, cached  # type: ignore[import-untyped]  # has none

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, Model, around, keys
from benchmarks.timing import awaited, awaited_call, require

PACKAGES = ("aiocache",)


async def decorated_hit(job: Job) -> Sample:
    """A hit through ``@cached``."""
    model = Model()
    ask = cached(ttl=TTL)(model.function())
    return Sample(await awaited_call(ask, model, job.n))


async def memory_get(job: Job) -> Sample:
    """A bare ``get``; it hands out the very object that was stored."""
    cache = SimpleMemoryCache()
    hot = keys(100)
    for key in hot:
        await cache.set(key, COMPLETION, ttl=TTL)
    require(await cache.get(hot[0]), COMPLETION)
    return Sample(await awaited(cache.get, hot, around(hot, job.n)))
