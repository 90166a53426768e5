"""Report of one example run: its duration, its upstream calls and its cache hits.

If ``EXAMPLE_REPORT`` names a file, the report is also written there, for `examples.__main__`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from aiocache_pe import CacheManager


class RunReport(msgspec.Struct):
    """Result of one run of an example.

    Attributes:
        seconds: duration of the run.
        upstream: number of values that were requested or computed.
        hits: number of values that came from the cache.
    """

    seconds: float
    upstream: int
    hits: int

    @property
    def hit_rate(self) -> float:
        """Fraction of all calls that the cache answered."""
        calls = self.upstream + self.hits
        return self.hits / calls if calls else 0.0


@asynccontextmanager
async def report_run(cache: CacheManager) -> AsyncGenerator[None]:
    """Report the duration of the block, and its hits and misses by the cache's counters."""
    before, began = await cache.get_stats(), time.perf_counter()
    yield
    seconds, after = time.perf_counter() - began, await cache.get_stats()
    run = RunReport(seconds, after.misses - before.misses, after.hits - before.hits)
    print(
        f"{run.seconds:.2f} s, {run.upstream} calls upstream, "
        f"{run.hits} from the cache ({run.hit_rate:.0%})"
    )
    report = os.environ.get("EXAMPLE_REPORT")
    if report:
        Path(report).write_bytes(msgspec.json.encode(run))  # noqa: ASYNC240 - all work is done
