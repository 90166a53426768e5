"""Process of one of two releases that share a store, as in a rolling deployment.

``python tests/support/processes/use_release.py RELEASE STORE``, where ``aiocache_pe`` of the
release is first on the path. `copy_later_release` makes the later release from this one: it writes
another version of the record, and reads both. Each line of the input is a command. The result is a
line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from contextlib import suppress
from dataclasses import make_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiocache_pe import BackendError, CacheManager, cached
from aiocache_pe.record import VERSION

PACKAGE = Path(__file__).parents[3] / "aiocache_pe"
KEYS = [f"k{n}" for n in range(20)]


def copy_later_release(directory: Path) -> None:
    """Write a package below a directory whose records have version 2."""
    shutil.copytree(PACKAGE, directory / "aiocache_pe")
    module = directory / "aiocache_pe/record.py"
    text = module.read_text()
    for old, new in {
        "VERSION = 1\n": "VERSION = 2\n",
        "if head.v != VERSION:": "if not 1 <= head.v <= VERSION:",
    }.items():
        assert old in text
        text = text.replace(old, new)
    module.write_text(text)


fields = ["text", "score"] if sys.argv[1:2] == ["later"] else ["text"]
Answer: Any = make_dataclass("Answer", fields, namespace={"__module__": __name__})


async def ask(question: str) -> Answer:  # pyright: ignore[reportInvalidTypeForm]  # made above
    """Return an answer of this release's class."""
    return Answer(*(question for _ in fields))


class Commands:
    """The commands, over one cache."""

    def __init__(self, cache: CacheManager) -> None:
        self._cache = cache
        self._ask = cached(cache=cache)(ask)

    async def fill(self) -> int:
        """Store a value for each key, and return the version of the records."""
        await self._cache.set_many(dict.fromkeys(KEYS, VERSION))
        return VERSION

    async def use(self) -> list[str]:
        """Call each operation that depends on the stored entries; return the computed keys."""
        cache, computed = self._cache, list[str]()
        for key in KEYS:
            await cache.get(key)
            await cache.exists(key)
            await cache.add(key, "added")
            await cache.touch(key, 3600)
            await cache.pop(key)
            with suppress(BackendError, TypeError):
                await cache.incr(key)
            await cache.get_or_set(key, partial(computed.append, key))
        await cache.get_many(KEYS)
        await cache.cleanup_expired()
        return computed

    async def get(self) -> list[Any]:
        """Return the value of each key."""
        return [await self._cache.get(key) for key in KEYS]

    async def ask(self) -> tuple[int, int]:
        """Ask each question, and return the hits and misses so far."""
        for key in KEYS:
            assert await self._ask(key) == Answer(*(key for _ in fields))
        info = self._ask.cache_info()
        return info.hits, info.misses


async def _serve(store: str) -> None:
    is_url = "://" in store
    settings: dict[str, Any] = {"redis_url": store, "fallback": None} if is_url else {}
    settings["directory"] = "." if is_url else store
    async with CacheManager("redis" if is_url else "file", **settings) as cache:
        commands = Commands(cache)
        while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
            sys.stdout.write(json.dumps(await getattr(commands, command)()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[2]))
