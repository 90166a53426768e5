"""A process that reads the keys another one writes, and tells how old what it got was.

Started by ``test_redis_race.py`` with a URL, a directory, seconds and a number of keys.
Beside each key the writer notes, past the cache, which version was acknowledged when; the
reader asks for that past its own cache, so it knows how long what it got was old.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

from redis.asyncio import Redis

from aiocache_pe import CacheManager


async def main(url: str, directory: str, seconds: float, keys: int) -> None:
    chance = random.Random(1)
    worst = 0.0
    reads = late = 0
    async with (
        Redis.from_url(url) as raw,
        CacheManager("redis", redis_url=url, directory=directory, fallback=None) as cache,
    ):
        end = time.time() + seconds
        while time.time() < end:
            key = f"k{chance.randrange(keys)}"
            begun = time.time()
            value = await cache.get(key)
            reads += 1
            if value is not None:
                version, when = (await raw.get(f"ack:{key}") or b"0 0").split()
                if int(version) > value and begun > float(when):
                    worst = max(worst, begun - float(when))
                    late += begun - float(when) > 0.05
            if reads % 50 == 0:
                await asyncio.sleep(0)
    print(reads, worst, late, flush=True)  # noqa: T201 - it is what the test reads


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
