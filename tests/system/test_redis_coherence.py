"""Two processes with memory tiers over one Redis: how long a read may be stale.

The full run::

    AIOCACHE_STRESS=30 pytest tests/system/test_redis_coherence.py -s   # 30 s, 1,000 keys
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from redis.asyncio import Redis

from aiocache_pe import CacheManager
from tests.support.scale import report, scale_size
from tests.support.servers.redis_server import Server

KEYS = 1000


async def test_a_reader_sees_acknowledged_writes_soon(own_redis: Server, cache_dir: Path) -> None:
    seconds = min(30, scale_size(1))
    reader = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "tests.support.processes.read_while_written",
            own_redis.url,
            str(cache_dir),
            str(seconds),
            str(KEYS),
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        random_numbers, version, writes = random.Random(2), 0, 0
        async with (
            Redis.from_url(own_redis.url) as raw,
            CacheManager(
                "redis", redis_url=own_redis.url, directory=cache_dir, fallback=None
            ) as cache,
        ):
            while reader.returncode is None:
                key = f"k{random_numbers.randrange(KEYS)}"
                version += 1
                assert await cache.set(key, version)
                await raw.set(f"ack:{key}", f"{version} {time.time()}")
                writes += 1
                await asyncio.sleep(0.001)
        output, _ = await reader.communicate()
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    assert reader.returncode == 0
    reads, worst, late = output.split()
    report(
        f"{seconds} s: {int(reads)} reads, {writes} writes, longest staleness "
        f"{float(worst) * 1000:.2f} ms, older than 50 ms: {int(late)}"
    )
    # An invalidation takes a moment to arrive; this bound is for the slowest machine.
    assert float(worst) < 5
