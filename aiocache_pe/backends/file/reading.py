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
from functools import partial
from itertools import chain
from stat import S_ISREG

from aiocache_pe.backends.file.regular_files import (
    RESOLVE_CACHED,
    RESOLVE_NO_SYMLINKS,
    Openat2,
    open_regular,
)
from aiocache_pe.backends.file.version import VersionTag, make_version
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.record import Head, has_checksum, unpack_head
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.sentinels import PENDING, Pending

MAX_CACHED_BYTES = 64 * 1024
"""Largest file that is read without a thread; copying more costs more than a hop."""

# O_NOATIME: the access time is the entry's last access, which the store sets itself.
_NOATIME_FLAGS = os.O_RDONLY | getattr(os, "O_NOATIME", 0)
# O_NONBLOCK: opening a pipe that was planted in the place of an entry must not wait.
_CACHED_FLAGS = _NOATIME_FLAGS | os.O_CLOEXEC | os.O_NONBLOCK
_HEAD_BYTES = 2048  # nearly every head is shorter
_MAX_HEAD_BYTES = 8 * 1024 * 1024
_MAX_UNVERIFIED_BYTES = 16 * 1024 * 1024  # of a file that is held in memory before it is verified
_CHUNK_BYTES = 1024 * 1024

_UNSUPPORTED_ERRNOS = (
    errno.ENOSYS,  # a kernel without the system call
    errno.EINVAL,  # a kernel without the flag
    errno.E2BIG,  # a kernel without the structure
    errno.EOPNOTSUPP,  # tmpfs and some overlays
)


def open_entry(path: str) -> tuple[int, os.stat_result]:
    """Open an entry's file for reading; leave its access time alone where that is allowed.

    Raises:
        NotRegularError: there is a link, a pipe or another object in its place.
    """
    try:
        return open_regular(path, _NOATIME_FLAGS)
    except PermissionError:  # the file belongs to another user
        return open_regular(path)


def read_entry(path: str) -> tuple[bytes | CorruptRecordError, VersionTag]:
    """Return the content of a file and the tag of this version.

    A large file is read twice, first in small parts. Therefore a huge file that is no record, such
    as a sparse one, is never held in memory: the result is then the reason.
    """
    fd, status = open_entry(path)
    try:
        left = status.st_size
        if left > _MAX_UNVERIFIED_BYTES:
            try:
                _verify_large(fd, left)
            except CorruptRecordError as error:
                return error, make_version(path, status)
            os.lseek(fd, 0, os.SEEK_SET)
        chunks = []
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return data, make_version(path, status)


def read_head(path: str, key: str = "") -> Head:
    """Read an entry's head from the first line of its file.

    Args:
        path: the file.
        key: the expected store key; empty to accept any.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptRecordError: the file does not begin with a head of the key.
    """
    fd, _ = open_entry(path)
    try:
        return unpack_head(_read_line(fd).partition(b"\n")[0], key=key)
    finally:
        os.close(fd)


def _read_line(fd: int) -> bytes:
    """Return the beginning of a file with its first line, unless the line is too long."""
    start = os.read(fd, _HEAD_BYTES)
    while b"\n" not in start and len(start) < _MAX_HEAD_BYTES:
        more = os.read(fd, len(start))
        if not more:
            break
        start += more
    return start


def _verify_large(fd: int, size: int) -> None:
    """Verify the size and the checksum of a record, without holding it in memory."""
    line, newline, payload = _read_line(fd).partition(b"\n")
    head = unpack_head(line)
    if len(line) + len(newline) + head.size != size:
        raise CorruptRecordError(f"record must have {head.size} bytes of payload", key=head.key)
    chunks = iter(partial(os.read, fd, _CHUNK_BYTES), b"")
    if not has_checksum(line, chain((payload,), chunks)):
        raise CorruptRecordError("record checksum does not match", key=head.key)


class CachedReader:
    """Reader of files that the kernel holds in memory, where the system supports it."""

    is_supported: bool
    """Whether the system can do this; ``False`` for good once it has answered that it cannot."""

    def __init__(self) -> None:
        self.is_supported = sys.platform == "linux" and hasattr(os, "RWF_NOWAIT")
        if self.is_supported:
            self._open = Openat2(ctypes.PyDLL, RESOLVE_CACHED | RESOLVE_NO_SYMLINKS)
            self._arguments = self._open.make_arguments(_CACHED_FLAGS)

    def read_if_cached(self, path: str) -> tuple[bytes, VersionTag] | None | Pending:
        """Read a whole file without waiting.

        Returns:
            The content and the tag of this version; ``None`` if there certainly is no such file;
            `PENDING` if the file is not in memory or is large, or if the system cannot do this.
        """
        if not self.is_supported:
            return PENDING
        fd = self._open(path, self._arguments)
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
            if error.errno != errno.EAGAIN:
                raise_interrupt(error)
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
