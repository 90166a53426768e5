"""File system of a cache directory: its kind, and whether locks and clocks can be relied on.

The store needs locks that exclude every other process, changes that every process sees at once, and
files whose times follow one clock. A local file system of one machine has all three. A network file
system may have locks that only one machine knows, and caches that are seconds old.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from typing import NamedTuple

from aiocache_pe.backends.file.locks import HAS_DESCRIPTION_LOCKS, set_lock

logger = logging.getLogger("aiocache_pe")

_MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")
_PROBE_SLOT = 1 << 61  # beyond the locks of entries
_warned: set[str] = set()

_SHARED = "its locks and caches may differ between machines"
_UNRELIABLE = {
    "nfs": _SHARED,
    "nfs4": _SHARED,
    "cifs": _SHARED,
    "smb3": _SHARED,
    "smbfs": _SHARED,
    "9p": "its locks and caches may differ between the guests and the host",
    "virtiofs": "its locks and caches may differ between the guests and the host",
    "vboxsf": "its locks and caches may differ between the guests and the host",
    "afs": _SHARED,
    "ncpfs": _SHARED,
    "fuse": "its locks and caches depend on the program that serves it",
}


class FileSystem(NamedTuple):
    """The file system of a path.

    Attributes:
        kind: its type, such as ``ext4`` or ``fuse.sshfs``; empty if unknown.
        mount_point: the directory at which it is mounted.
        source: the device or the remote directory; it may be any text.
    """

    kind: str
    mount_point: str
    source: str

    @property
    def risk(self) -> str:
        """Return the reason why processes may disagree on this file system; empty for none."""
        return _UNRELIABLE.get(self.kind) or _UNRELIABLE.get(self.kind.partition(".")[0], "")


def find_file_system(path: str) -> FileSystem:
    """Return the file system of a path, as the kernel lists it."""
    found = FileSystem("", "", "")
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:  # no Linux
        return found
    for line in lines:
        fields, _, rest = line.partition(" - ")
        names, kinds = fields.split(" "), rest.split(" ")
        if len(names) < 5 or len(kinds) < 2:  # noqa: PLR2004 - the numbers of the fields
            continue
        mount_point = _unescape(names[4])
        is_above = path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
        if is_above and len(mount_point) >= len(found.mount_point):  # a later mount hides one
            found = FileSystem(kinds[0], mount_point, _unescape(kinds[1]))
    return found


def has_working_locks(path: str) -> bool:
    """Return whether two open descriptions of a file exclude each other.

    Where locks belong to processes, this cannot be tried, and the result is ``True``.

    Raises:
        OSError: the file cannot be opened.
    """
    if not HAS_DESCRIPTION_LOCKS:
        return True
    first = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        second = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            slot = _PROBE_SLOT + os.getpid()
            # A process of another container, with this number, may probe at the same moment.
            if not set_lock(first, fcntl.F_WRLCK, slot):
                return True
            return not set_lock(second, fcntl.F_WRLCK, slot)
        except OSError:
            return False
        finally:
            os.close(second)
    finally:
        os.close(first)


def measure_skew(path: str) -> float:
    """Return the seconds by which the times of new files are ahead of this machine's clock.

    Args:
        path: a file to create.
    """
    began = time.time()
    with open(path, "wb") as file:
        file.write(b"1")
        file.flush()
        modified = os.fstat(file.fileno()).st_mtime
    ended = time.time()
    return modified - min(max(modified, began), ended)


def warn_if_unreliable(root: str, lock_file: str) -> None:
    """Log once for each directory if processes that share it may disagree.

    Args:
        root: the directory.
        lock_file: the file of its locks, which exists.
    """
    if root in _warned:
        return
    _warned.add(root)
    system = find_file_system(root)
    try:
        is_locking = has_working_locks(lock_file)
    except OSError:
        return
    if not is_locking:
        logger.warning(
            "file store %s: locks do not work on its file system (%s at %s), so processes and "
            "threads may overwrite each other's changes; use a local directory or Redis",
            *(root, system.kind or "unknown", system.mount_point or "/"),
        )
    elif system.risk:
        logger.warning(
            "file store %s is on the file system %s at %s: %s; use it from one machine only, or "
            "use Redis",
            *(root, system.kind, system.mount_point, system.risk),
        )


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)
