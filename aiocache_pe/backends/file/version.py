"""Version tags: a few bytes that distinguish the versions of an entry.

Each version of an entry is a file with its own inode, size and modification time. The writer sets
the time, in nanoseconds, so no two versions share all three. Memory holds a tag for every entry,
and every hit compares it with the file. Therefore a tag is a single byte string: these three
numbers, then the path.
"""

from __future__ import annotations

import os
from struct import Struct

VersionTag = bytes
"""Inode, modification time in ns and size in bytes, 8 bytes each; then the path."""

_pack = Struct("<QqQ").pack
_NUMBERS, _PATH = slice(24), slice(24, None)
_COARSE_TIME = 1_000_000  # ns; file systems that round times round them to this at the finest
_stat = os.lstat


def make_version(path: str, status: os.stat_result) -> VersionTag:
    """Return the tag of the version of a file that has this status."""
    return _pack(status.st_ino, status.st_mtime_ns, status.st_size) + os.fsencode(path)


def is_current(stamp: VersionTag) -> bool:
    """Return whether the tagged version is still at its path; costs one ``lstat``."""
    try:
        status = _stat(stamp[_PATH])
    except OSError:
        return False
    return stamp[_NUMBERS] == _pack(status.st_ino, status.st_mtime_ns, status.st_size)


def usable_version(version: VersionTag) -> VersionTag | None:
    """Return the tag, or ``None`` if it cannot distinguish versions.

    A time in whole milliseconds shows that the file system rounds times. Then two versions may
    have the same tag, and no copy in memory may be taken for current.
    """
    modified = int.from_bytes(version[8:16], "little", signed=True)
    return version if modified % _COARSE_TIME else None


def get_file_size(version: VersionTag) -> int:
    """Return the size of the tagged file in bytes."""
    return int.from_bytes(version[16:24], "little")
