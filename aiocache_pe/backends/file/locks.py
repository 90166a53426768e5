"""Locks that processes share, one byte of one file for each key.

An open-file-description lock on a byte costs two system calls, leaves nothing behind,
and is freed by the kernel when its holder dies, however it dies. Within a process the
description is shared, so threads are kept apart by ordinary locks in front of it.
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

from aiocache_pe.exceptions import LockTimeoutError
from aiocache_pe.runtime.fork import reset_after_fork

_STRIPES = 64
_PATIENCE = 10.0  # seconds; a store operation takes well under a millisecond
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_OFD = getattr(fcntl, "F_OFD_SETLK", None)
_flock = struct.Struct("hhqqi").pack


class ByteLocks:
    """Exclusive locks by number, between all threads and processes of one file.

    Example:
        >>> from tempfile import mkdtemp
        >>> locks = ByteLocks(mkdtemp() + "/locks")
        >>> with locks.hold(7):
        ...     pass
    """

    __slots__ = ("__weakref__", "_fd", "_opening", "_path", "_prepare", "_stripes")

    def __init__(self, path: str, prepare: Callable[[], None] = lambda: None) -> None:
        """Locks of the file ``path``; ``prepare`` makes its folder when it is not there."""
        self._path = path
        self._prepare = prepare
        self._fd = -1
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew.

        A thread of the parent may have held a stripe; and the parent's description
        would be shared, and with it every lock.
        """
        self.close()
        self._opening = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]

    def hold(self, slot: int, *, wait: bool = True) -> LockHolders:
        """Hold the lock of a number from 0 to 2**62, in a ``with``.

        Entering it raises `LockTimeoutError` when the lock's holder did not give it back
        within ten seconds, or at once if nobody is to ``wait``, and `OSError` when the lock
        file cannot be opened.
        """
        patience = _PATIENCE if wait else 0.0
        return LockHolders(self._stripes[slot % _STRIPES], self._acquire, slot, patience)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give back the file; the next `hold` opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _acquire(self, slot: int, patience: float) -> int:
        pause, deadline = 0.0002, time.monotonic() + patience
        while True:
            fd = self._open()
            if set_lock(fd, fcntl.F_WRLCK, slot):
                if os.fstat(fd).st_nlink:
                    return fd
                self._renew()  # the directory was removed under us, and others lock a new file
                continue
            if time.monotonic() > deadline:
                raise LockTimeoutError(
                    f"another process held lock {slot} of {self._path} for {patience:.0f} s"
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.01)

    def _open(self) -> int:
        fd = self._fd
        if fd < 0:
            with self._opening:
                if self._fd < 0:
                    self._fd = self._opened()
                fd = self._fd
        return fd

    def _renew(self) -> None:
        """Put the file that is there now in the place of one that was removed.

        The descriptor's number stays. Who holds a lock of the old file has its stripe,
        so giving it back by this number frees nobody else's lock of the new one.
        """
        with self._opening:
            if self._fd >= 0 and not os.fstat(self._fd).st_nlink:
                fresh = self._opened()
                try:
                    os.dup2(fresh, self._fd, inheritable=False)
                finally:
                    os.close(fresh)

    def _opened(self) -> int:
        return open_locks(self._path, self._prepare)


class LockHolders:
    """A lock, held from the beginning of a ``with`` to its end.

    A class, for a write needs it each time, and a generator would take twice as long.
    """

    __slots__ = ("_acquire", "_fd", "_patience", "_slot", "_stripe")

    def __init__(
        self,
        stripe: threading.Lock,
        acquire: Callable[[int, float], int],
        slot: int,
        patience: float,
    ) -> None:
        self._stripe = stripe
        self._acquire = acquire
        self._slot = slot
        self._patience = patience

    def __enter__(self) -> None:
        if not self._stripe.acquire(timeout=self._patience):
            raise LockTimeoutError(f"a thread held lock {self._slot} for {self._patience:.0f} s")
        try:
            self._fd = self._acquire(self._slot, self._patience)
        except BaseException:
            self._stripe.release()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            set_lock(self._fd, fcntl.F_UNLCK, self._slot)
        finally:
            self._stripe.release()


def open_locks(path: str, prepare: Callable[[], None]) -> int:
    """Open a file of locks, in a folder that ``prepare`` makes when it is not there."""
    try:
        return os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:
        prepare()
        return os.open(path, _FLAGS, 0o600)


def set_lock(fd: int, kind: int, slot: int) -> bool:
    """Lock or unlock one byte of an open file, at once; whether it could be done.

    Args:
        fd: the file.
        kind: ``fcntl.F_WRLCK`` or ``fcntl.F_UNLCK``.
        slot: which byte, from 0 to 2**62.
    """
    try:
        if _OFD is not None:
            fcntl.fcntl(fd, _OFD, _flock(kind, os.SEEK_SET, slot, 1, 0))
        else:  # not Linux: POSIX locks, which belong to the process; the stripes do the rest
            operation = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(fd, operation, 1, slot)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
