"""Fills a directory with entries, by the library itself, and says what it weighs.

By hand: ``python -m benchmarks.population --directory /var/tmp/million --entries 1000000``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from time import perf_counter

from aiocache_pe import CacheManager
from benchmarks.job import Weight
from benchmarks.payload import COMPLETION, keys

BATCH = 1000
BLOCK = 512
"""The unit of ``st_blocks``, whatever the filesystem's own block is."""


async def fill(directory: Path, entries: int) -> float:
    """Write entries 0 to ``entries``, a batch at a time; the answer is in seconds."""
    start = perf_counter()
    async with CacheManager("file", directory=directory, memory_max_bytes=0) as cache:
        for first in range(0, entries, BATCH):
            batch = keys(min(BATCH, entries - first), start=first)
            await cache.set_many(dict.fromkeys(batch, COMPLETION))
    return perf_counter() - start


def weigh(directory: Path) -> tuple[int, int, int]:
    """Files, apparent bytes and allocated bytes below a directory, as ``du`` counts them."""
    files = apparent = allocated = 0
    for folder, _, names in os.walk(directory):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            allocated += path.stat().st_blocks * BLOCK
        files += len(names)
        apparent += sum(Path(folder, name).stat().st_size for name in names)
    return files, apparent, allocated


def main() -> None:
    """Fill, weigh, print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.population", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--entries", type=int, required=True)
    given = parser.parse_args()
    seconds = asyncio.run(fill(given.directory, given.entries))
    files, apparent, allocated = weigh(given.directory)
    weight = Weight(
        entries=given.entries,
        seconds=seconds,
        files=files,
        apparent_bytes=apparent,
        allocated_bytes=allocated,
    )
    print(json.dumps(weight))


if __name__ == "__main__":
    main()
