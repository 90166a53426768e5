"""aiocache_pe, from the working tree: what every row compares the others with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aiocache_pe import CacheManager, cached, sync
from benchmarks.crowd import crowded
from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, Model, around, before, keys, to_read
from benchmarks.timing import (
    awaited,
    awaited_call,
    blocking_call,
    blocking_misses,
    concurrent,
    require,
    worst_stall,
)

PACKAGES = ("aiocache_pe", "msgspec", "aiofiles", "anyio")
BATCH = 1000


async def decorated_memory(job: Job) -> Sample:
    """A hit through the decorator over the memory store."""
    async with CacheManager("memory") as cache:
        return await _decorated(cache, job.n)


async def decorated_file(job: Job) -> Sample:
    """A hit in the memory tier over files, checked against the file every time."""
    async with CacheManager("file", directory=job.directory) as cache:
        return await _decorated(cache, job.n)


async def crowd_memory(job: Job) -> Sample:
    """1,000 callers on one missing key over the memory store."""
    async with CacheManager("memory") as cache:
        return Sample(await crowded(cached(cache=cache, ttl=TTL), job.n))


async def crowd_file(job: Job) -> Sample:
    """The same over files."""
    async with CacheManager("file", directory=job.directory) as cache:
        return Sample(await crowded(cached(cache=cache, ttl=TTL), job.n))


def blocking_memory(job: Job) -> Sample:
    """A hit of a plain function over the memory store, in a thread without a loop."""
    with sync.CacheManager("memory") as cache:
        return _blocking(cache, job.n)


def blocking_file(job: Job) -> Sample:
    """The same in the memory tier over files, checked against the file every time."""
    with sync.CacheManager("file", directory=job.directory) as cache:
        return _blocking(cache, job.n)


def blocking_miss_memory(job: Job) -> Sample:
    """A call of a plain function that is computed and stored in memory."""
    with sync.CacheManager("memory") as cache:
        return _blocking_miss(cache, job.n)


def blocking_miss_file(job: Job) -> Sample:
    """The same, stored in a file."""
    with sync.CacheManager("file", directory=job.directory) as cache:
        return _blocking_miss(cache, job.n)


async def memory_get(job: Job) -> Sample:
    """A bare ``get`` from memory; a mutable value is decoded for every caller."""
    async with CacheManager("memory") as cache:
        return await _get(cache, keys(100), job.n)


async def tier_get(job: Job) -> Sample:
    """The same in the memory tier over files, checked against the file every time."""
    async with CacheManager("file", directory=job.directory) as cache:
        return await _get(cache, keys(100), job.n)


async def file_get(job: Job) -> Sample:
    """``get`` from a file, the pages warm and the memory tier off."""
    async with CacheManager("file", directory=job.directory, memory_max_bytes=0) as cache:
        return await _get(cache, to_read(job.n), job.n)


async def file_stall(job: Job) -> Sample:
    """What such reads do to the loop."""
    some = to_read(job.n)
    async with CacheManager("file", directory=job.directory, memory_max_bytes=0) as cache:
        await cache.set_many(dict.fromkeys(some, COMPLETION), TTL)
        return Sample(await worst_stall(cache.get, some, around(some, job.n)))


async def set_new(job: Job) -> Sample:
    """One awaited ``set`` after another, to new keys."""
    return await _set(job.directory, keys(job.n // 10, "warm"), keys(job.n), together=False)


async def set_again(job: Job) -> Sample:
    """The same to keys that are there."""
    return await _set(job.directory, keys(job.n), keys(job.n), together=False)


async def concurrent_set_new(job: Job) -> Sample:
    """64 tasks that each await one ``set`` after another, to new keys."""
    return await _set(job.directory, keys(job.n // 10, "warm"), keys(job.n), together=True)


async def concurrent_set_again(job: Job) -> Sample:
    """The same to keys that are there."""
    return await _set(job.directory, keys(job.n), keys(job.n), together=True)


async def set_many_new(job: Job) -> Sample:
    """``set_many`` of 1,000 new keys at a time, per item."""
    return await _set_many(job.directory, keys(BATCH, "warm"), keys(max(BATCH, job.n)))


async def set_many_again(job: Job) -> Sample:
    """The same to keys that are there."""
    same = keys(max(BATCH, job.n))
    return await _set_many(job.directory, same, same)


async def _decorated(cache: CacheManager, n: int) -> Sample:
    model = Model()
    ask = cached(cache=cache, ttl=TTL)(model.function())
    return Sample(await awaited_call(ask, model, n))


def _blocking(cache: sync.CacheManager, n: int) -> Sample:
    model = Model()
    ask = cached(cache=cache, ttl=TTL)(model.blocking_function())
    return Sample(blocking_call(ask, model, n))


def _blocking_miss(cache: sync.CacheManager, n: int) -> Sample:
    model = Model()
    ask = cached(cache=cache, ttl=TTL)(model.blocking_function())
    return Sample(blocking_misses(ask, model, n))


async def _get(cache: CacheManager, some: Sequence[str], n: int) -> Sample:
    await cache.set_many(dict.fromkeys(some, COMPLETION), TTL)
    require(await cache.get(some[0]), COMPLETION)
    return Sample(await awaited(cache.get, some, around(some, n)))


async def _set(
    directory: Path, warm: Sequence[str], some: Sequence[str], *, together: bool
) -> Sample:
    stopwatch = concurrent if together else awaited
    async with CacheManager("file", directory=directory) as cache:
        await cache.set_many(dict.fromkeys(before(len(some)), COMPLETION), TTL)
        store = partial(cache.set, value=COMPLETION, ttl=TTL)
        microseconds = await stopwatch(store, warm, some)
        require(await cache.get(some[-1]), COMPLETION)
        return Sample(microseconds)


async def _set_many(directory: Path, warm: Sequence[str], some: Sequence[str]) -> Sample:
    async with CacheManager("file", directory=directory) as cache:

        async def store(start: str) -> None:
            first = int(start)
            await cache.set_many(dict.fromkeys(some[first : first + BATCH], COMPLETION), TTL)

        await cache.set_many(dict.fromkeys(before(len(some)), COMPLETION), TTL)
        await cache.set_many(dict.fromkeys(warm, COMPLETION), TTL)
        batches = [str(first) for first in range(0, len(some), BATCH)]
        microseconds = await awaited(store, (), batches)
        require(await cache.get(some[-1]), COMPLETION)
        return Sample(microseconds * len(batches) / len(some))
