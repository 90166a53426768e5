"""Mixed work for minutes: memory, open files and threads must not grow.

``python -m benchmarks.soak --minutes 5``. A bounded directory, a memory tier that is full, short
times to live, tags, decorated calls and counters, by 8 tasks at once. What is in use is
printed along the way, and in the end whether it stayed flat: the median of the last
third against that of the second, for the first is for filling up. Linux only.
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
MOST_BYTES = 1_500_000  # of the directory, so that it evicts
MEMORY_BYTES = 500_000  # of the tier
GROWTH = 0.05  # of memory that is still flat
MORE = 2  # open files and threads
ROUND = 200  # operations of a task between two pauses


class InUse(NamedTuple):
    """What the process holds.

    Attributes:
        mib: resident memory, in MiB.
        files: open files.
        threads: of any kind.
    """

    mib: float
    files: int
    threads: int


def in_use() -> InUse:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return InUse(mib, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


async def work(cache: CacheManager, seed: int, until: float) -> int:
    """One task's mixture, till a moment of `time.monotonic`; how many operations it was."""
    chance = random.Random(seed)  # noqa: S311 - no secret comes of it

    @cached(ttl=5, cache=cache, tags=["decorated"])
    async def answer(number: int) -> list[int]:
        return [number] * 50

    done = 0
    while time.monotonic() < until:
        for _ in range(ROUND):
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
            done += 1
        if chance.randrange(50) == 0:
            await cache.delete_by_tag("decorated")
        await asyncio.sleep(0)
    return done


async def soak(directory: str, minutes: float) -> bool:
    """Work, and print what is in use; whether it stayed flat."""
    began = time.monotonic()
    until = began + minutes * 60
    samples: list[InUse] = []
    async with CacheManager(
        directory=directory, max_bytes=MOST_BYTES, memory_max_bytes=MEMORY_BYTES
    ) as cache:
        tasks = [asyncio.create_task(work(cache, seed, until)) for seed in range(TASKS)]
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=minutes * 60 / 60)
            samples.append(in_use())
            mib, files, threads = samples[-1]
            say(
                f"{time.monotonic() - began:6.0f} s {mib:8.1f} MiB "
                f"{files:4} files {threads:3} threads"
            )
        done = sum(task.result() for task in tasks)
        say(f"{done} operations; {await cache.get_stats()}")
    third = len(samples) // 3
    before, after = (
        InUse(*(median(column) for column in zip(*part, strict=True)))
        for part in (samples[third : 2 * third], samples[2 * third :])
    )
    flat = after.mib <= before.mib * (1 + GROWTH) and all(
        after[at] <= before[at] + MORE for at in (1, 2)
    )
    say(f"second third {before}\nlast third   {after}\n{'flat' if flat else 'NOT FLAT'}")
    return flat


def say(text: str) -> None:
    """Print at once, for who watches."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run it; the exit code is 1 when something grew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, 5 by default")
    minutes = parser.parse_args().minutes
    if not minutes > 0:
        parser.error("--minutes takes a number above 0")
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(not asyncio.run(soak(directory, minutes)))


if __name__ == "__main__":
    main()
