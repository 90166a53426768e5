"""cashews: memory, and disk by way of diskcache in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cashews import Cache
from cashews.key import get_cache_key

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, Model, around, before, chats, keys, to_read
from benchmarks.timing import awaited, awaited_call, blocking, require, worst_stall

PACKAGES = ("cashews", "diskcache")


async def decorated_memory(job: Job) -> Sample:
    """A hit through the decorator over ``mem://``."""
    return await _decorated("mem://", None, job.n)


async def decorated_disk(job: Job) -> Sample:
    """A hit through the decorator over ``disk://``."""
    return await _decorated("disk://", job.directory, job.n)


def key(job: Job) -> Sample:
    """The key of a chat call, as long as the call itself."""

    async def complete(messages: object) -> None: ...

    return Sample(
        blocking(
            lambda messages: get_cache_key(complete, None, (messages,)),
            chats(job.n // 10, "warm"),
            chats(job.n),
        )
    )


async def memory_get(job: Job) -> Sample:
    """A bare ``get``; it hands out the very object that was stored."""
    cache = _cache("mem://", None)
    hot = keys(100)
    await cache.set_many(dict.fromkeys(hot, COMPLETION), expire=TTL)
    require(await cache.get(hot[0]), COMPLETION)
    microseconds = await awaited(cache.get, hot, around(hot, job.n))
    await cache.close()
    return Sample(microseconds)


async def disk_get(job: Job) -> Sample:
    """A ``get`` from disk, the pages warm."""
    some = to_read(job.n)
    cache = await _filled(job.directory, some)
    microseconds = await awaited(cache.get, some, around(some, job.n))
    await cache.close()
    return Sample(microseconds)


async def disk_stall(job: Job) -> Sample:
    """What its reads in threads do to the loop."""
    some = to_read(job.n)
    cache = await _filled(job.directory, some)
    milliseconds = await worst_stall(cache.get, some, around(some, job.n))
    await cache.close()
    return Sample(milliseconds)


async def disk_set_new(job: Job) -> Sample:
    """One awaited ``set`` after another, to new keys."""
    return await _set(job.directory, keys(job.n // 10, "warm"), keys(job.n))


async def disk_set_again(job: Job) -> Sample:
    """The same to keys that are there."""
    return await _set(job.directory, keys(job.n), keys(job.n))


async def _set(directory: Path, warm: Sequence[str], some: Sequence[str]) -> Sample:
    cache = _cache("disk://", directory)
    await cache.set_many(dict.fromkeys(before(len(some)), COMPLETION), expire=TTL)
    store = partial(cache.set, value=COMPLETION, expire=TTL)
    microseconds = await awaited(store, warm, some)
    await cache.close()
    return Sample(microseconds)


async def _decorated(url: str, directory: Path | None, n: int) -> Sample:
    model = Model()
    cache = _cache(url, directory)
    ask = cache(ttl=TTL)(model.function())
    microseconds = await awaited_call(ask, model, n)
    await cache.close()
    return Sample(microseconds)


async def _filled(directory: Path, some: Sequence[str]) -> Cache:
    cache = _cache("disk://", directory)
    await cache.set_many(dict.fromkeys(some, COMPLETION), expire=TTL)
    require(await cache.get(some[0]), COMPLETION)
    return cache


def _cache(url: str, directory: Path | None) -> Cache:
    cache = Cache()
    if directory is None:
        cache.setup(url)
    else:
        cache.setup(url, directory=str(directory))
    return cache
