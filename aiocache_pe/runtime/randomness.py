"""Random numbers that do not change the sequence of the ``random`` module.

A program that seeds ``random`` to repeat an experiment draws the same numbers with and without a
cache. A forked child draws other numbers than its parent.
"""

from __future__ import annotations

from random import Random

from aiocache_pe.runtime.fork import reset_after_fork


class _OwnRandom(Random):
    def after_fork(self) -> None:
        """Draw other numbers than the parent."""
        self.seed()


RANDOM = _OwnRandom()
reset_after_fork(RANDOM)


def vary(seconds: float) -> float:
    """Return a duration times 0.8 to 1.2, so that processes do not act at the same moments."""
    return seconds * RANDOM.uniform(0.8, 1.2)
