"""Reads of an entry's file: in a thread, or without waiting from the kernel's caches.

`CachedReader` reads a small file on the event loop if the kernel holds it in memory. On Linux,
``openat2`` with ``RESOLVE_CACHED`` (since 5.12) opens a path with cached directory entries, or
answers ``EAGAIN``. ``preadv`` with ``RWF_NOWAIT`` does the same for the content. Such a read takes
four system calls and no thread. For a file that is not cached, the attempt costs a few
microseconds.

The call of ``openat2`` goes through `ctypes.PyDLL`, which keeps the GIL. The call cannot block, and
releasing the GIL would cost more than the call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint64, c_void_p
from stat import S_ISREG

from aiocache_pe.backends.file.version import VersionTag, make_version
from aiocache_pe.record import Head, unpack_head
from aiocache_pe.sentinels import PENDING, Pending

MAX_CACHED_BYTES = 64 * 1024
"""Largest file that is read without a thread; copying more costs more than a hop."""

# O_NONBLOCK: opening a pipe that was planted in the place of an entry must not wait.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# O_NOATIME: the access time is the entry's last access, which the store sets itself.
_NOATIME_FLAGS = _OPEN_FLAGS | getattr(os, "O_NOATIME", 0)
_HEAD_BYTES = 2048  # nearly every head is shorter

_ENCODING = sys.getfilesystemencoding()
_OPENAT2 = 437  # the same on every architecture: it is newer than their common table
_AT_FDCWD = -100
_RESOLVE_CACHED = 0x20
_UNSUPPORTED_ERRNOS = (
    errno.ENOSYS,  # a kernel without the system call
    errno.EINVAL,  # a kernel without the flag
    errno.E2BIG,  # a kernel without the structure
    errno.EOPNOTSUPP,  # tmpfs and some overlays
)


def open_entry(path: str) -> int:
    """Open an entry's file for reading; leave its access time alone where that is allowed."""
    try:
        return os.open(path, _NOATIME_FLAGS)
    except PermissionError:  # the file belongs to another user
        return os.open(path, _OPEN_FLAGS)


def read_entry(path: str) -> tuple[bytes, VersionTag]:
    """Return the content of a file and the tag of this version."""
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
    """Read an entry's head from the first line of its file.

    Args:
        path: the file.
        key: the expected store key; empty to accept any.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptRecordError: the file does not begin with a head of the key.
    """
    fd = open_entry(path)
    try:
        start = os.read(fd, _HEAD_BYTES)
        while b"\n" not in start and (more := os.read(fd, len(start))):
            start += more
    finally:
        os.close(fd)
    return unpack_head(start.partition(b"\n")[0], key=key)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", c_uint64), ("mode", c_uint64), ("resolve", c_uint64)]


class CachedReader:
    """Reader of files that the kernel holds in memory, where the system supports it."""

    is_supported: bool
    """Whether the system can do this; ``False`` for good once it has answered that it cannot."""

    def __init__(self) -> None:
        self.is_supported = sys.platform == "linux" and hasattr(os, "RWF_NOWAIT")
        if self.is_supported:
            self._how = ctypes.byref(_OpenHow(_NOATIME_FLAGS, 0, _RESOLVE_CACHED))
            self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
            self._syscall.restype = c_long
            self._syscall.argtypes = [c_long, c_int, c_char_p, c_void_p, c_size_t]

    def read_if_cached(self, path: str) -> tuple[bytes, VersionTag] | None | Pending:
        """Read a whole file without waiting.

        Returns:
            The content and the tag of this version; ``None`` if there certainly is no such file;
            `PENDING` if the file is not in memory or is large, or if the system cannot do this.
        """
        if not self.is_supported:
            return PENDING
        name = path.encode(_ENCODING, "surrogateescape")
        fd = self._syscall(_OPENAT2, _AT_FDCWD, name, self._how, 24)
        if fd < 0:
            return self._interpret(ctypes.get_errno())
        try:
            status = os.fstat(fd)
            size = status.st_size
            if size > MAX_CACHED_BYTES or not S_ISREG(status.st_mode):
                return PENDING
            buffer = bytearray(size)
            if os.preadv(fd, [buffer], 0, os.RWF_NOWAIT) != size:
                return PENDING
        except OSError as error:
            return self._interpret(error.errno or 0)
        finally:
            os.close(fd)
        return bytes(buffer), make_version(path, status)

    def _interpret(self, number: int) -> None | Pending:
        if number in (errno.ENOENT, errno.ENOTDIR):
            return None
        if number in _UNSUPPORTED_ERRNOS:
            self.is_supported = False
        return PENDING  # EAGAIN; or a fault that `read_entry` meets as well and raises
