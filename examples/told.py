"""What every example tells at its end: how long it took, and what it did not have to do.

Where ``EXAMPLE_REPORT`` names a file, the same goes there for `examples.__main__`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from aiocache_pe import CacheManager


class Told(msgspec.Struct):
    """What one run of an example came to.

    Attributes:
        seconds: how long it took.
        upstream: how often something had to be asked or computed.
        hits: how often it had not.
    """

    seconds: float
    upstream: int
    hits: int

    @property
    def hit_rate(self) -> float:
        """The part of all calls that was answered from the cache."""
        calls = self.upstream + self.hits
        return self.hits / calls if calls else 0.0


@asynccontextmanager
async def telling(cache: CacheManager) -> AsyncGenerator[None]:
    """Tell at the end of the block what happened in it, by the cache's own counters."""
    before, began = await cache.get_stats(), time.perf_counter()
    yield
    seconds, after = time.perf_counter() - began, await cache.get_stats()
    told = Told(seconds, after.misses - before.misses, after.hits - before.hits)
    print(
        f"{told.seconds:.2f} s, {told.upstream} calls upstream, "
        f"{told.hits} from the cache ({told.hit_rate:.0%})"
    )
    report = os.environ.get("EXAMPLE_REPORT")
    if report:
        Path(report).write_bytes(msgspec.json.encode(told))  # noqa: ASYNC240 - all is done by now
