"""Reading an entry's file in a thread, whole or its head alone.

Reads that never wait for a disk.

Linux can be asked for only what it already holds in memory: ``openat2`` with
``RESOLVE_CACHED`` (5.12 and later) opens a path whose directory entries are cached or
answers ``EAGAIN``, and ``preadv`` with ``RWF_NOWAIT`` does the same for the content. So
a small warm entry is read on the spot, on the event loop, in the time of four system
calls and without a thread; a cold one costs a few microseconds to find out.

The call goes through `ctypes.PyDLL`, which keeps the GIL: it cannot block, and giving
the GIL up would cost more than the call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from stat import S_ISREG

from aiocache_pe.backends.file.version import VersionTag, make_version
from aiocache_pe.record import Head, unpack_head
from aiocache_pe.sentinels import PENDING, Pending

_PLAIN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # for whoever plants a pipe
_QUIET = _PLAIN | getattr(os, "O_NOATIME", 0)  # the access time is ours to set
_FIRST = 2048  # bytes; nearly every head is shorter


def open_entry(path: str) -> int:
    """Open for reading, without a trace in the access time where that is allowed."""
    try:
        return os.open(path, _QUIET)
    except PermissionError:  # somebody else's file
        return os.open(path, _PLAIN)


def read_whole(path: str) -> tuple[bytes, VersionTag]:
    """A file's content and the stamp of just this version.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """
    fd = open_entry(path)
    try:
        status = os.fstat(fd)
        chunks = []
        left = status.st_size
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    blob = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return blob, make_version(path, status)


def read_head(path: str, key: str = "") -> Head:
    """An entry's head, by its first line.

    Args:
        path: the file.
        key: the store key it is expected to have; empty to accept any.

    Raises:
        FileNotFoundError: there is none.
        CorruptRecordError: it does not begin with a head, or is another key's.
    """
    fd = open_entry(path)
    try:
        start = os.read(fd, _FIRST)
        while b"\n" not in start and (more := os.read(fd, len(start))):
            start += more
    finally:
        os.close(fd)
    return unpack_head(start.partition(b"\n")[0], key=key)


LARGEST = 64 * 1024  # bytes; above this, copying costs more than a hop to a thread

_ENCODING = sys.getfilesystemencoding()
_OPENAT2 = 437  # the same on every architecture: it is newer than their common table
_AT_FDCWD = -100
_RESOLVE_CACHED = 0x20
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_NOT_ON_THIS_SYSTEM = (
    errno.ENOSYS,  # an old kernel
    errno.EINVAL,  # one that does not know the flag
    errno.E2BIG,  # nor the structure
    errno.EOPNOTSUPP,  # tmpfs and some overlays
)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


class CachedReader:
    """Reads files from the kernel's caches, as long as the system turns out to be able to."""

    __slots__ = ("_how", "_syscall", "works")

    works: bool
    """Whether to ask at all; goes False for good when the system says it cannot."""

    def __init__(self) -> None:
        self.works = sys.platform == "linux" and hasattr(os, "RWF_NOWAIT")
        if self.works:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOATIME | os.O_NONBLOCK
            self._how = ctypes.byref(_OpenHow(flags, 0, _RESOLVE_CACHED))
            self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
            self._syscall.restype = ctypes.c_long
            self._syscall.argtypes = [
                ctypes.c_long,
                ctypes.c_int,
                ctypes.c_char_p,
                ctypes.c_void_p,
                ctypes.c_size_t,
            ]

    def read(self, path: str) -> tuple[bytes, VersionTag] | None | Pending:
        """A file's whole content and its stamp.

        Returns:
            Both; ``None`` when the file surely does not exist; `PENDING` when it takes a
            disk to know, when the file is large, or when the system cannot do this.
        """
        if not self.works:
            return PENDING
        fd = self._syscall(
            _OPENAT2, _AT_FDCWD, path.encode(_ENCODING, "surrogateescape"), self._how, 24
        )
        if fd < 0:
            return self._refused(ctypes.get_errno())
        try:
            status = os.fstat(fd)
            size = status.st_size
            if size > LARGEST or not S_ISREG(status.st_mode):
                return PENDING
            buffer = bytearray(size)
            if os.preadv(fd, [buffer], 0, os.RWF_NOWAIT) != size:
                return PENDING
        except OSError as error:
            return self._refused(error.errno or 0)
        finally:
            os.close(fd)
        return bytes(buffer), make_version(path, status)

    def _refused(self, number: int) -> None | Pending:
        if number in _NOT_THERE:
            return None
        if number in _NOT_ON_THIS_SYSTEM:
            self.works = False
        return PENDING  # EAGAIN; or a fault that `read` will meet too, and tell of
