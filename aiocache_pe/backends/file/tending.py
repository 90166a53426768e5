"""A round through a directory in small steps, one of all its processes at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence

from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.walk import steps
from aiocache_pe.forks import renewed_at_fork
from aiocache_pe.record import Head

_INTERVAL = 600.0  # seconds from the beginning of one round to that of the next


class Walk:
    """The round that this process makes, if it does.

    A round removes what nobody may be served any more and puts the book right. That one
    was begun is noted by the time of the file ``.swept``; who dies in the midst of it
    leaves the rest to the next one.
    """

    __slots__ = ("__weakref__", "_disk", "_one", "_steps")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._steps: Iterator[list[str]] | None = None
        self.after_fork()
        renewed_at_fork(self)

    def after_fork(self) -> None:
        """Leave the round to the parent."""
        self._steps = None
        self._one = threading.Lock()

    def step(self, now: float) -> Sequence[Head] | None:
        """The next step, or the first one if a round is due.

        Args:
            now: seconds since the epoch.

        Returns:
            The heads of the entries that were removed; ``None`` when there is nothing to do.
        """
        if not self._one.acquire(blocking=False):  # a manager that shares the store does it
            return None
        try:
            if self._steps is None:
                if not self._begin(now):
                    return None
                self._steps = steps(self._disk.layout, self._disk.room.book, now)
            over = next(self._steps, None)
            if over is None:
                self._steps = None
                return None
            return self._disk.delete(over, lambda head: head.is_over(now, stale=True))
        finally:
            self._one.release()

    def close(self) -> None:
        """End the round that is under way."""
        with self._one:
            self._steps = None

    def _begin(self, now: float) -> bool:
        """Whether to begin a round now, which is noted then."""
        layout, book = self._disk.layout, self._disk.room.book
        if not os.path.isdir(layout.root):
            return False
        is_short = book.look() and book.was_left
        try:
            since = now - os.stat(layout.swept).st_mtime
        except FileNotFoundError:
            since = _INTERVAL
        if abs(since) < _INTERVAL and not is_short:
            return False
        book.was_left = False
        with open(layout.swept, "wb", opener=_privately):
            os.utime(layout.swept, (now, now))
        return True


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
