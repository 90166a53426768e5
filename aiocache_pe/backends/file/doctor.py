"""Health checks of a cache directory for ``aiocache-pe doctor``; they block."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.file.access_stats import HITS_ATTRIBUTE
from aiocache_pe.backends.file.file_system import (
    find_file_system,
    has_working_locks,
    measure_skew,
)
from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.reading import CachedReader
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.sentinels import PENDING

_MAX_SKEW = 1.0  # seconds
_MIN_FREE_BYTES = 100 * 1024 * 1024


def examine(root: str, examine_size: Callable[[], Check]) -> Iterator[Check]:
    """Yield the results of all checks of a cache directory; leave no file behind."""
    try:
        mode = os.stat(root).st_mode & 0o777
        with tempfile.TemporaryDirectory(dir=root, prefix=".doctor-") as folder:
            yield Check("writable", "ok", root)
            yield _check_permissions(mode)
            yield _check_reading(folder)
            yield _check_attributes(folder)
            yield examine_size()
            yield _check_file_system(root)
            yield _check_locks(folder)
            yield _check_clock(folder)
    except OSError as error:
        yield Check("writable", "failure", f"{root}: {error.strerror or error}")
        return
    free = shutil.disk_usage(root).free
    yield Check("space", "ok" if free >= _MIN_FREE_BYTES else "warning", f"{free:,} bytes are free")


def find_obstacle(root: str) -> str:
    """Return the reason for which a directory cannot be used; empty if it can.

    A directory with entries that can be read but not written is used: its entries are served.
    """
    path = root
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    missing = root[len(path) :].strip(os.sep).split(os.sep)
    for each in (root, *(os.path.join(path, name) for name in missing)):
        try:
            os.stat(each)
        except OSError as error:
            raise_interrupt(error)
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                return f"{each:.80} is no path: {error.strerror}"
    if not os.path.isdir(path):
        return f"{path} is not a directory"
    if _has_access(path, os.W_OK | os.X_OK):
        return ""
    if path == root and _has_access(path, os.R_OK | os.X_OK):
        return "" if os.path.exists(Layout(root).locks) else f"{path} cannot be written"
    return f"{path} cannot be written"


def _has_access(path: str, rights: int) -> bool:
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def _check_permissions(mode: int) -> Check:
    if mode & 0o077:
        return Check("private", "warning", f"other users have access: mode is {mode:04o}, not 0700")
    return Check("private", "ok", f"mode {mode:04o}")


def _check_reading(folder: str) -> Check:
    path = f"{folder}/read"
    with open(path, "wb") as file:
        file.write(b"warm")
    reader = CachedReader()
    for _ in range(3):
        found = reader.read_if_cached(path)
        if found is not None and found is not PENDING:
            return Check("reading", "ok", "warm entries are read without a thread")
    return Check("reading", "warning", "on this system or file system every read takes a thread")


def _check_file_system(root: str) -> Check:
    system = find_file_system(root)
    text = f"{system.kind or 'unknown'} at {system.mount_point or '/'}"
    if system.risk:
        advice = "use the directory from one machine only, or use Redis"
        return Check("file system", "warning", f"{text}: {system.risk}; {advice}")
    return Check("file system", "ok", text)


def _check_locks(folder: str) -> Check:
    path = f"{folder}/locks"
    with open(path, "wb"):
        pass
    if has_working_locks(path):
        return Check("locks", "ok", "two open descriptions exclude each other")
    return Check("locks", "failure", "locks do not work here: use a local directory or Redis")


def _check_clock(folder: str) -> Check:
    skew = measure_skew(f"{folder}/clock")
    text = f"the times of files differ by {abs(skew):.3f} s from this machine's clock"
    return Check("clock", "warning" if abs(skew) > _MAX_SKEW else "ok", text)


def _check_attributes(folder: str) -> Check:
    with suppress(OSError, AttributeError):
        os.setxattr(f"{folder}/read", HITS_ATTRIBUTE, b"1")
        return Check("hit counts", "ok", "stored with the entries")
    return Check(
        "hit counts", "warning", "no extended attributes here: hit counts last for a process"
    )
