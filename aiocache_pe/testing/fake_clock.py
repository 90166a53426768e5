"""A clock that a test moves by hand."""

from __future__ import annotations


class FakeClock:
    """Stands still until it is advanced; hand it in as ``clock``.

    Args:
        now: seconds since the epoch at which it starts.

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
        """Seconds since the epoch."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass; it never goes back.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        self._elapsed += seconds
