"""A process that feeds a bounded directory, and keeps reading what it must not lose.

``python -m tests.support.processes.fill_directory DIRECTORY SLOT MAX_BYTES BYTES``. Every value
it writes it reads back at once. It has some entries that it reads all the time, between its
writes; one of them gone is written again, and told. It says when it is ready and begins when it
is told to, so that nobody's favourites are new when the directory is full. At the end it prints a
line of JSON.
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
SETTLED = 15
"""How often favourites are read, and that is noted, before anything may have to go."""
NOTED = 50
"""Writes between two notes of what was read, at the most, however slow the machine."""


def favourite(slot: str, number: int) -> str:
    return f"favourite:{slot}:{number}"


async def feed(directory: str, slot: str, max_bytes: int, volume: int) -> dict[str, int]:
    lost = {"just written": 0, "read often": 0, "refused": 0}
    written = writes = 0
    async with CacheManager(directory=directory, max_bytes=max_bytes) as cache:
        favourites = [favourite(slot, n) for n in range(FAVOURITES)]
        await cache.set_many(dict.fromkeys(favourites, "x" * 2000))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(SETTLED):
            await cache.get_many(favourites)
        await cache.entry(favourites[0])  # which notes the reads

        async def task(number: int) -> None:
            nonlocal written, writes
            chance = make_random(f"{slot}/{number}")
            while written < volume:
                key, size = f"{slot}:{number}:{writes}", chance.choice(SIZES)
                written += size
                writes += 1
                value = f"{key:*>{size}}"
                lost["refused"] += not await cache.set(key, value)
                # In memory it is whatever happens to the file, so the file is looked for.
                lost["just written"] += not await cache.exists(key)
                loved = chance.choice(favourites)
                if await cache.get(loved) is None:
                    lost["read often"] += 1
                    await cache.set(loved, "x" * 2000)
                if writes % NOTED == 0:
                    await cache.entry(loved)

        await asyncio.gather(*map(task, range(TASKS)))
    return {**lost, "writes": writes, "bytes": written}


if __name__ == "__main__":
    _, where, own_slot, bound, amount = sys.argv
    outcome = asyncio.run(feed(where, own_slot, int(bound), int(amount)))
    sys.stdout.write(json.dumps(outcome) + "\n")
