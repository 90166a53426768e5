"""A process that writes until it is killed, and keeps a diary.

``python -m tests.support.processes.write_until_killed DIRECTORY DIARY SLOT SEED``. Each write is
noted in the diary before it is begun and again when it is acknowledged, each time by one
``write`` to a file opened for appending: what the kernel has taken survives the writer. A slot
has keys of its own, so the order of its writes is the order of its diary; the counters are
everybody's.
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
TASKS = 4  # of one writer, so that writes are gathered and many are under way at the kill
KEYS = 12  # of one task
COUNTERS = ("total:a", "total:b")
SIZES = (0, 100, 5_000, 60_000, 200_000)  # within a page, several pages, beyond peeking
GONE = "gone"

State = str | list[int]
"""What a key holds after a write: `GONE`, or the number and the size of the write."""


class Diary:
    """Notes of what was begun and what was acknowledged."""

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


def value_of(key: str, state: State) -> Any:
    """What is stored for a state; long values differ in every byte from write to write."""
    assert not isinstance(state, str)
    number, size = state
    filling = f"{key}/{number}/"
    return {"key": key, "number": number, "filling": filling * (size // len(filling) + 1)}


async def write_one(
    cache: CacheManager, diary: Diary, keys: list[str], chance: random.Random
) -> None:
    """One write of a random kind, noted before and after."""
    fresh: State = [chance.getrandbits(32), chance.choice(SIZES)]
    kind = chance.choice(("set", "set", "set_many", "delete", "pop", "touch", "incr"))
    work: Awaitable[Any]
    if kind == "incr":
        counter = chance.choice(COUNTERS)
        number = diary.begin({counter: "+1"})
        work = cache.incr(counter)
    elif kind == "set_many":
        several = chance.sample(keys, 4)
        number = diary.begin(dict.fromkeys(several, fresh))
        work = cache.set_many({key: value_of(key, fresh) for key in several})
    else:
        key = chance.choice(keys)
        if kind == "set":
            number = diary.begin({key: fresh})
            work = cache.set(key, value_of(key, fresh))
        elif kind == "touch":
            number = diary.begin({})
            work = cache.touch(key, "1d")
        else:
            number = diary.begin({key: GONE})
            work = cache.delete(key) if kind == "delete" else cache.pop(key)
    outcome = await work
    assert outcome or kind not in {"set", "set_many"}, f"{kind} was not carried out"
    diary.acknowledge(number)


async def write_for_ever(directory: str, diary: Diary, slot: str, seed: str) -> None:
    cache = CacheManager(directory=directory)

    async def task(number: int) -> None:
        chance = make_random(f"{seed}/{slot}/{number}")
        keys = [f"slot:{slot}:{number}:{n}" for n in range(KEYS)]
        while True:
            await write_one(cache, diary, keys, chance)

    await asyncio.gather(*map(task, range(TASKS)))


if __name__ == "__main__":
    _, where, notes, own_slot, own_seed = sys.argv
    asyncio.run(write_for_ever(where, Diary(Path(notes)), own_slot, own_seed))
