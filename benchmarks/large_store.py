"""File stores that already hold many entries, and the memory that an entry takes.

`fill` creates a directory that all rounds share, so every operation removes the keys that it
adds. The working set is the same at every size: only the store grows.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from functools import partial
from stat import S_ISREG
from statistics import median
from sys import getsizeof
from time import perf_counter
from typing import Any

from aiocache_pe import CacheManager
from benchmarks.job import Job
from benchmarks.payload import COMPLETION, TTL, make_keys, pick_keys, repeat_keys
from benchmarks.timing import require, time_async

WORKING_SET = 1000
BATCH = 1000
BLOCK = 512
"""Bytes of a block in ``st_blocks``, on every file system."""
BOUND_PER_ENTRY = 280
"""Bytes of the memory tier for each entry that is written: too few for all entries."""


async def fill(job: Job) -> float:
    """Write ``job.entries`` entries and return the seconds this takes."""
    start = perf_counter()
    async with _open(job) as cache:
        for first in range(0, job.entries, BATCH):
            keys = make_keys(min(BATCH, job.entries - first), start=first)
            await cache.set_many(dict.fromkeys(keys, COMPLETION))
    seconds = perf_counter() - start
    found = [path.stat() for path in job.directory.rglob("*")]
    files = [status.st_size for status in found if S_ISREG(status.st_mode)]
    job.notes.update(files=len(files), bytes=sum(files))
    job.notes["allocated_bytes"] = sum(status.st_blocks for status in found) * BLOCK
    return seconds


async def open_and_get(job: Job) -> float:
    """Open the store and read one entry; return the median in milliseconds."""
    key = pick_keys(job.entries, 1)[0]
    seconds = []
    for _ in range(max(3, job.n)):
        start = perf_counter()
        async with _open(job) as cache:
            value = await cache.get(key)
            seconds.append(perf_counter() - start)
        require(value, COMPLETION)
    return median(seconds[1:]) * 1e3


async def get(job: Job) -> float:
    """Read entries without a memory tier, from a warm page cache."""
    keys = pick_keys(job.entries, WORKING_SET)
    async with _open(job) as cache:
        require(await cache.get(keys[-1]), COMPLETION)
        return await time_async(cache.get, keys, repeat_keys(keys, job.n))


async def set_new(job: Job) -> float:
    """Store new keys one after the other, and delete them afterwards."""
    warm, keys = make_keys(job.n // 10, "warm"), make_keys(job.n, "new")
    async with _open(job) as cache:
        try:
            return await time_async(partial(cache.set, value=COMPLETION, ttl=TTL), warm, keys)
        finally:
            await cache.delete_many([*warm, *keys])


async def set_existing(job: Job) -> float:
    """Overwrite keys one after the other."""
    keys = pick_keys(job.entries, WORKING_SET)
    async with _open(job) as cache:
        put = partial(cache.set, value=COMPLETION, ttl=None)
        return await time_async(put, keys[: job.n // 10], repeat_keys(keys, job.n))


async def measure_tier_entry(job: Job) -> float:
    """Return the bytes that the memory tier keeps for an entry besides its key and its text.

    Memory that is also held without a tier, such as the paths of recent keys, is subtracted.
    """
    without_tier = await _trace(job, _make_text, 0)
    with_tier = await _trace(job, _make_text)
    key = make_keys(1, "k")[0]
    own = getsizeof(_make_text(key)) + getsizeof(f"default:{key}")
    return (with_tier - without_tier) / job.n - own


async def _measure_growth(make_value: Callable[[str], object], job: Job) -> float:
    """Return the growth of the process for each byte of the bound of a memory tier that evicts.

    The difference of two bounds excludes fixed costs, which are small beside a usual bound.
    """
    small, large = job.n * BOUND_PER_ENTRY // 2, job.n * BOUND_PER_ENTRY
    growth = await _trace(job, make_value, large) - await _trace(job, make_value, small)
    return growth / (large - small)


async def _trace(job: Job, make_value: Callable[[str], object], bound: int = 1 << 40) -> int:
    """Return the bytes held after ``n`` entries were written and read."""
    directory = job.directory / f"traced-{len(list(job.directory.iterdir()))}"
    async with CacheManager("file", directory=directory, memory_max_bytes=bound) as cache:
        await cache.set_many({key: make_value(key) for key in make_keys(100, "first")}, TTL)
        gc.collect()
        tracemalloc.start()
        for start in range(0, job.n, BATCH):
            keys = make_keys(min(BATCH, job.n - start), "k", start)
            await cache.set_many({key: make_value(key) for key in keys}, TTL)
            for key in keys:
                require(await cache.get(key), make_value(key))
        keys, key = [], ""
        await cache.namespace("empty").close()  # writes the access statistics, and only those
        await asyncio.sleep(0.1)  # until the loop and the threads drop their last objects
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held


def _make_text(key: str) -> str:
    return key.ljust(400, ".")


def _make_tuple(key: str) -> tuple[str, ...]:
    return tuple(f"{key}/{number}" for number in range(20))


def _open(job: Job) -> Any:
    return CacheManager("file", directory=job.directory, memory_max_bytes=0)


measure_text_growth = partial(_measure_growth, _make_text)
measure_tuple_growth = partial(_measure_growth, _make_tuple)
