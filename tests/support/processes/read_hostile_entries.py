"""Process that reads hostile entries of a file store and prints their cost.

``python -m tests.support.processes.read_hostile_entries DIRECTORY`` prints one object of JSON.
For each entry it has the greatest growth of the process in megabytes, and the longest time in
which the event loop ran no other callback, in seconds of computing of the whole process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

from aiocache_pe import CacheManager
from tests.support.hostile import BOMBS, COLLIDING, make_record
from tests.support.processes.forge_entries import measure_peak_megabytes

MISS = object()
RECORDS = {
    **{name: make_record("default:k", *make()) for name, make in BOMBS.items()},
    **{name: make_record("default:k", "tagged", text) for name, text in COLLIDING.items()},
}


async def measure_loop(gaps: list[float]) -> None:
    """Note the process time between two turns of the loop, until it is cancelled."""
    last = time.process_time()
    while True:
        await asyncio.sleep(0)
        now = time.process_time()
        gaps.append(now - last)
        last = now


async def read_one(cache: CacheManager, file: Path, blob: bytes) -> dict[str, float]:
    """Plant a record, read it and return its cost."""
    assert await cache.set("k", 1)
    file.write_bytes(blob)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = measure_peak_megabytes()
    gaps: list[float] = []
    ticks = asyncio.create_task(measure_loop(gaps))
    await asyncio.sleep(0)
    assert await cache.get("k", MISS) is MISS
    ticks.cancel()
    grown = measure_peak_megabytes() - before - len(blob) / 1e6
    return {"megabytes": round(grown, 1), "loop_seconds": round(max(gaps), 4)}


async def main(directory: Path) -> None:
    """Read each hostile record once."""
    async with CacheManager(directory=directory) as cache:
        await cache.set("k", 1)
        [file] = directory.glob("default/*/*-k")
        costs = {name: await read_one(cache, file, blob) for name, blob in RECORDS.items()}
    sys.stdout.write(json.dumps(costs))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
