"""How many entries a directory has and what they weigh, known without looking.

The book is one small file, ``.book``, with a row for each process that has the directory
open. A process adds only to its own row, so nobody waits for anybody: a change is one
read of the table and one write of a row. The sum of the rows is what there is; a single
row, which may well be negative, means nothing.

A row belongs to whoever holds the lock of its byte. When a process dies, its row stays as
it was and the next one goes on with it: all that can be missing is what was being put in
its place at that very moment. It says so itself, for a row that is given back is marked,
and whoever opens the book and finds one without, whose lock is free, has all counted anew
(`aiocache_pe.backends.file.scan`). Scattered counters that are summed up when asked are known
from operating systems, for instance as the per-CPU counters of Linux.

There is a book once somebody opens the directory with bounds. From then on all who
change something keep it, with bounds or without.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from aiocache_pe.backends.file.locks import open_locks, set_lock
from aiocache_pe.runtime.fork import hold_during_fork, reset_after_fork

_MAGIC = b"aiocpe1\n"
_HEADER = struct.Struct("<8sqqq")  # magic, max_entries, max_bytes, how often all was counted
_BOUNDS, _COUNTED = struct.Struct("<qq"), struct.Struct("<q")  # two parts of it
_BOUNDS_AT, _COUNTED_AT = 8, 24
_ROW = struct.Struct("<qqq")  # entries, bytes, changes; of a row given back, with a minus
_CHANGES, _CHANGES_AT = struct.Struct("<q"), 16  # the last part of it
_MOST_ROWS = 4096
_USUAL_ROWS = 32  # more processes than usually have a directory open, and a small read
_SETTLING = 1 << 40  # the byte to lock, far from those of the rows
_NONE = -1
_GREATEST = 2**63 - 1  # bound that can be noted; no directory comes near it

_turn = threading.RLock()  # of all books: held for three system calls, none of which waits
hold_during_fork(_turn)


class Totals(NamedTuple):
    """What a directory holds.

    Attributes:
        entries: how many.
        weight: the size of their files together, in bytes.
    """

    entries: int
    weight: int


class Bounds(NamedTuple):
    """What a directory may hold; ``None`` for any number."""

    max_entries: int | None = None
    max_bytes: int | None = None

    def exceeded_by(self, totals: Totals) -> bool:
        """Whether something has to go."""
        if self.max_entries is not None and totals.entries > self.max_entries:
            return True
        return self.max_bytes is not None and totals.weight > self.max_bytes


UNBOUNDED = Bounds()


class SizeLedger:
    """The book of one directory.

    Args:
        path: the file.
        prepare: makes its folder when it is not there.
        bounds: of this process; with none, the book is only kept when there is one.
    """

    __slots__ = (
        "__weakref__",
        "_bounds",
        "_fd",
        "_path",
        "_prepare",
        "_row",
        "is_whole",
        "was_left",
    )

    is_whole: bool
    """Whether it tells of everything, also of what was there before the book."""
    was_left: bool
    """Whether something may be missing, as the row was that of a process that died.

    Until all is counted: who gives the row back before leaves that to the next one.
    """

    def __init__(self, path: str, prepare: Callable[[], None], bounds: Bounds) -> None:
        self._path = path
        self._prepare = prepare
        self._bounds = bounds
        self._fd = -1
        self._row = 0
        self.is_whole = self.was_left = False
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Let go of the parent's row."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def refresh(self) -> bool:
        """Open the book, if there is one or has to be one; whether there is.

        Asked before changes, and cheap: one system call.
        """
        fd = self._fd
        if fd >= 0 and os.fstat(fd).st_nlink:
            return True
        if fd < 0 and self._bounds == UNBOUNDED and not os.access(self._path, os.F_OK):
            return False
        with _turn:
            self._drop()  # of a directory that was removed
            if self._bounds == UNBOUNDED:
                try:
                    fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                except OSError:
                    return False
            else:
                fd = open_locks(self._path, self._prepare)
            return self._open(fd)

    def add(self, entries: int, weight: int) -> Totals | None:
        """Note that entries came or went, and what there is now; ``None`` without a book."""
        if self._fd < 0:
            return None
        with _turn:
            if self._fd < 0:
                return None
            table = self._table()
            at = 3 * self._row
            is_change = entries != 0 or weight != 0
            changes = max(1, table[at + 2] + is_change)
            row = _ROW.pack(table[at] + entries, table[at + 1] + weight, changes)
            os.pwrite(self._fd, row, _HEADER.size + self._row * _ROW.size)
        return Totals(sum(table[0::3]) + entries, sum(table[1::3]) + weight)

    def totals(self) -> Totals:
        """What there is, by the book; nothing without one."""
        return self.add(0, 0) or Totals(0, 0)

    @property
    def changes(self) -> int:
        """How many changes were ever noted, nearly; what counts is how many come meanwhile."""
        with _turn:
            return sum(map(abs, self._table()[2::3])) if self._fd >= 0 else 0

    @property
    def record_noted(self) -> Bounds:
        """The bounds of who last opened the directory with any."""
        bounds = self._header()[:2]
        return Bounds(*(None if bound == _NONE else bound for bound in bounds))

    @property
    def counts(self) -> int:
        """How often everything was counted."""
        return self._header()[2]

    def settle(self, counts: int, entries: int, weight: int) -> None:
        """Put the sum right after a count, unless somebody else just did.

        Args:
            counts: what `counts` was when the count began.
            entries: by how many the book is short.
            weight: and by how many bytes.
        """
        with _turn:
            if self._fd < 0 or not set_lock(self._fd, fcntl.F_WRLCK, _SETTLING):
                return
            try:
                if self.counts == counts:
                    self.add(entries, weight)
                    os.pwrite(self._fd, _COUNTED.pack(counts + 1), _COUNTED_AT)
                self.is_whole = True
            finally:
                set_lock(self._fd, fcntl.F_UNLCK, _SETTLING)

    def close(self) -> None:
        """Give the row back; the next `look` takes one again."""
        with _turn, suppress(OSError):
            if self._fd >= 0:
                at = 3 * self._row
                entries, weight, changes = self._table()[at : at + 3]
                # What was left by who died, and is not counted yet, the next one is to count.
                mark = abs(changes) if self.was_left else -abs(changes)
                row = _ROW.pack(entries, weight, mark)
                os.pwrite(self._fd, row, _HEADER.size + self._row * _ROW.size)
        self._drop()

    __del__ = close

    def _drop(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _open(self, fd: int) -> bool:
        """Take a row and write the bounds down."""
        try:
            self._row = next(n for n in range(_MOST_ROWS) if set_lock(fd, fcntl.F_WRLCK, n))
            self._fd = fd
            if not os.pread(fd, _HEADER.size, 0).startswith(_MAGIC):
                os.pwrite(fd, _HEADER.pack(_MAGIC, _NONE, _NONE, 0), 0)
            if self._bounds != UNBOUNDED:
                bounds = (
                    _NONE if bound is None else min(bound, _GREATEST) for bound in self._bounds
                )
                os.pwrite(fd, _BOUNDS.pack(*bounds), _BOUNDS_AT)
            at = _HEADER.size + self._row * _ROW.size
            row = os.pread(fd, _ROW.size, at)
            entries, weight, had = _ROW.unpack(row) if len(row) == _ROW.size else (0, 0, 0)
            self.is_whole, self.was_left = self.counts > 0, had > 0
            os.pwrite(fd, _ROW.pack(entries, weight, abs(had) + 1), at)
            self._take_over()
        except (OSError, StopIteration):
            self._fd = -1
            os.close(fd)
            if self._bounds != UNBOUNDED:
                raise
            return False
        return True

    def _take_over(self) -> None:
        """Of those who died, also the ones whose rows nobody needs: what is missing is ours now."""
        table = self._table()
        for row, changes in enumerate(table[2::3]):
            if changes > 0 and row != self._row and set_lock(self._fd, fcntl.F_WRLCK, row):
                mark = _CHANGES.pack(-changes)
                os.pwrite(self._fd, mark, _HEADER.size + row * _ROW.size + _CHANGES_AT)
                set_lock(self._fd, fcntl.F_UNLCK, row)
                self.was_left = True

    def _header(self) -> tuple[int, int, int]:
        """Bounds and counts."""
        with _turn:
            header = os.pread(self._fd, _HEADER.size, 0) if self._fd >= 0 else b""
        if len(header) < _HEADER.size:  # not opened, or emptied by hand
            return _NONE, _NONE, 0
        _, entries, weight, counts = _HEADER.unpack(header)
        return entries, weight, counts

    def _table(self) -> tuple[int, ...]:
        """The numbers of all rows, with zeros for our own where it is missing."""
        data = os.pread(self._fd, _USUAL_ROWS * _ROW.size, _HEADER.size)
        if len(data) == _USUAL_ROWS * _ROW.size:  # there may be more
            data = os.pread(self._fd, _MOST_ROWS * _ROW.size, _HEADER.size)
        data = data.ljust((self._row + 1) * _ROW.size, b"\0")
        return struct.unpack_from(f"<{len(data) // _ROW.size * 3}q", data)
