"""Process that uses a cache on a special file system, which its caller has mounted.

``python -m tests.support.processes.use_mounted_directory SCENARIO DIRECTORY`` fails if the cache
serves an old value after a change.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from aiocache_pe import CacheManager

NUMBER = 30


async def warm(directory: Path) -> None:
    """Fill a cache, as the build of a container image does."""
    async with CacheManager(directory=directory) as cache:
        assert await cache.set_many({f"k{n}": n for n in range(NUMBER)})
        assert await cache.set("tagged", 1, tags=["tag"])


async def change_everything(directory: Path) -> None:
    """Change a warm cache, whose folders may not be renamed."""
    async with CacheManager(directory=directory) as cache:
        assert await cache.get("k0") == 0
        assert await cache.set("k1", "new")
        assert await cache.get("k1") == "new"
        assert await cache.delete("k2")
        assert await cache.get("k2") is None
        assert await cache.incr("k3") == 4
        [file] = directory.glob("default/??/*-k4")
        file.write_bytes(b"nonsense")
        assert await cache.get("k4") is None
        assert await cache.invalidate("k5") == 1
        assert await cache.delete_by_tag("tag")
        assert await cache.get("tagged") is None
        assert await cache.clear() >= NUMBER - 4
        assert await cache.get_many([f"k{n}" for n in range(NUMBER)]) == {}
        assert await anext(cache.keys(), None) is None
        assert await cache.set("k0", "after")
        assert await cache.get("k0") == "after"
        assert await cache.clear() == 1
    async with CacheManager(directory=directory) as cache:
        assert await cache.get("k0") is None


async def use_full_device(directory: Path) -> None:
    """Change a cache on a device that is then full."""
    await warm(directory)
    async with CacheManager(directory=directory) as cache:
        fd = os.open(directory / ".ballast", os.O_CREAT | os.O_WRONLY)
        for size in (4096, 1):
            with suppress(OSError):
                while True:
                    os.write(fd, b"x" * size)
        os.close(fd)
        assert await cache.get("k0") == 0
        assert not await cache.set("k0", "x" * 100_000)
        assert await cache.get("k0") is None
        changed = {f"k{n}": "x" * 100_000 for n in range(1, 10)}
        assert not await cache.set_many(changed)
        found = await cache.get_many(list(changed))
        assert all(found[key] == changed[key] for key in found), "an old value is served"
        assert await cache.get("tagged") == 1
        assert await cache.delete_by_tag("tag")
        assert await cache.get("tagged") is None
        assert await cache.pop("k10") == 10
        assert await cache.get("k10") is None
        assert await cache.delete("k11")
        assert await cache.clear() >= 1
        assert await cache.get("k12") is None


SCENARIOS = {function.__name__: function for function in (warm, change_everything, use_full_device)}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]](Path(sys.argv[2])))
