"""Size ledger of a directory: number and size of its entries, known without a scan.

The ledger is a small file, ``.book``, with a row for each process that has the directory open. A
process changes its own row only, so no process waits for another: a change is one read of the
table and one write of a row. The totals are the sums over all rows. A single row may be negative
and has no meaning. The per-CPU counters of Linux work in the same way.

A process owns a row while it holds the lock of its byte. The row of a process that ends remains,
and the next process takes it over with its contents. When a process is killed, only the change
that it was about to record is missing. A released row is marked. A row with a free lock and
without a mark therefore belongs to a killed process. The process that finds such a row has all
entries recounted (`aiocache_pe.backends.file.scan`).

The first process that opens a directory with bounds creates the ledger. From then on every process
records its changes, with or without bounds of its own.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from aiocache_pe.backends.base import DEFAULT_MAX_BYTES
from aiocache_pe.backends.file.locks import open_lock_file, set_lock
from aiocache_pe.backends.file.regular_files import open_regular
from aiocache_pe.runtime.fork import hold_during_fork, reset_after_fork

_MAGIC = b"aiocpe1\n"
_HEADER = struct.Struct("<8sqqq")  # magic, max_entries, max_bytes, number of recounts
_BOUNDS, _BOUNDS_OFFSET = struct.Struct("<qq"), 8
_RECOUNTS, _RECOUNTS_OFFSET = struct.Struct("<q"), 24
_ROW = struct.Struct("<qqq")  # entries, bytes, changes; the changes of a released row are negative
_CHANGES, _CHANGES_OFFSET = struct.Struct("<q"), 16
_MAX_ROWS = 4096
_TYPICAL_ROWS = 32  # more processes than usually have a directory open, in a small read
_RECOUNT_SLOT = 1 << 40  # the byte that a correction locks, far behind those of the rows
_NO_BOUND = -1
_MAX_BYTES = _HEADER.size + _MAX_ROWS * _ROW.size
_MAX_NUMBER = 1 << 56  # of a row; only something else writes a greater one
_MAX_BOUND = 2**63 - 1  # the file holds no greater number, and no directory is that large

# One lock for all ledgers of the process, held for three system calls that never wait.
_ledger_lock = threading.RLock()
hold_during_fork(_ledger_lock)


class Totals(NamedTuple):
    """Number of entries of a directory, and total size of their files in bytes."""

    entries: int
    size: int


class Bounds(NamedTuple):
    """Limits of a directory's contents; ``None`` for no limit."""

    max_entries: int | None = None
    max_bytes: int | None = None

    def is_exceeded_by(self, totals: Totals) -> bool:
        """Return whether entries have to be evicted."""
        if self.max_entries is not None and totals.entries > self.max_entries:
            return True
        return self.max_bytes is not None and totals.size > self.max_bytes


UNBOUNDED = Bounds()
NOT_CHOSEN = UNBOUNDED, Bounds(max_bytes=DEFAULT_MAX_BYTES)
"""Bounds of a process whose user has set none; recorded ones are more exact."""


