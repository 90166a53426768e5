"""Clock of a Redis server: the times in its records are the server's.

Clients with different clocks agree on the end of an entry that way. Each client measures the
difference to the server's clock, and translates the heads that it writes and reads. The difference
is zero for clocks that nearly agree, so that records are neither changed nor copied.
"""

from __future__ import annotations

import time
from typing import Final

from msgspec.structs import replace

from aiocache_pe.clock import Clock, SystemClock
from aiocache_pe.record import Head

TOLERANCE: Final = 0.1
"""Seconds by which a client's clock may differ from the server's without a translation."""

_PERIOD: Final = 60.0  # seconds between two measurements
_STEP: Final = 0.1  # seconds by which the system's clock was set, so that it is measured again
_RESOLUTION: Final = 1024  # per second; adding and subtracting such a number is exact


class ServerClock:
    """The difference between the server's clock and another one.

    Args:
        clock: the other clock. Only the system's clock is measured again, because the time of a
            test passes for the test alone.

    Attributes:
        difference: seconds by which the server's clock is ahead.
        is_known: whether it was measured.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_system = isinstance(clock, SystemClock)
        self.difference = 0.0
        self.is_known = False
        self._measured_at = self._base = 0.0

    def is_due(self) -> bool:
        """Return whether the difference must be measured, for the first time or again."""
        if not self.is_known:
            return True
        if not self._is_system:
            return False
        now = time.monotonic()
        is_stepped = abs(time.time() - now - self._base) > _STEP
        return is_stepped or now - self._measured_at >= _PERIOD

    def start(self) -> float:
        """Return the time at the start of a measurement."""
        self._measured_at = time.monotonic()
        self._base = time.time() - self._measured_at
        return self._clock.time()

    def finish(self, began: float, server_time: float) -> None:
        """Note the result of a measurement.

        Args:
            began: the result of `start`.
            server_time: the server's time between then and now, in seconds since the epoch.
        """
        uncertainty = max(self._clock.time() - began, 0.0) / 2
        difference = server_time - began - uncertainty
        # A measurement that does not contradict the present difference changes nothing.
        if abs(difference - self.difference) > TOLERANCE + uncertainty:
            self.difference = round(difference * _RESOLUTION) / _RESOLUTION
            if abs(difference) <= TOLERANCE + uncertainty:
                self.difference = 0.0
        self.is_known = True

    def to_server(self, head: Head) -> Head:
        """Return a head with the server's times."""
        return _shift(head, self.difference) if self.difference else head

    def from_server(self, head: Head) -> Head:
        """Return a head with the times of this clock."""
        return _shift(head, -self.difference) if self.difference else head


def _shift(head: Head, seconds: float) -> Head:
    ends = (None if end is None else end + seconds for end in (head.expires_at, head.stale_until))
    expires_at, stale_until = ends
    created_at = head.created_at + seconds
    return replace(head, created_at=created_at, expires_at=expires_at, stale_until=stale_until)
