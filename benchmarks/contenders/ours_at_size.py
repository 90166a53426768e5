"""aiocache_pe over a directory that already holds many entries, and its memory per entry.

The directory is filled by `benchmarks.population` and shared by all rounds, so whatever an
operation adds it takes away again. The same number of keys is worked on at every size:
it is the store that grows, not the working set.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from statistics import median
from sys import getsizeof
from time import perf_counter

from aiocache_pe import CacheManager
from aiocache_pe.engine.memory_entry import OVERHEAD
from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, around, keys, spread
from benchmarks.timing import awaited, require

PACKAGES = ("aiocache_pe", "msgspec", "aiofiles", "anyio")
WORKING_SET = 1000
_PART = 5000  # entries that are written at once
_WITHOUT = 10_000  # entries at the most that show what is kept without a tier


async def open_(job: Job) -> Sample:
    """From nothing to the first answer, in milliseconds: open, one ``get``; then close."""
    key = spread(job.entries, 1)[0]
    seconds = []
    for _ in range(max(3, job.n)):
        start = perf_counter()
        async with CacheManager("file", directory=job.directory, memory_max_bytes=0) as cache:
            value = await cache.get(key)
            seconds.append(perf_counter() - start)
        require(value, COMPLETION)
    return Sample(median(seconds[1:]) * 1e3)


async def get(job: Job) -> Sample:
    """``get`` with the pages warm and the memory tier off."""
    some = spread(job.entries, WORKING_SET)
    async with _opened(job) as cache:
        require(await cache.get(some[-1]), COMPLETION)
        return Sample(await awaited(cache.get, some, around(some, job.n)))


async def set_new(job: Job) -> Sample:
    """One awaited ``set`` after another, to new keys, which are deleted afterwards."""
    warm, some = keys(job.n // 10, "warm"), keys(job.n, "new")
    async with _opened(job) as cache:
        try:
            store = partial(cache.set, value=COMPLETION, ttl=TTL)
            return Sample(await awaited(store, warm, some))
        finally:
            await cache.delete_many([*warm, *some])


async def set_again(job: Job) -> Sample:
    """One awaited ``set`` after another, to keys that are there."""
    some = spread(job.entries, WORKING_SET)
    async with _opened(job) as cache:
        store = partial(cache.set, value=COMPLETION, ttl=None)
        return Sample(await awaited(store, some[: job.n // 10], around(some, job.n)))


async def tier_overhead(job: Job) -> Sample:
    """Bytes that the memory tier keeps for an entry besides its key and its payload.

    Two fillings whose texts differ only in length give a line: its slope says how many
    copies of a payload are kept, and where it begins is what an entry costs by itself. What
    is kept without a tier as well, such as the paths of recent keys, is not the tier's.
    """
    return await _overhead(job, "adaptive", full=False)


async def _overhead(job: Job, policy: str, *, full: bool) -> Sample:
    short, long = 200, 1200
    fewer = replace(job, n=min(job.n, _WITHOUT), directory=job.directory / "without")
    without, _ = await _traced(fewer, short, policy, 0)
    low = await _traced_tier(job, short, policy, without, full=full)
    high = await _traced_tier(job, long, policy, without, full=full)
    copies = (high - low) / (long - short)
    [key] = keys(1, "k")
    own = low - copies * getsizeof(_text(key, short)) - getsizeof("default:" + key)
    return Sample(own, {"copies_of_payload": round(copies, 3), "without_tier": without})


async def _full(policy: str, job: Job) -> Sample:
    """The same of a tier that half of the entries had to leave again, by a policy."""
    return await _overhead(job, policy, full=True)


full_adaptive = partial(_full, "adaptive")
full_clock = partial(_full, "clock")
full_fifo = partial(_full, "fifo")
full_lfu = partial(_full, "lfu")
full_lirs = partial(_full, "lirs")
full_lru = partial(_full, "lru")
full_s3fifo = partial(_full, "s3fifo")
full_tinylfu = partial(_full, "tinylfu")


async def _traced_tier(job: Job, length: int, policy: str, without: int, *, full: bool) -> float:
    """Bytes per entry of the tier, with entries of one text length in it."""
    weight = OVERHEAD + len("default:") + len(keys(1, "k")[0]) + length + len('""')
    room = job.n // 2 * (weight + 15) if full else 1 << 40  # 15: weights are rounded up
    held, entries = await _traced(job, length, policy, room)
    return (held - without) / entries


async def _traced(job: Job, length: int, policy: str, room: int) -> tuple[int, int]:
    """Bytes in memory when all entries were written and read, and entries of the tier."""
    async with CacheManager(
        "file", directory=job.directory / str(length), memory_max_bytes=room, eviction=policy
    ) as cache:
        await cache.set_many({key: _text(key, length) for key in keys(100, "f")}, TTL)
        gc.collect()
        tracemalloc.start()
        # In parts, for a batch of a million would itself be most of what is held meanwhile.
        for start in range(0, job.n, _PART):
            some = keys(min(_PART, job.n - start), "k", start)
            await cache.set_many({key: _text(key, length) for key in some}, TTL)
        for key in keys(job.n, "k"):
            require(await cache.get(key), _text(key, length))
        # What was counted is reported a second later, tier or none: here, at once.
        shared = cache._shared  # noqa: SLF001 - nothing public shows the tier
        await shared.reporter.flush()
        del some, key  # which are not the tier's
        await asyncio.sleep(0.1)  # the loop and the threads let go of what they did last
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        tier = shared.engine.tier
        return held, 0 if tier is None else len(tier.nodes)


def _text(key: str, length: int) -> str:
    """A text of its own for every key."""
    return key.ljust(length, ".")


@asynccontextmanager
async def _opened(job: Job) -> AsyncIterator[CacheManager]:
    async with CacheManager("file", directory=job.directory, memory_max_bytes=0) as cache:
        yield cache
