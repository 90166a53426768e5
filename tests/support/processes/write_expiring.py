"""Process that writes entries at given times; many of them expire soon.

``python -m tests.support.processes.write_expiring DIRECTORY SLOT MAX_ENTRIES``, 0 for no bound.
A command is a line of JSON: a phase, the time, and the number of writes. The process prints the
number of each acknowledged write. `plan_writes` determines the writes, so that the parent
process knows them.
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

TASKS = 4  # of one writer, so that writes are grouped and many are in flight at a kill
KEYS = 40  # of one task
LONG = 30 * 86_400.0
LIVES = (1.0, 60.0, 700.0, 1500.0, LONG, None)  # seconds


class Write(NamedTuple):
    """A write.

    Attributes:
        key: the key; only one task of one slot writes it.
        ttl: in seconds; ``None`` for an entry that does not expire.
    """

    key: str
    ttl: float | None


def plan_writes(slot: int, phase: int, writes: int) -> list[Write]:
    """Return the writes of a slot in a phase; task n makes the n-th of every `TASKS` writes."""
    chance = make_random(f"{slot}/{phase}")
    return [
        Write(f"{slot}:{number % TASKS}:{chance.randrange(KEYS)}", chance.choice(LIVES))
        for number in range(writes)
    ]


async def write_all(cache: CacheManager, writes: Sequence[Write]) -> None:
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
        await write_all(cache, plan_writes(slot, phase, writes))
    if cache is not None:
        await cache.close()


if __name__ == "__main__":
    _, where, own_slot, most = sys.argv
    asyncio.run(serve(where, int(own_slot), int(most)))
