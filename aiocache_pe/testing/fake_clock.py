"""Clock that a test advances."""

from __future__ import annotations


class FakeClock:
    """A clock that stands still until `advance` is called; pass it as ``clock``.

    Args:
        now: the initial time in seconds since the epoch.

    Example:
        >>> clock = FakeClock(1000.0)
        >>> clock.advance(60)
        >>> clock.time()
        1060.0
    """

    __slots__ = ("_elapsed", "_start")

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._start = now
        self._elapsed = 0.0

    def time(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Return the seconds since the clock was created."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Advance the clock.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"seconds must not be negative; got {seconds!r}")
        self._elapsed += seconds
