"""File stores that already hold many entries, and the memory that an entry takes.

`fill` creates a directory that all rounds share, so every operation removes the keys that it
adds. The working set is the same at every size: only the store grows.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
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
REPORTED = 2.0
"""Seconds after which the access statistics, which are no part of the tier, are written."""


async def fill(job: Job) -> float:
    """Write ``job.entries`` entries and return the seconds this takes."""
    start = perf_counter()
    async with _open(job) as cache:
        for first in range(0, job.entries, BATCH):
            keys = make_keys(min(BATCH, job.entries - first), start=first)
            await cache.set_many(dict.fromkeys(keys, COMPLETION))
    seconds = perf_counter() - start
    files = [Path(folder, name) for folder, _, names in os.walk(job.directory) for name in names]
    folders = [Path(folder) for folder, _, _ in os.walk(job.directory)]
    job.notes["files"] = len(files)
    job.notes["bytes"] = sum(path.stat().st_size for path in files)
    job.notes["allocated_bytes"] = sum(
        path.stat().st_blocks * BLOCK for path in (*files, *folders)
    )
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
    """Return the bytes that the memory tier keeps for an entry besides its key and value.

    Two runs with texts of different lengths define a line. Its slope is the number of copies
    of a text that are kept; its start is the cost of an entry itself. Memory that is also held
    without a tier, such as the paths of recent keys, is subtracted.
    """
    short, long = 200, 1200
    without_tier = await _trace(job, partial(_make_text, short), memory_max_bytes=0)
    low, high = [
        (await _trace(job, partial(_make_text, length)) - without_tier) / job.n
        for length in (short, long)
    ]
    copies = (high - low) / (long - short)
    key = make_keys(1, "k")[0]
    job.notes["copies_of_text"] = round(copies, 3)
    job.notes["without_tier"] = without_tier
    return low - copies * getsizeof(_make_text(short, key)) - getsizeof(f"default:{key}")


async def measure_text_growth(job: Job) -> float:
    """Return the growth of the process by texts, as a multiple of the tier's bound."""
    return await _measure_growth(job, partial(_make_text, 400))


async def measure_dict_growth(job: Job) -> float:
    """Return the growth of the process by dicts, as a multiple of the tier's bound."""
    return await _measure_growth(job, lambda key: {"key": key, "numbers": list(range(40))})


async def measure_tuple_growth(job: Job) -> float:
    """Return the growth of the process by tuples, as a multiple of the tier's bound."""
    return await _measure_growth(job, lambda key: tuple(f"{key}/{n}" for n in range(20)))


async def _measure_growth(job: Job, make_value: Callable[[str], object]) -> float:
    bound = job.n * BOUND_PER_ENTRY
    return await _trace(job, make_value, memory_max_bytes=bound) / bound


async def _trace(
    job: Job, make_value: Callable[[str], object], memory_max_bytes: int = 1 << 40
) -> int:
    """Return the bytes held after ``n`` entries were written and read."""
    directory = job.directory / f"traced-{len(list(job.directory.iterdir()))}"
    async with CacheManager(
        "file", directory=directory, memory_max_bytes=memory_max_bytes
    ) as cache:
        await cache.set_many({key: make_value(key) for key in make_keys(100, "first")}, TTL)
        gc.collect()
        tracemalloc.start()
        for start in range(0, job.n, BATCH):
            keys = make_keys(min(BATCH, job.n - start), "k", start)
            await cache.set_many({key: make_value(key) for key in keys}, TTL)
            for key in keys:
                require(await cache.get(key), make_value(key))
        del keys, key
        await asyncio.sleep(REPORTED)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held


def _make_text(length: int, key: str) -> str:
    return key.ljust(length, ".")


def _open(job: Job) -> Any:
    return CacheManager("file", directory=job.directory, memory_max_bytes=0)
