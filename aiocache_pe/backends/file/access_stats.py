"""Access statistics of an entry, stored as metadata of its file.

The last access is the file's access time, and the hits are an extended attribute. Both belong to
the inode, so they disappear together with the entry. A change of them alters neither the content
nor the version tag.
"""

from __future__ import annotations

import os
from contextlib import suppress

from aiocache_pe.backends.file.reading import open_entry

HITS_ATTRIBUTE = "user.aiocache_pe.hits"
_MAX_HITS = 1 << 53
_HAS_ATTRIBUTES = hasattr(os, "setxattr")  # Linux; elsewhere hit counts last for the process


def add_hits(path: str, hits: int, last_access: float) -> None:
    """Add hits to an entry, and set its last access in seconds since the epoch.

    The caller holds the entry's lock. The file is opened once, so a version that replaces it
    meanwhile is not touched.
    """
    fd, status = open_entry(path)
    try:
        if _HAS_ATTRIBUTES:
            with suppress(OSError):  # the file system has no attributes, or no space for one
                os.setxattr(fd, HITS_ATTRIBUTE, b"%d" % (read_hits(fd) + hits))
        os.utime(fd, ns=(int(last_access * 1e9), status.st_mtime_ns))
    finally:
        os.close(fd)


def read_stats(path: str) -> tuple[int, float | None]:
    """Return the hits of an entry, and its last access in seconds since the epoch.

    The last access is ``None`` for an entry that was never read.
    """
    fd, status = open_entry(path)
    try:
        hits = read_hits(fd)
    finally:
        os.close(fd)
    was_read = status.st_atime_ns != status.st_mtime_ns
    return hits, status.st_atime_ns / 1e9 if was_read else None


def read_hits(file: int | str) -> int:
    """Return the hits of an entry; 0 if the entry or extended attributes do not exist."""
    if _HAS_ATTRIBUTES:
        with suppress(OSError, ValueError):
            return min(max(int(os.getxattr(file, HITS_ATTRIBUTE)), 0), _MAX_HITS)
    return 0
