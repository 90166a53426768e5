"""What tells one version of an entry from another, in a few bytes.

A version has its own inode, modification time and size, the time set by its writer to
the nanosecond of the write, so it never repeats. There is a stamp for every entry in
memory, and it is looked at before every hit: so it is one string of bytes, these three
numbers and the path.
"""

from __future__ import annotations

import os
from struct import Struct

VersionTag = bytes
"""Inode, modification time in ns and size, 8 bytes each; then the path."""

_pack = Struct("<QqQ").pack
_NUMBERS, _PATH = slice(24), slice(24, None)
_GRAIN = 1_000_000  # ns
_stat = os.stat


def make_version(path: str, status: os.stat_result) -> VersionTag:
    """The stamp of the version that has this status."""
    return _pack(status.st_ino, status.st_mtime_ns, status.st_size) + os.fsencode(path)


def is_current(stamp: VersionTag) -> bool:
    """Whether its version is the one under its path: one ``stat`` of a path just in use."""
    try:
        status = _stat(stamp[_PATH])
    except OSError:
        return False
    return stamp[_NUMBERS] == _pack(status.st_ino, status.st_mtime_ns, status.st_size)


def usable_version(stamp: VersionTag) -> VersionTag | None:
    """The stamp, if it can tell versions apart.

    Where the file system keeps only milliseconds or seconds it cannot, and nothing may be
    taken for current by it.
    """
    modified = int.from_bytes(stamp[8:16], "little", signed=True)
    return stamp if modified % _GRAIN else None


def size_in_memory(stamp: VersionTag) -> int:
    """The size of its version, in bytes."""
    return int.from_bytes(stamp[16:24], "little")
