"""A directory that four processes fill stays within its bounds, also when one is killed.

The full run, 1 GB through 50 MB::

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
from aiocache_pe.backends.file.scan import count_entries
from aiocache_pe.backends.file.size_ledger import Totals
from tests.support.processes.fill_directory import SIZES, TASKS
from tests.support.processes.line_protocol import start_process
from tests.support.scale import is_full_run, report, scale_size

WRITERS = 4
VOLUME = scale_size(5_000_000)  # bytes, of all writers
BOUND = 50_000_000 if is_full_run() else VOLUME * 4 // 5
"""Bytes. In the small run few evictions are needed, so that no favourite becomes old in a pause."""
IN_FLIGHT = WRITERS * TASKS * max(SIZES)
"""Bytes that may be written before their evictions are made."""


@pytest.fixture
def writers(cache_dir: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the processes and wait until all are ready."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                start_process(
                    "tests.support.processes.fill_directory",
                    *(cache_dir, slot, BOUND, VOLUME // WRITERS),
                )
            )
            for slot in range(WRITERS)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes


def count_files(cache_dir: Path) -> Totals:
    return Totals(*count_entries(f"{cache_dir}/default"))


@pytest.mark.timeout(600 if is_full_run() else 120)
def test_a_directory_stays_within_its_bounds(
    cache_dir: Path, writers: list[subprocess.Popen[str]]
) -> None:
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()

    sizes: list[int] = []
    began = time.monotonic()
    is_killed = False
    while any(writer.poll() is None for writer in writers):
        size = count_files(cache_dir).size
        if not sizes or is_full_run():
            report(f"{time.monotonic() - began:6.1f} s {size / 1e6:8.2f} MB")
        sizes.append(size)
        if not is_killed and size > BOUND * 0.8:
            writers[0].kill()
            writers[0].wait()
            is_killed = True
            report(f"{time.monotonic() - began:6.1f} s one process is killed")
        time.sleep(1.0 if is_full_run() else 0.02)
    seconds = time.monotonic() - began

    outcomes = []
    for writer in writers[is_killed:]:
        out, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        outcomes.append(json.loads(out))
    counts = {name: sum(outcome[name] for outcome in outcomes) for name in outcomes[0]}
    report(f"at most {max(sizes) / 1e6:.2f} MB of {BOUND / 1e6:.2f}; {counts}; {seconds:.1f} s")
    assert max(sizes) <= BOUND + IN_FLIGHT
    # The killed process may not have recorded its last write.
    assert count_files(cache_dir).size <= BOUND + max(SIZES)
    assert counts["refused"] == counts["just written"] == 0
    assert counts["read often"] == 0
    assert counts["writes"] > 0

    async def clean_up() -> int:
        async with CacheManager(directory=cache_dir) as cache:
            await cache.cleanup_expired()
            return (await cache.get_stats()).evictions

    evictions = asyncio.run(clean_up())
    ledger = Disk(Layout(str(cache_dir))).bounds.ledger
    assert ledger.ensure_open()
    assert ledger.get_totals() == count_files(cache_dir)
    assert count_files(cache_dir).size <= BOUND
    report(f"{count_files(cache_dir)}, as in the ledger; {evictions} evictions recorded")
