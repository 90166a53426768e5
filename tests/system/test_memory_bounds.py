"""Bounds on memory, measured as the growth of real processes: memory tier and streams.

The full run fills a tier of 64 MiB with each kind of values::

    AIOCACHE_STRESS=8 pytest -p no:xdist tests/system/test_memory_bounds.py -s
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.polling import make_environment
from tests.support.processes.fill_memory_tier import KINDS
from tests.support.scale import is_full_run, report, scale_size

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000
TIER = scale_size(8 * MEGABYTE)
MOST_GROWTH = 1.2 if is_full_run() else 1.5  # of a small tier, a part is the allocator's
SHORT_RUN = ("tuples of short strings", "ascii text with an emoji", "moments", "chats")


def measure(module: str, *args: str) -> float:
    """Run a process of `tests.support.processes` and return the number that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.support.processes.{module}", *args],
        cwd=ROOT,
        env=make_environment(),  # the memory of coverage would be measured too
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS if is_full_run() else SHORT_RUN)
def test_a_process_grows_by_no_more_than_the_bound_of_its_memory_tier(kind: str) -> None:
    growth = measure("fill_memory_tier", kind, str(TIER))
    report(f"{kind}: {growth:.3f} of a tier of {TIER} bytes")
    assert growth < MOST_GROWTH


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["async", "plain", "shared", "mutable", "http", "blocking http"])
def test_a_stream_without_end_takes_no_more_memory_than_its_bound(kind: str) -> None:
    growth = measure("read_long_stream", kind, str(200 * MEGABYTE))
    report(f"{kind}: grows by {growth:.0f} MB")
    assert growth < 100
