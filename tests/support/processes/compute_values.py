"""Process that requests values that are slow to compute and logs each computation.

``python -m tests.support.processes.compute_values one-key STORE LOG SECONDS TASKS`` requests one
key with many tasks at once, after it has read a line of its input. ``... many-keys STORE LOG
SECONDS LAST`` requests one key after another, with random times of computation. All processes
share the log: a line is one ``write`` to a file opened for appending, so that the lines are in
the order of the events.
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
    """A file of lines, shared by several processes."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, *words: object) -> None:
        line = " ".join(map(str, words)).encode() + b"\n"
        assert os.write(self._fd, line) == len(line)


def make_key(number: int) -> str:
    return f"key-{number}"


def print_line(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def get_value(cache: CacheManager, log: Log, key: str, seconds: float) -> object:
    """Return the value of a key, from a factory that logs its begin and its end."""

    async def factory() -> list[str]:
        log.add("begin", key, os.getpid())
        await asyncio.sleep(seconds)
        log.add("end", key, os.getpid())
        return [key]

    return await cache.get_or_set(key, factory)


async def compute_one_key(cache: CacheManager, log: Log, seconds: float, tasks: int) -> None:
    await cache.get("warm")
    print_line("ready")
    sys.stdin.readline()
    values = await asyncio.gather(*(get_value(cache, log, KEY, seconds) for _ in range(tasks)))
    assert values == [[KEY]] * tasks
    print_line("done")


async def compute_many_keys(cache: CacheManager, log: Log, seconds: float, last: int) -> None:
    for number in range(last):
        key = make_key(number)
        assert await get_value(cache, log, key, random.uniform(0, seconds)) == [key]
        log.add("has", key, os.getpid())


def open_manager(store: str) -> CacheManager:
    """Open a manager over a Redis server or over files in a directory."""
    if "://" in store:
        return CacheManager("redis", redis_url=store, fallback=None)
    return CacheManager(directory=store)


if __name__ == "__main__":
    _, mode, store, log_path, longest, size = sys.argv
    run = {"one-key": compute_one_key, "many-keys": compute_many_keys}[mode]
    asyncio.run(run(open_manager(store), Log(Path(log_path)), float(longest), int(size)))
