"""Whole files or none: how a version of an entry takes the place of another.

A version is written to a temporary file in the entry's own folder and then put in its
place by one rename, so a reader finds the old version or the new one, never a part.

Over an existing name a plain rename is slow on ext4, which then starts writing the data
out (``auto_da_alloc``); exchanging the two names (``RENAME_EXCHANGE``) and removing the
old version under its temporary name is as atomic and 10 times faster: 150 us against
1,750 us on the machine it was measured on.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from aiocache_pe.backends.file.version import VersionTag, make_version

TEMPORARY = ".tmp-"

_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_AT_FDCWD = -100
_ENCODING = sys.getfilesystemencoding()
_NOREPLACE, _EXCHANGE = 1, 2
_numbers = itertools.count()
_renameat2 = (
    getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if sys.platform == "linux"
    else None
)


class AtomicWrite:
    """A version being written: filled, then published or discarded.

    It is made before anything else is looked at. When the folder is taken away
    meanwhile, by a ``clear``, publishing fails with `FileNotFoundError`: what was
    computed from a state before the clear never appears after it.
    """

    __slots__ = ("_fd", "is_published", "path", "replaced", "size")

    replaced: int | None
    """The size in bytes of the version that was replaced; ``None`` if there was none."""
    size: int
    """Its own size."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/{TEMPORARY}{os.getpid()}-{next(_numbers)}"
        self._fd = os.open(self.path, _FLAGS, 0o600)
        self.is_published = False
        self.size = 0
        self.replaced = None

    def fill(self, chunks: Sequence[bytes]) -> None:
        """Write the content."""
        self.size = sum(map(len, chunks))
        left = self.size - os.writev(self._fd, chunks)
        if left:
            rest = memoryview(b"".join(chunks))[-left:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def publish(self, path: str) -> VersionTag:
        """Make it the entry, replacing what was there. The caller holds the entry's lock."""
        now = time.time_ns() | 1  # never in whole milliseconds, by which no version is told
        os.utime(self._fd, ns=(now, now))
        status = os.fstat(self._fd)
        self._close()
        self.replaced = _put(self.path, path)
        self.is_published = True
        return make_version(path, status)

    def discard(self) -> None:
        """Remove it, unless it was published."""
        self._close()
        if not self.is_published:
            with suppress(OSError):
                os.unlink(self.path)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _put(temporary: str, path: str) -> int | None:
    """Rename; the size of what was there before, if anything was."""
    if _renameat2 is None:
        return _put_over(temporary, path)
    source = temporary.encode(_ENCODING, "surrogateescape")
    target = path.encode(_ENCODING, "surrogateescape")
    if _renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _NOREPLACE) == 0:
        return None
    if (
        ctypes.get_errno() == errno.EEXIST
        and _renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _EXCHANGE) == 0
    ):
        size = None
        with suppress(OSError):  # the new version is in its place, whatever was there before
            size = os.lstat(temporary).st_size
            os.unlink(temporary)
        return size
    return _put_over(temporary, path)  # without either; and the proper error if none helps


def _put_over(temporary: str, path: str) -> int | None:
    size = None
    with suppress(FileNotFoundError):
        size = os.lstat(path).st_size
    os.rename(temporary, path)
    return size
