"""How often and when an entry was read, kept at its file.

The last access is the file's access time, which is what it is for, and the hits are an
extended attribute: both belong to the inode, so they go when the entry goes, need no
place of their own, and changing them changes neither the content nor the stamp.
"""

from __future__ import annotations

import os
from contextlib import suppress

from aiocache_pe.backends.file.reading import open_entry

_HITS = "user.aiocache_pe.hits"
_has_attributes = hasattr(os, "setxattr")  # Linux; elsewhere hits last for the process


def add(path: str, hits: int, last: float) -> None:
    """Add hits to an entry, and set its last access, seconds since the epoch.

    The file is opened once and then meant by its descriptor: a version that takes its
    place meanwhile is not touched. The caller holds the entry's lock.
    """
    fd = open_entry(path)
    try:
        if _has_attributes:
            with suppress(OSError):  # a file system without attributes, or without room
                os.setxattr(fd, _HITS, b"%d" % (_hits(fd) + hits))
        os.utime(fd, ns=(int(last * 1e9), os.fstat(fd).st_mtime_ns))
    finally:
        os.close(fd)


def read(path: str) -> tuple[int, float | None]:
    """The hits of an entry, and its last access if it was ever read."""
    fd = open_entry(path)
    try:
        status = os.fstat(fd)
        hits = _hits(fd) if _has_attributes else 0
    finally:
        os.close(fd)
    untouched = status.st_atime_ns == status.st_mtime_ns
    return hits, None if untouched else status.st_atime_ns / 1e9


def hits_of(path: str) -> int:
    """The hits of an entry; none where it is not there or attributes are not."""
    return _hits(path) if _has_attributes else 0


def _hits(file: int | str) -> int:
    try:
        return int(os.getxattr(file, _HITS))
    except (OSError, ValueError):
        return 0
