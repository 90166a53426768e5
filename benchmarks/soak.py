"""Soak test: memory, open files and threads stay flat: ``python -m benchmarks.soak --minutes 5``.

Eight tasks mix reads, writes, deletions, tags, counters and decorated calls with short
lifetimes, in a bounded directory with a full memory tier. The program prints the resources in
use, then compares the medians of the second and of the last third of the time. The first
third is for filling up. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from aiocache_pe import CacheManager, cached

TASKS = 8
KEYS = 5_000
MAX_BYTES = 1_500_000  # of the directory: few enough to evict
MEMORY_MAX_BYTES = 500_000
SAMPLES = 60
OPERATIONS_PER_TURN = 200
MEMORY_GROWTH = 0.05  # share of memory that still counts as flat
OBJECT_GROWTH = 2  # open files or threads that still count as flat


class Resources(NamedTuple):
    """Resources of this process: resident memory in MiB, open files, threads."""

    mib: float
    files: float
    threads: float

    @classmethod
    def read(cls) -> Resources:
        """Return the resources in use now."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return cls(mib, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


async def work(cache: CacheManager, seed: int, until: float) -> int:
    """Mix operations until a moment of `time.monotonic`; return their number."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets

    @cached(ttl=5, cache=cache, tags=["decorated"])
    async def answer(number: int) -> list[int]:
        return [number] * 50

    count = 0
    while time.monotonic() < until:
        for _ in range(OPERATIONS_PER_TURN):
            key = f"k{int(KEYS * chance.random() ** 3)}"
            match chance.randrange(20):
                case 0:
                    await cache.delete(key)
                case 1:
                    await cache.incr("count")
                case 2:
                    await cache.set_many({f"{key}/{n}": "x" * 300 for n in range(5)}, ttl=10)
                case 3:
                    await answer(chance.randrange(1000))
                case 4 | 5 | 6 | 7:
                    await cache.set(key, {"text": "x" * chance.randrange(2000)}, ttl=20)
                case _:
                    await cache.get(key)
            count += 1
        if chance.randrange(50) == 0:
            await cache.delete_by_tag("decorated")
        await asyncio.sleep(0)
    return count


async def soak(directory: str, seconds: float) -> bool:
    """Work, print the resources in use, and return whether they stayed flat."""
    start = time.monotonic()
    samples: list[Resources] = []
    async with CacheManager(
        directory=directory, max_bytes=MAX_BYTES, memory_max_bytes=MEMORY_MAX_BYTES
    ) as cache:
        tasks = [asyncio.create_task(work(cache, seed, start + seconds)) for seed in range(TASKS)]
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=seconds / SAMPLES)
            samples.append(Resources.read())
            print(f"{time.monotonic() - start:6.0f} s  {samples[-1]}", flush=True)
        print(f"{sum(task.result() for task in tasks)} operations; {await cache.get_stats()}")
    third = len(samples) // 3
    before, after = (
        Resources(*map(median, zip(*part, strict=True)))
        for part in (samples[third : 2 * third], samples[2 * third :])
    )
    is_flat = after.mib <= before.mib * (1 + MEMORY_GROWTH) and all(
        late <= early + OBJECT_GROWTH for early, late in zip(before[1:], after[1:], strict=True)
    )
    print(f"second third {before}\nlast third   {after}\n{'flat' if is_flat else 'NOT FLAT'}")
    return is_flat


def main() -> None:
    """Run the soak test; the exit code is 1 if a resource grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="duration (default: 5)")
    minutes = parser.parse_args().minutes
    if not minutes > 0:
        parser.error(f"--minutes must be a positive number; got {minutes}")
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(not asyncio.run(soak(directory, minutes * 60)))


if __name__ == "__main__":
    main()