class SizeLedger:
    """The ledger of one directory, and the row of this process in it.

    Args:
        path: the file of the ledger.
        make_folder: creates the folder of the file if it is missing.
        bounds: bounds of this process; without any, it does not create the ledger.
        has_entries: returns whether the directory has entries that a new ledger does not count.
    """

    is_complete: bool
    """Whether the totals include the entries that are older than the ledger."""
    needs_recount: bool
    """Whether a change may be missing, because its process was killed or could not record it.

    A process that releases its row before a recount leaves the recount to the next process.
    """

    def __init__(
        self,
        path: str,
        make_folder: Callable[[], None],
        bounds: Bounds,
        has_entries: Callable[[], bool] = lambda: True,
    ) -> None:
        self._path = path
        self._has_entries = has_entries
        self._make_folder = make_folder
        self._bounds = bounds
        self._fd = -1
        self._row = 0
        self.is_complete = self.needs_recount = False
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the row to the parent."""
        self._close_file()

    def ensure_open(self) -> bool:
        """Open the ledger if it exists or the bounds require one; return whether it is open.

        Called before every change. An open ledger costs one system call.

        Raises:
            OSError: the ledger cannot be opened, although this process has bounds.
        """
        fd = self._fd
        if fd >= 0 and os.fstat(fd).st_nlink:
            return True
        if fd < 0 and self._bounds == UNBOUNDED and not os.access(self._path, os.F_OK):
            return False

        with _ledger_lock:
            self._close_file()  # it may be that of a removed directory
            if self._bounds == UNBOUNDED:
                try:
                    fd, _ = open_regular(self._path, os.O_RDWR)
                except OSError:
                    return False
            else:
                fd = open_lock_file(self._path, self._make_folder)
            return self._acquire_row(fd)

    def add(self, entries: int, size: int) -> Totals | None:
        """Record a change of the directory's contents.

        Args:
            entries: number of entries added, or removed if negative.
            size: number of bytes added, or removed if negative.

        Returns:
            The totals after the change; ``None`` without a ledger.
        """
        if self._fd < 0:
            return None
        with _ledger_lock:
            if self._fd < 0:
                return None
            table = self._read_rows()
            at = 3 * self._row
            is_change = entries != 0 or size != 0
            changes = max(1, table[at + 2] + is_change)
            self._write_row(table[at] + entries, table[at + 1] + size, changes)
        return Totals(sum(table[0::3]) + entries, sum(table[1::3]) + size)

    def get_totals(self) -> Totals:
        """Return the recorded contents of the directory; zeros without a ledger."""
        return self.add(0, 0) or Totals(0, 0)

    @property
    def recorded_bounds(self) -> Bounds:
        """Return the bounds that a user has chosen last, for any process, or the default ones."""
        bounds = self._read_header()[:2]
        return Bounds(*(None if bound == _NO_BOUND else bound for bound in bounds))

    @property
    def recounts(self) -> int:
        """Return the number of recounts that have corrected the ledger."""
        return self._read_header()[2]

    def correct(self, recounts: int, entries: int, size: int) -> None:
        """Correct the totals after a recount, unless another recount did so meanwhile.

        Args:
            recounts: the value of `recounts` at the beginning of the recount.
            entries: number of entries that are missing in the totals.
            size: number of bytes that are missing in the totals.
        """
        with _ledger_lock:
            if self._fd < 0:
                return
            self.is_complete = True
            if not set_lock(self._fd, fcntl.F_WRLCK, _RECOUNT_SLOT):
                return  # another process corrects the totals now
            try:
                if self.recounts == recounts:
                    self.add(entries, size)
                    os.pwrite(self._fd, _RECOUNTS.pack(recounts + 1), _RECOUNTS_OFFSET)
            finally:
                set_lock(self._fd, fcntl.F_UNLCK, _RECOUNT_SLOT)

    def close(self) -> None:
        """Release the row; the next `ensure_open` acquires one again."""
        with _ledger_lock, suppress(OSError):
            if self._fd >= 0:
                at = 3 * self._row
                entries, size, changes = self._read_rows()[at : at + 3]
                # Without the mark, the next process takes over the duty to recount.
                mark = abs(changes) if self.needs_recount else -abs(changes)
                self._write_row(entries, size, mark)
        self._close_file()

    __del__ = close

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _acquire_row(self, fd: int) -> bool:
        """Lock a free row and record the bounds; return whether that succeeded."""
        try:
            self._row = next(n for n in range(_MAX_ROWS) if set_lock(fd, fcntl.F_WRLCK, n))
            self._fd = fd
            is_ledger = os.pread(fd, _HEADER.size, 0).startswith(_MAGIC)
            size = os.fstat(fd).st_size
            if not is_ledger or size > _MAX_BYTES:
                self._reset()
                if not size and not self._has_entries():  # a new directory needs no recount
                    os.pwrite(fd, _RECOUNTS.pack(1), _RECOUNTS_OFFSET)
            is_recorded = self.recorded_bounds != UNBOUNDED
            if self._bounds not in NOT_CHOSEN or (self._bounds != UNBOUNDED and not is_recorded):
                bounds = (
                    _NO_BOUND if bound is None else min(bound, _MAX_BOUND) for bound in self._bounds
                )
                os.pwrite(fd, _BOUNDS.pack(*bounds), _BOUNDS_OFFSET)

            at = 3 * self._row
            entries, size, changes = self._read_rows()[at : at + 3]
            self.is_complete, self.needs_recount = self.recounts > 0, changes > 0
            self._write_row(entries, size, abs(changes) + 1)
            self._mark_abandoned_rows()
        except (OSError, StopIteration):
            self._fd = -1
            os.close(fd)
            if self._bounds != UNBOUNDED:
                raise
            return False
        return True

    def _reset(self) -> None:
        """Empty the ledger, which something else has overwritten; a recount is needed."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, _HEADER.pack(_MAGIC, _NO_BOUND, _NO_BOUND, 0), 0)
        self.is_complete = False

    def _mark_abandoned_rows(self) -> None:
        """Mark the other rows of killed processes as released; this process recounts for them."""
        table = self._read_rows()
        for row, changes in enumerate(table[2::3]):
            if changes > 0 and row != self._row and set_lock(self._fd, fcntl.F_WRLCK, row):
                mark = _CHANGES.pack(-changes)
                os.pwrite(self._fd, mark, _HEADER.size + row * _ROW.size + _CHANGES_OFFSET)
                set_lock(self._fd, fcntl.F_UNLCK, row)
                self.needs_recount = True

    def _read_header(self) -> tuple[int, int, int]:
        """Return the recorded ``max_entries`` and ``max_bytes``, and the number of recounts."""
        with _ledger_lock:
            header = os.pread(self._fd, _HEADER.size, 0) if self._fd >= 0 else b""
        if len(header) < _HEADER.size:  # the ledger is not open, or the file was truncated
            return _NO_BOUND, _NO_BOUND, 0
        _, max_entries, max_bytes, recounts = _HEADER.unpack(header)
        return max_entries, max_bytes, recounts

    def _write_row(self, *row: int) -> None:
        os.pwrite(self._fd, _ROW.pack(*row), _HEADER.size + self._row * _ROW.size)

    def _read_rows(self) -> tuple[int, ...]:
        """Return the numbers of all rows; zeros for the own row if it is missing."""
        data = os.pread(self._fd, _TYPICAL_ROWS * _ROW.size, _HEADER.size)
        if len(data) == _TYPICAL_ROWS * _ROW.size:  # there may be more
            data = os.pread(self._fd, _MAX_ROWS * _ROW.size, _HEADER.size)
        data = data.ljust((self._row + 1) * _ROW.size, b"\0")
        numbers = struct.unpack_from(f"<{len(data) // _ROW.size * 3}q", data)
        if max(numbers) > _MAX_NUMBER or min(numbers) < -_MAX_NUMBER:
            self._reset()
            return (0,) * len(numbers)
        return numbers
