"""Clocks. Tests pass `aiocache_pe.testing.FakeClock` in place of the system's clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time, passed in so that tests need not sleep."""

    def time(self) -> float:
        """Return seconds since the epoch, the same on all machines."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment, for durations."""


class SystemClock:
    """The system's clock: wall time for records, which machines share, and monotonic time.

    The methods are the builtin functions themselves, so a call of them runs no Python code.
    """

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # last, because it hides the module `time`
