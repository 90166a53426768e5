"""A process that writes entries of which many end soon, at times that it is told.

``python -m tests.support.processes.write_expiring DIRECTORY SLOT MAX_ENTRIES``, 0 for no bound.
An order is a line of JSON: a phase, the time it is then, and how many writes to do. A line with
the number of a write says that it is acknowledged. What is written is decided by `plan`, so
whoever gave the order knows it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

from aiocache_pe import CacheManager
from aiocache_pe.testing import FakeClock
from tests.support.scale import make_random

TASKS = 4  # of one writer, so that writes are gathered and many are under way at the kill
KEYS = 40  # of one task
LONG = 30 * 86_400.0
LIVES = (1.0, 60.0, 700.0, 1500.0, LONG, None)  # seconds


class Write(NamedTuple):
    """One write.

    Attributes:
        key: a key of the slot's own, and of one of its tasks.
        ttl: in seconds; ``None`` for what lasts.
    """

    key: str
    ttl: float | None


def plan(slot: int, phase: int, writes: int) -> list[Write]:
    """What a slot writes in a phase; every so many are those of one task, in their order."""
    chance = make_random(f"{slot}/{phase}")
    return [
        Write(f"{slot}:{number % TASKS}:{chance.randrange(KEYS)}", chance.choice(LIVES))
        for number in range(writes)
    ]


async def carry_out(cache: CacheManager, writes: Sequence[Write]) -> None:
    async def task(first: int) -> None:
        for number in range(first, len(writes), TASKS):
            key, ttl = writes[number]
            assert await cache.set(key, number, ttl=ttl)
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()

    await asyncio.gather(*map(task, range(TASKS)))


async def serve(directory: str, slot: int, bound: int) -> None:
    clock: FakeClock | None = None
    cache: CacheManager | None = None
    for line in sys.stdin:
        phase, now, writes = json.loads(line)
        if clock is None or cache is None:
            clock = FakeClock(now)
            cache = CacheManager(directory=directory, clock=clock, max_entries=bound or None)
        clock.advance(now - clock.time())
        await carry_out(cache, plan(slot, phase, writes))
    if cache is not None:
        await cache.close()


if __name__ == "__main__":
    _, where, own_slot, most = sys.argv
    asyncio.run(serve(where, int(own_slot), int(most)))
