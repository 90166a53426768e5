"""Maintenance rounds through a directory, in small steps and by one process at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.expiry_index import has_full_bucket, iter_due
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.scan import iter_expired_keys, iter_recount, iter_sweep
from aiocache_pe.record import Head
from aiocache_pe.runtime.fork import reset_after_fork

_ROUND_INTERVAL = 600.0  # seconds from the beginning of a round to that of the next
_WALK_INTERVAL = 86400.0  # seconds from the end of a walk through all entries to the next walk
_Step = Callable[[], Sequence[Head]]


class MaintenanceRounds:
    """The maintenance rounds that this process makes in one directory.

    A round removes the entries that the expiry index lists and that may be removed, and the remains
    of killed processes. Once a day,
    and in a directory without a walk so far, it also walks through all entries, for those that the
    index does not list, and recounts them for the size ledger. If a process was killed and its
    last change may be missing in the ledger, the next round recounts as well.

    The time of the file ``.swept`` is the beginning of the last round, and that of ``.walked`` the
    end of the last walk. A process that ends during a round leaves the rest to the next round.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._steps: Iterator[_Step] | None = None
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the round to the parent."""
        self._steps = None
        self._lock = threading.Lock()

    def run_step(self, now: float) -> Sequence[Head] | None:
        """Do the next step of the round, or begin a round if one is due.

        Returns:
            The heads of the removed entries; ``None`` at the end of the round, or if none is due.
        """
        if not self._lock.acquire(blocking=False):  # another manager of this store does a step
            return None
        try:
            steps, self._steps = self._steps or self._iter_steps(now), None
            step = next(steps, None)
            if step is None:
                return None
            self._steps = steps
            return step()
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the present round."""
        with self._lock:
            self._steps = None

    def _iter_steps(self, now: float) -> Iterator[_Step]:
        """Record the beginning of a round and yield its steps; yield none if no round is due."""
        disk, layout, ledger = self._disk, self._disk.layout, self._disk.bounds.ledger
        if not os.path.isdir(layout.root):
            return
        needs_recount = ledger.ensure_open() and ledger.needs_recount
        if not needs_recount and not _is_older(layout.swept, _ROUND_INTERVAL, now):
            return
        _set_time(layout, layout.swept, now)

        if has_full_bucket(layout, now):
            # This requests a walk, by a later round if this one does not reach its end.
            with suppress(OSError):
                os.unlink(layout.walked)
        yield tuple

        for names in iter_due(layout, now):
            yield partial(disk.expire, names, now)

        is_walk_due = _is_older(layout.walked, _WALK_INTERVAL, now)
        if is_walk_due:
            for keys in iter_expired_keys(layout, now):
                yield partial(_remove_expired, disk, keys, now)

        yield from (tuple for _ in iter_sweep(layout, disk.locks, now))
        if ledger.ensure_open() and (is_walk_due or needs_recount):
            yield from (tuple for _ in iter_recount(layout, ledger))
        if is_walk_due:
            _set_time(layout, layout.walked, now)


def sweep(disk: Disk, now: float) -> list[Head]:
    """Remove at once all remains, and the due entries that the expiry index lists.

    Returns:
        The heads of the removed entries.
    """
    for _ in iter_sweep(disk.layout, disk.locks, now):
        pass
    return [head for names in iter_due(disk.layout, now) for head in disk.expire(names, now)]


def _remove_expired(disk: Disk, keys: Sequence[str], now: float) -> list[Head]:
    removed = disk.delete(keys, lambda head: head.is_removable(now, stale=True))
    return [head for head in removed if isinstance(head, Head)]


def _is_older(path: str, seconds: float, now: float) -> bool:
    """Return whether a file's time is at least that far from now, or the file is missing."""
    try:
        return abs(now - os.lstat(path).st_mtime) >= seconds
    except FileNotFoundError:
        return True


def _set_time(layout: Layout, path: str, now: float) -> None:
    """Set the time of a file, which is created if it is missing."""
    fd = layout.open_owned(path, os.O_WRONLY)
    try:
        os.utime(fd, (now, now))
    finally:
        os.close(fd)
