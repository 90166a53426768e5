"""Byte locks: exclusive locks by number between the threads and processes of one file.

A lock is an open-file-description lock on one byte of a file, one byte for each key. It costs two
system calls and leaves nothing behind. The kernel releases it when its process dies. Within a
process the description is shared, so ordinary locks in front of it exclude the other threads.

A thread waits for a lock for 50 ms at most, because the store has few threads. A holder that keeps
a lock longer is suspended or its disk is slow. `disk_executor` then waits without a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from aiocache_pe.backends.file.regular_files import open_owned
from aiocache_pe.exceptions import LockTimeoutError
from aiocache_pe.runtime.fork import reset_after_fork

_STRIPES = 512
_TIMEOUT = 0.05  # seconds; a store operation takes well under a millisecond
_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", None)
HAS_DESCRIPTION_LOCKS = _OFD_SETLK is not None
"""Whether locks belong to open file descriptions, as on Linux, and not to processes."""

_pack_flock = struct.Struct("hhqqi").pack


class ByteLocks:
    """Exclusive locks by number, between all threads and processes of one file.

    Args:
        path: the file, which is never written.
        make_folder: creates the folder of the file if it is missing.
        on_open: called once, when the file was opened for the first time.

    Example:
        >>> from tempfile import mkdtemp
        >>> locks = ByteLocks(mkdtemp() + "/locks")
        >>> with locks.hold(7):
        ...     pass
    """

    def __init__(
        self,
        path: str,
        make_folder: Callable[[], None] = lambda: None,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._on_open = on_open
        self._make_folder = make_folder
        self._fd = -1
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Use a file description and stripes of the child's own.

        A thread of the parent may have held a stripe. The parent's description would be shared,
        and with it every lock.
        """
        self.close()
        self._open_lock = threading.Lock()
        self._overdue: set[int] = set()
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]

    def hold(self, slot: int, *, wait: bool = True) -> LockContext:
        """Return a context manager that holds the lock of a number.

        Args:
            slot: the number, from 0 to 2**62.
            wait: whether to wait for the present holder, for up to 50 ms. Once that was in vain,
                no caller waits for this lock until a caller has acquired it.

        Raises:
            LockTimeoutError: on entering, the present holder did not release the lock in time.
            OSError: on entering, the file cannot be opened or locked.
        """
        timeout = _TIMEOUT if wait and slot not in self._overdue else 0.0
        return LockContext(self, self._stripes[slot % _STRIPES], slot, timeout)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next `hold` opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def acquire(self, slot: int, timeout: float) -> int:
        """Lock a byte, and return the descriptor of the file; the caller holds the stripe."""
        pause = 0.0002
        while True:
            fd = self._ensure_open()
            if set_lock(fd, fcntl.F_WRLCK, slot):
                if os.fstat(fd).st_nlink:
                    if self._overdue:
                        self._overdue.discard(slot)
                    return fd
                self._reopen()  # the directory was removed, and other processes lock a new file
                continue
            if timeout <= 0.0:
                raise self.note_overdue(slot, "another process")
            time.sleep(pause)
            timeout -= pause  # by the pauses: a test may have stopped the clock
            pause = min(pause * 2, 0.01)

    def note_overdue(self, slot: int, holder: str) -> LockTimeoutError:
        """Let no caller wait in a thread for this lock; return the error to raise."""
        self._overdue.add(slot)
        return LockTimeoutError(f"{holder} holds lock {slot} of {self._path}")

    def _ensure_open(self) -> int:
        fd = self._fd
        if fd < 0:
            with self._open_lock:
                if self._fd < 0:
                    self._fd = open_lock_file(self._path, self._make_folder)
                    on_open, self._on_open = self._on_open, None
                    if on_open is not None:
                        on_open()
                fd = self._fd
        return fd

    def _reopen(self) -> None:
        """Replace the description of a removed file by one of the present file.

        The descriptor's number stays the same. A thread that holds a lock of the old file holds
        its stripe as well. Therefore its release of this number frees no other lock of the new
        file.
        """
        with self._open_lock:
            if self._fd >= 0 and not os.fstat(self._fd).st_nlink:
                fd = open_lock_file(self._path, self._make_folder)
                try:
                    os.dup2(fd, self._fd, inheritable=False)
                finally:
                    os.close(fd)


class LockContext:
    """Context manager that holds one lock; a generator would take twice as long."""

    __slots__ = ("_fd", "_locks", "_slot", "_stripe", "_timeout")

    def __init__(self, locks: ByteLocks, stripe: threading.Lock, slot: int, timeout: float) -> None:
        self._locks = locks
        self._stripe = stripe
        self._slot = slot
        self._timeout = timeout

    def __enter__(self) -> None:
        if not self._stripe.acquire(timeout=self._timeout):
            raise self._locks.note_overdue(self._slot, "a thread")
        try:
            self._fd = self._locks.acquire(self._slot, self._timeout)
        except BaseException:
            self._stripe.release()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            set_lock(self._fd, fcntl.F_UNLCK, self._slot)
        finally:
            self._stripe.release()


def open_lock_file(path: str, make_folder: Callable[[], None]) -> int:
    """Open a file of locks; create the file and, by ``make_folder``, its folder if missing."""
    return open_owned(path, os.O_RDWR, make_folder)


def set_lock(fd: int, kind: int, slot: int) -> bool:
    """Lock or unlock one byte of an open file without waiting.

    Args:
        fd: the file.
        kind: ``fcntl.F_WRLCK`` or ``fcntl.F_UNLCK``.
        slot: number of the byte, from 0 to 2**62.

    Returns:
        Whether the operation succeeded; ``False`` if another description holds the lock.
    """
    try:
        if _OFD_SETLK is not None:
            fcntl.fcntl(fd, _OFD_SETLK, _pack_flock(kind, os.SEEK_SET, slot, 1, 0))
        else:
            # Not Linux: POSIX locks belong to the process, and the stripes exclude its threads.
            operation = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(fd, operation, 1, slot)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
