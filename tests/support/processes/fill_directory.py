"""Process that fills a bounded directory and keeps reading entries that must not be evicted.

``python -m tests.support.processes.fill_directory DIRECTORY SLOT MAX_BYTES BYTES``. The process
checks each value directly after the write. Between the writes it reads a few favourite entries;
it counts and rewrites a favourite that was evicted. It prints ``ready`` and starts when it reads
a line, so that the favourites of all processes are old when the directory becomes full. At the
end it prints a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiocache_pe import CacheManager
from tests.support.scale import make_random

TASKS = 4
FAVOURITES = 10
SIZES = (500, 5_000, 20_000, 60_000)
WARM_UP_READS = 15
"""Reads of the favourites, written to the store, before the first eviction."""
WRITES_PER_REPORT = 50
"""Writes between two reports of the reads to the store, also on a slow machine."""


def make_favourite_key(slot: str, number: int) -> str:
    return f"favourite:{slot}:{number}"


async def fill(directory: str, slot: str, max_bytes: int, volume: int) -> dict[str, int]:
    lost = {"just written": 0, "read often": 0, "refused": 0}
    written = writes = 0
    async with CacheManager(directory=directory, max_bytes=max_bytes) as cache:
        favourites = [make_favourite_key(slot, n) for n in range(FAVOURITES)]
        await cache.set_many(dict.fromkeys(favourites, "x" * 2000))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(WARM_UP_READS):
            await cache.get_many(favourites)
        await cache.entry(favourites[0])  # writes the reads to the store

        async def task(number: int) -> None:
            nonlocal written, writes
            chance = make_random(f"{slot}/{number}")
            while written < volume:
                key, size = f"{slot}:{number}:{writes}", chance.choice(SIZES)
                written += size
                writes += 1
                value = f"{key:*>{size}}"
                lost["refused"] += not await cache.set(key, value)
                # `exists` checks the file; the memory tier would hide its eviction.
                lost["just written"] += not await cache.exists(key)
                read_key = chance.choice(favourites)
                if await cache.get(read_key) is None:
                    lost["read often"] += 1
                    await cache.set(read_key, "x" * 2000)
                if writes % WRITES_PER_REPORT == 0:
                    await cache.entry(read_key)

        await asyncio.gather(*map(task, range(TASKS)))
    return {**lost, "writes": writes, "bytes": written}


if __name__ == "__main__":
    _, where, own_slot, bound, amount = sys.argv
    outcome = asyncio.run(fill(where, own_slot, int(bound), int(amount)))
    sys.stdout.write(json.dumps(outcome) + "\n")
