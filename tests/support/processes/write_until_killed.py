"""Process that writes until it is killed, and logs its writes.

``python -m tests.support.processes.write_until_killed DIRECTORY LOG SLOT SEED``. Each write is
logged before it begins and after it is acknowledged, each time by one ``write`` to a file opened
for appending, so that the lines survive the process. Each slot has keys of its own, so that the
order of its writes is the order of its log. All slots share the counters.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

from aiocache_pe import CacheManager
from tests.support.scale import make_random

SLOTS = 4
TASKS = 4  # of one writer, so that writes are grouped and many are in flight at a kill
KEYS = 12  # of one task
COUNTERS = ("total:a", "total:b")
SIZES = (0, 100, 5_000, 60_000, 200_000)  # bytes: within a page, several pages, too large to peek
DELETED = "gone"

State = str | list[int]
"""State of a key after a write: `DELETED`, or the number and the size of the write."""


class WriteLog:
    """A log of the writes that were begun and those that were acknowledged."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._number = path.stat().st_size  # larger than that of any earlier writer

    def begin(self, change: Mapping[str, Any]) -> int:
        self._number += 1
        self._note({"begin": self._number, "change": change})
        return self._number

    def acknowledge(self, number: int) -> None:
        self._note({"done": number})

    def _note(self, note: Mapping[str, Any]) -> None:
        line = b"%s\n" % json.dumps(note).encode()
        assert os.write(self._fd, line) == len(line)


def make_value(key: str, state: State) -> Any:
    """Return the value for a state; long values differ in every byte between writes."""
    assert not isinstance(state, str)
    number, size = state
    filling = f"{key}/{number}/"
    return {"key": key, "number": number, "filling": filling * (size // len(filling) + 1)}


async def write_one(
    cache: CacheManager, log: WriteLog, keys: list[str], chance: random.Random
) -> None:
    """Make one write of a random kind and log its begin and its end."""
    fresh: State = [chance.getrandbits(32), chance.choice(SIZES)]
    kind = chance.choice(("set", "set", "set_many", "delete", "pop", "touch", "incr"))
    work: Awaitable[Any]
    if kind == "incr":
        counter = chance.choice(COUNTERS)
        number = log.begin({counter: "+1"})
        work = cache.incr(counter)
    elif kind == "set_many":
        several = chance.sample(keys, 4)
        number = log.begin(dict.fromkeys(several, fresh))
        work = cache.set_many({key: make_value(key, fresh) for key in several})
    else:
        key = chance.choice(keys)
        if kind == "set":
            number = log.begin({key: fresh})
            work = cache.set(key, make_value(key, fresh))
        elif kind == "touch":
            number = log.begin({})
            work = cache.touch(key, "1d")
        else:
            number = log.begin({key: DELETED})
            work = cache.delete(key) if kind == "delete" else cache.pop(key)
    outcome = await work
    assert outcome or kind not in {"set", "set_many"}, f"{kind} was not carried out"
    log.acknowledge(number)


async def write_endlessly(directory: str, log: WriteLog, slot: str, seed: str) -> None:
    cache = CacheManager(directory=directory)

    async def task(number: int) -> None:
        chance = make_random(f"{seed}/{slot}/{number}")
        keys = [f"slot:{slot}:{number}:{n}" for n in range(KEYS)]
        while True:
            await write_one(cache, log, keys, chance)

    await asyncio.gather(*map(task, range(TASKS)))


if __name__ == "__main__":
    _, where, log_path, own_slot, own_seed = sys.argv
    asyncio.run(write_endlessly(where, WriteLog(Path(log_path)), own_slot, own_seed))
