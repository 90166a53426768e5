"""Process that clears a cache again and again, or writes to it meanwhile.

``python -m tests.support.processes.clear_and_count ROLE DIRECTORY SECONDS`` fails if a write is
refused or raises, or if a number that was counted up returns after a `clear`.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiocache_pe import CacheManager


async def _clear(cache: CacheManager, end: float) -> int:
    clears = 0
    while time.monotonic() < end:
        await cache.clear()
        clears += 1
    return clears


async def _write(cache: CacheManager, end: float) -> int:
    writes = 0
    while time.monotonic() < end:
        key = f"k{writes % 20}"
        assert await cache.set(key, writes), "a write beside a clear is refused"
        assert await cache.incr("count") >= 1
        assert await cache.set_many({f"m{n}": n for n in range(5)})
        writes += 1
    return writes


async def _main(role: str, directory: str, seconds: float) -> None:
    async with CacheManager(directory=directory) as cache:
        end = time.monotonic() + seconds
        done = await (_clear if role == "clear" else _write)(cache, end)
        assert (await cache.get_stats()).errors == 0
    sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
