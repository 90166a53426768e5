"""What is in a file, as part of a key: the same content, the same key, wherever the file is.

A digest is remembered with the file's size, inode and time of change, so a file is read
again only when one of them is another. A file changed within the clock's own grain, just
before it was read, could look the same after the next change: it is not remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from typing import NamedTuple

_MOST = 4096  # files to remember
_GRAIN = 50_000_000  # nanoseconds; the kernel's clock for files ticks at least that often
_Stamp = tuple[int, int, int, int]
_known: dict[str, tuple[_Stamp, str]] = {}


class FileDigest(NamedTuple):
    """A file and the digest of its content; it can be opened, for it is a path.

    As an argument of a cached function the content alone counts, not the path.

    Attributes:
        path: the file.
        hexdigest: BLAKE2b (RFC 7693) of its content, 64 hex digits.
    """

    path: str
    hexdigest: str

    def __fspath__(self) -> str:
        return self.path

    def __cache_key__(self) -> str:
        return self.hexdigest


async def file_digest(path: str | os.PathLike[str]) -> FileDigest:
    """The digest of a file's content, read in a thread if it has to be read.

    Args:
        path: the file.

    Returns:
        A path with a digest, to give to a cached function.

    Raises:
        OSError: the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> for name in ("a", "b"):
        ...     _ = Path(name).write_text("the same")
        >>> run(file_digest("a")).hexdigest == run(file_digest("b")).hexdigest
        True
    """
    return await asyncio.to_thread(file_digest_blocking, path)


def file_digest_blocking(path: str | os.PathLike[str]) -> FileDigest:
    """The same for code without an event loop."""
    name = os.path.abspath(os.fspath(path))  # noqa: PTH100 - a Path takes three times as long
    with open(name, "rb") as file:  # noqa: PTH123 - the same
        stamp = _stamp(file.fileno())
        known = _known.get(name)
        if known is not None and known[0] == stamp:
            return FileDigest(name, known[1])
        now = time.time_ns()
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        unchanged = _stamp(file.fileno()) == stamp
    _known.pop(name, None)
    if unchanged and now - stamp[2] > _GRAIN:
        while len(_known) >= _MOST:
            _known.pop(next(iter(_known)), None)
        _known[name] = stamp, digest
    return FileDigest(name, digest)


def _stamp(descriptor: int) -> _Stamp:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
