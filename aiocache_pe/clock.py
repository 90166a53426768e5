"""The real clock. Tests hand in `aiocache_pe.testing.FakeClock` instead."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The time, handed in so that tests need not wait."""

    def time(self) -> float:
        """Seconds since the epoch, the same for all machines."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, for durations."""
        ...


class SystemClock:
    """Wall clock for records, which machines share; monotonic clock for durations.

    The methods are the builtins themselves, so asking the time costs no Python call.
    """

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # last: from here on the name is the method
