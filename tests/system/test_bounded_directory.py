"""A directory that four processes feed stays within its bounds, also when one is killed.

The full figures, 1 GB through 50 MB, are those of::

    AIOCACHE_STRESS=200 pytest tests/system/test_bounded_directory.py -s
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.scan import count
from aiocache_pe.backends.file.size_ledger import Totals
from tests.support.processes.fill_directory import SIZES, TASKS
from tests.support.processes.line_protocol import talking
from tests.support.scale import is_full_run, report, scale_size

FEEDERS = 4
VOLUME = scale_size(5_000_000)  # bytes, of all feeders
BOUND = 50_000_000 if is_full_run() else VOLUME * 4 // 5
"""Bytes. In the small run little has to go, so that no pause of a process makes an entry old."""
AT_ONCE = FEEDERS * TASKS * max(SIZES)
"""What may be on its way into the directory and not yet made room for, in bytes."""


@pytest.fixture
def feeders(cache_dir: Path) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        processes = []
        for slot in range(FEEDERS):
            feeder = talking(
                "tests.support.processes.fill_directory", cache_dir, slot, BOUND, VOLUME // FEEDERS
            )
            processes.append(stack.enter_context(feeder))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes


def looked_at(cache_dir: Path) -> Totals:
    return Totals(*count(f"{cache_dir}/default"))


@pytest.mark.timeout(600 if is_full_run() else 120)
def test_a_directory_stays_within_its_bounds(
    cache_dir: Path, feeders: list[subprocess.Popen[str]]
) -> None:
    for feeder in feeders:
        assert feeder.stdin is not None
        feeder.stdin.write("go\n")
        feeder.stdin.flush()
    sizes: list[int] = []
    began = time.monotonic()
    killed = False
    while any(feeder.poll() is None for feeder in feeders):
        size = looked_at(cache_dir).weight
        if not sizes or is_full_run():
            report(f"{time.monotonic() - began:6.1f} s {size / 1e6:8.2f} MB")
        sizes.append(size)
        if not killed and size > BOUND * 0.8:
            feeders[0].kill()
            feeders[0].wait()
            killed = True
            report(f"{time.monotonic() - began:6.1f} s one is killed")
        time.sleep(1.0 if is_full_run() else 0.02)
    took = time.monotonic() - began
    outcomes = []
    for feeder in feeders[killed:]:
        out, _ = feeder.communicate(timeout=60)
        assert feeder.returncode == 0
        outcomes.append(json.loads(out))
    told = {name: sum(outcome[name] for outcome in outcomes) for name in outcomes[0]}
    report(f"at most {max(sizes) / 1e6:.2f} MB of {BOUND / 1e6:.2f}; {told}; {took:.1f} s")
    assert max(sizes) <= BOUND + AT_ONCE
    assert looked_at(cache_dir).weight <= BOUND + max(SIZES)  # what the dead one did not note
    assert told["refused"] == told["just written"] == 0
    assert told["read often"] == 0
    assert told["writes"] > 0

    async def clean_up() -> int:
        async with CacheManager(directory=cache_dir) as cache:
            await cache.cleanup_expired()
            return (await cache.get_stats()).evictions

    evictions = asyncio.run(clean_up())
    book = Disk(Layout(str(cache_dir))).room.book
    assert book.refresh()
    assert book.totals() == looked_at(cache_dir)
    assert looked_at(cache_dir).weight <= BOUND
    report(f"{looked_at(cache_dir)}, as the book says; {evictions} evicted and noted")
