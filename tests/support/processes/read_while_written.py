"""Process that reads keys during writes of another process, and reports the age of old values.

``python -m tests.support.processes.read_while_written URL DIRECTORY SECONDS KEYS`` is started by
``tests/system/test_redis_coherence.py``. The writer stores, beside each key and outside the
cache, the version that was acknowledged and its time. The reader reads both outside its own
cache, so that it can compute for how long a value was outdated.
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
    reads = outdated = 0
    async with (
        Redis.from_url(url) as raw,
        CacheManager("redis", redis_url=url, directory=directory, fallback=None) as cache,
    ):
        end = time.time() + seconds
        while time.time() < end:
            key = f"k{chance.randrange(keys)}"
            started = time.time()
            value = await cache.get(key)
            reads += 1
            if value is not None:
                version, when = (await raw.get(f"ack:{key}") or b"0 0").split()
                if int(version) > value and started > float(when):
                    worst = max(worst, started - float(when))
                    outdated += started - float(when) > 0.05
            if reads % 50 == 0:
                await asyncio.sleep(0)
    print(reads, worst, outdated, flush=True)  # noqa: T201 - the output for the test


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
