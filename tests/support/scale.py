"""How hard the stress tests try.

By default each of these files runs for seconds, so that they can be part of every run of
the suite. The environment variable ``AIOCACHE_STRESS`` multiplies their sizes; the full
figures are those of::

    AIOCACHE_STRESS=10 pytest tests/system/test_killed_writers.py -s           # 200 kills
    AIOCACHE_STRESS=20 pytest tests/system/test_two_processes.py -s  # 10,000 alternations
    AIOCACHE_STRESS=10 pytest tests/stress -s                        # everything, ten times

``-s`` shows what was measured; ``-p no:randomly`` repeats a run's own random choices.
"""

from __future__ import annotations

import os
import random
import sys


def scale_size(size: int) -> int:
    """A size of the default run, multiplied as the environment says; at least 1."""
    return max(1, round(size * float(os.environ.get("AIOCACHE_STRESS", "1"))))


def is_full_run() -> bool:
    """Whether more than the default run was asked for."""
    return scale_size(10) > 10


def make_random(seed: int | str) -> random.Random:
    """Chances that can be repeated."""
    return random.Random(seed)


def report(line: str) -> None:
    """Say what was measured; seen with ``-s``."""
    sys.stdout.write(f"\n  {line}")
    sys.stdout.flush()
