"""A round through a directory in small steps, one of all its processes at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.expiry_index import is_too_large, iter_due
from aiocache_pe.backends.file.scan import iter_counting, iter_steps
from aiocache_pe.record import Head
from aiocache_pe.runtime.fork import reset_after_fork

_INTERVAL = 600.0  # seconds from the beginning of one round to that of the next
_WALK_INTERVAL = 86400.0  # seconds from the end of a walk through everything to the next one
_Step = Callable[[], Sequence[Head]]


class MaintenanceRounds:
    """The round that this process makes, if it does.

    A round removes what nobody may be served any more, of what was noted to end by now
    (`aiocache_pe.backends.file.expiry_index`). Once a day, and in a directory where that was never
    done, it goes through everything besides, for what was not noted, and puts the book
    right; the latter also when somebody died who may not have kept it. That a round was
    begun is noted by the time of the file ``.swept``, and by that of ``.walked`` that
    everything was looked at; who dies in the midst of it leaves the rest to the next one.
    """

    __slots__ = ("__weakref__", "_disk", "_one", "_steps")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._steps: Iterator[_Step] | None = None
        self.after_fork()
        reset_after_fork(self)

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
                self._steps = self._begun(now)
            step = next(self._steps, None) if self._steps is not None else None
            if step is None:
                self._steps = None
                return None
            return step()
        finally:
            self._one.release()

    def close(self) -> None:
        """End the round that is under way."""
        with self._one:
            self._steps = None

    def _begun(self, now: float) -> Iterator[_Step] | None:
        """A round, if it is time for one, which is noted then."""
        layout, book = self._disk.layout, self._disk.room.book
        if not os.path.isdir(layout.root):
            return None
        is_short = book.refresh() and book.was_left
        if not is_short and not _is_longer_ago(layout.swept, _INTERVAL, now):
            return None
        _note(layout.swept, now)
        return self._round(now, is_short=is_short)

    def _round(self, now: float, *, is_short: bool) -> Iterator[_Step]:
        disk, layout, book = self._disk, self._disk.layout, self._disk.room.book
        if is_too_large(layout, now):
            with suppress(FileNotFoundError):  # also if this round is not made to its end
                os.unlink(layout.walked)
        yield tuple
        for names in iter_due(layout, now):
            yield partial(disk.expire, names, now)
        walks = _is_longer_ago(layout.walked, _WALK_INTERVAL, now)
        if walks:
            for keys in iter_steps(layout, now):
                yield partial(disk.delete, keys, lambda head: head.is_removable(now, stale=True))
        if book.refresh() and (walks or is_short):
            for _ in iter_counting(layout, book):
                yield tuple
        if walks:
            _note(layout.walked, now)


def remove_due(disk: Disk, now: float) -> list[Head]:
    """Do at once what a round does for what was noted; the heads of what was removed."""
    return [head for names in iter_due(disk.layout, now) for head in disk.expire(names, now)]


def _is_longer_ago(path: str, seconds: float, now: float) -> bool:
    """Whether a file's time is that long ago, or nonsense, or there is no such file."""
    try:
        return abs(now - os.stat(path).st_mtime) >= seconds
    except FileNotFoundError:
        return True


def _note(path: str, now: float) -> None:
    """Give a file the time of now."""
    with open(path, "wb", opener=_privately):
        os.utime(path, (now, now))


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
