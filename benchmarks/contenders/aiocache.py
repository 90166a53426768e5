"""aiocache: the best-known asynchronous cache, over its memory store."""

from __future__ import annotations

from aiocache import SimpleMemoryCache, cached  # type: ignore[import-untyped]  # has none

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, Model, around, chats, keys
from benchmarks.timing import awaited, awaited_call, blocking, require

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


def key(job: Job) -> Sample:
    """The key of a chat call: its ``repr``, as long as the call itself."""

    async def complete(messages: object) -> None: ...

    decorator = cached(ttl=TTL)
    return Sample(
        blocking(
            lambda messages: decorator.get_cache_key(complete, (messages,), {}),
            chats(job.n // 10, "warm"),
            chats(job.n),
        )
    )
