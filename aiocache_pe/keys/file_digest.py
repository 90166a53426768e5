"""Digests of files: keys that depend on a file's content, not on its path.

A digest is remembered with the file's device, inode, modification time and size. The file is
read again only when one of them differs. Clocks of file systems are coarse: a file that was
modified just before it was read could change again without a visible difference. Its digest
is not remembered.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import NamedTuple

from aiocache_pe.runtime.threads import call_in_thread

_MAX_FILES = 4096
_CLOCK_RESOLUTION = 50_000_000  # nanoseconds; the kernel's clock for files is at least as fine
_Stat = tuple[int, int, int, int]
_digests: dict[str, tuple[_Stat, str]] = {}


class FileDigest(NamedTuple):
    """A file and the digest of its content. It is path-like, so `open` accepts it.

    As an argument of a cached function it stands for the content, not for the path.

    Attributes:
        path: the file.
        hexdigest: BLAKE2b (RFC 7693) of its content, 64 hex digits.

    Example:
        >>> from pathlib import Path
        >>> from aiocache_pe import sync
        >>> Path("report.txt").write_text("a report")
        8
        >>> digest = sync.file_digest("report.txt")
        >>> Path(digest).name, len(digest.hexdigest)
        ('report.txt', 64)
    """

    path: str
    hexdigest: str

    def __fspath__(self) -> str:
        return self.path

    def __cache_key__(self) -> str:
        return self.hexdigest


async def file_digest(path: str | os.PathLike[str]) -> FileDigest:
    """Return the digest of a file's content; the file is accessed in a thread.

    Returns:
        A path-like object to pass to a cached function.

    Raises:
        OSError: the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> for name in ("a", "b"):
        ...     _ = Path(name).write_text("the same")
        >>> run(file_digest("a")).hexdigest == run(file_digest("b")).hexdigest
        True
    """
    return await call_in_thread(file_digest_blocking, path)


def file_digest_blocking(path: str | os.PathLike[str]) -> FileDigest:
    """Return the digest of a file's content; the file is accessed in this thread.

    Raises:
        OSError: the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from aiocache_pe import sync
        >>> Path("report.txt").write_text("a report")
        8
        >>> len(sync.file_digest("report.txt").hexdigest)
        64
    """
    name = os.path.abspath(os.fspath(path))  # noqa: PTH100 - a Path takes three times as long
    with open(name, "rb") as file:  # noqa: PTH123 - a Path takes three times as long
        stat = _read_stat(file.fileno())
        known = _digests.get(name)
        if known is not None and known[0] == stat:
            return FileDigest(name, known[1])

        now = time.time_ns()
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        is_unchanged = _read_stat(file.fileno()) == stat

    _digests.pop(name, None)
    modified_at = stat[2]
    if is_unchanged and now - modified_at > _CLOCK_RESOLUTION:
        while len(_digests) >= _MAX_FILES:
            _digests.pop(next(iter(_digests)), None)
        _digests[name] = stat, digest
    return FileDigest(name, digest)


def _read_stat(descriptor: int) -> _Stat:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
