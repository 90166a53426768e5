"""Scale of the system tests: sizes, random choices and reports.

By default each of these files runs for seconds, so that every run of the suite can include
them. The environment variable ``AIOCACHE_STRESS`` multiplies their sizes. The full sizes are
those of::

    AIOCACHE_STRESS=10 pytest tests/system/test_killed_writers.py -s  # 200 kills
    AIOCACHE_STRESS=20 pytest tests/system/test_two_processes.py -s   # 10,000 alternations
    AIOCACHE_STRESS=10 pytest tests/system -s                         # everything, ten times

``-s`` shows the measurements. ``-p no:randomly`` repeats the random choices of a run.
"""

from __future__ import annotations

import os
import random
import sys


def scale_size(size: int) -> int:
    """Return a size of the default run, multiplied by ``AIOCACHE_STRESS``; at least 1."""
    return max(1, round(size * float(os.environ.get("AIOCACHE_STRESS", "1"))))


def is_full_run() -> bool:
    """Return whether ``AIOCACHE_STRESS`` requests more than the default run."""
    return scale_size(10) > 10


def make_random(seed: int | str) -> random.Random:
    """Return a source of random choices that can be repeated."""
    return random.Random(seed)


def report(line: str) -> None:
    """Print a measurement, visible with ``-s``."""
    sys.stdout.write(f"\n  {line}")
    sys.stdout.flush()
