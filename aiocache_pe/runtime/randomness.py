"""Random numbers that do not change the sequence of the ``random`` module.

A program that seeds ``random`` to repeat an experiment draws the same numbers with and without a
cache. A forked child draws other numbers than its parent.
"""

from __future__ import annotations

import os
from random import Random

RANDOM = Random()  # noqa: S311 - spreads times and chooses samples only

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RANDOM.seed)


def vary(seconds: float) -> float:
    """Return a duration times 0.8 to 1.2, so that processes do not act at the same moments."""
    return seconds * RANDOM.uniform(0.8, 1.2)
