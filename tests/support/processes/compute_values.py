"""A process that asks for values that are slow to compute, and notes each computation.

``python -m tests.support.processes.compute_values crowd STORE LOG SECONDS TASKS`` asks for one
key, with many tasks at once, when it is told to by a line on its input. ``... march STORE LOG
SECONDS LAST`` asks for one key after another, with random times to compute. The log is
everybody's: a line is one ``write`` to a file opened for appending, so its lines are in the order
in which things happened.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from aiocache_pe import CacheManager

KEY = "one"


class Log:
    """Lines of words, in order."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, *words: object) -> None:
        line = " ".join(map(str, words)).encode() + b"\n"
        assert os.write(self._fd, line) == len(line)


def key_of(number: int) -> str:
    return f"key-{number}"


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def value(cache: CacheManager, log: Log, key: str, seconds: float) -> object:
    """The value of a key, by a factory that notes when it begins and ends."""

    async def factory() -> list[str]:
        log.note("begin", key, os.getpid())
        await asyncio.sleep(seconds)
        log.note("end", key, os.getpid())
        return [key]

    return await cache.get_or_set(key, factory)


async def crowd(cache: CacheManager, log: Log, seconds: float, tasks: int) -> None:
    await cache.get("warm")
    say("ready")
    sys.stdin.readline()
    values = await asyncio.gather(*(value(cache, log, KEY, seconds) for _ in range(tasks)))
    assert values == [[KEY]] * tasks
    say("done")


async def march(cache: CacheManager, log: Log, seconds: float, last: int) -> None:
    for number in range(last):
        key = key_of(number)
        assert await value(cache, log, key, random.uniform(0, seconds)) == [key]
        log.note("has", key, os.getpid())


def manager(store: str) -> CacheManager:
    """Over a Redis, or over files in a directory."""
    if "://" in store:
        return CacheManager("redis", redis_url=store, fallback=None)
    return CacheManager(directory=store)


if __name__ == "__main__":
    _, what, store, notes, longest, size = sys.argv
    run = {"crowd": crowd, "march": march}[what]
    asyncio.run(run(manager(store), Log(Path(notes)), float(longest), int(size)))
