"""Time-out that counts only the time in which the event loop was able to run."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol, Self

_CHECK_SECONDS = 0.05
_MAX_LIMITS = 20  # total duration in multiples of the limit, however much progress there is


class Progressing(Protocol):
    """An object that makes progress."""

    @property
    def progress(self) -> object:
        """Return a value that differs after progress."""


class RunningTimeout:
    """A context manager that raises `TimeoutError` after a time without progress.

    It counts its own checks instead of time. A loop that is busy for seconds, or a process that was
    stopped, makes one check afterwards, and that follows the events which arrived meanwhile. So
    neither is mistaken for a silent server.

    Args:
        seconds: the time without progress; ``None`` for no limit.
        progressing: the object whose progress counts; ``None`` for none.
    """

    __slots__ = ("_left", "_progress", "_progressing", "_scope", "_seconds", "_timer", "_total")

    def __init__(self, seconds: float | None, progressing: Progressing | None = None) -> None:
        self._seconds = seconds
        self._progressing = progressing
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        seconds = self._seconds
        if seconds is not None:
            self._left, self._total = seconds, seconds * _MAX_LIMITS
            self._progress: object = None
            self._arm()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _arm(self) -> None:
        delay = min(_CHECK_SECONDS, self._left)
        self._timer = asyncio.get_running_loop().call_later(delay, self._check, delay)

    def _check(self, seconds: float) -> None:
        self._left -= seconds
        self._total -= seconds
        if self._progressing is not None:
            progress = self._progressing.progress
            if progress != self._progress:
                self._progress, self._left = progress, self._seconds or 0.0
        if min(self._left, self._total) > 0:
            self._arm()
        else:
            self._timer = None
            self._scope.reschedule(asyncio.get_running_loop().time())
