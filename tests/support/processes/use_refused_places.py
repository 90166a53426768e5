"""Process that uses directories, in each of which it may not use one file or folder.

``python -m tests.support.processes.use_refused_places FOLDER`` uses each directory in a folder.
Permissions do not restrict root, so a process of root changes to another user first. It fails if a
call fails, or if a change is reported done that is not, or if an old value follows a change.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiocache_pe import CacheManager
from aiocache_pe.exceptions import BackendError
from tests.support.processes.break_store import drop_root

OLD = {"plain": {"text": "old"}, "large": "old" * 100_000, "tagged": [1, 2], "short": 5}


async def fill(directory: Path) -> None:
    """Create a directory with all kinds of files."""
    async with CacheManager(directory=directory, max_entries=10_000) as cache:
        assert await cache.set_many(OLD)
        assert await cache.set("tagged", OLD["tagged"], tags=["tag"])
        assert await cache.set("short", OLD["short"], ttl=3600)
        assert await cache.get_or_set("computed", lambda: 1) == 1
        assert await cache.incr("n") == 1
        for key, value in OLD.items():
            assert await cache.get(key) == value


async def use(directory: Path) -> None:
    """Read, replace and remove each entry."""
    cache = CacheManager(directory=directory, max_entries=10_000)
    again = CacheManager(directory=directory, memory_max_bytes=0)
    for key, value in OLD.items():
        assert await cache.get(key, value) == value
        is_stored = await cache.set(key, {"new": key})
        await check(cache, again, key, {"new": key} if is_stored else None)
        await cache.delete(key)
        await check(cache, again, key, None)
    await cache.set("tagged", 1, tags=["tag"])
    await cache.delete_by_tag("tag")
    await check(cache, again, "tagged", None)
    assert await cache.get_or_set("computed", lambda: 1) == 1
    with suppress(BackendError):
        assert await cache.incr("n") in (1, 2)
    await cache.close()
    await again.close()


async def check(cache: CacheManager, again: CacheManager, key: str, expected: Any) -> None:
    for each in (cache, again):
        found = await each.get(key)
        # In a place that cannot be used, each manager keeps values in its own memory.
        is_missing = each is again and found is None
        assert is_missing or found == expected, (key, found, expected)


async def _main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # imports modules that are imported late
        await fill(Path(name) / "cache")
        await use(Path(name) / "cache")
    drop_root(folder)
    for directory in sorted(folder.iterdir()):
        try:
            await asyncio.wait_for(use(directory / "cache"), 60)
        except BaseException as error:
            error.add_note(directory.name)
            raise
    sys.stdout.write(f"{len(list(folder.iterdir()))}\n")


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
