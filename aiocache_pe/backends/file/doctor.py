"""Whether a directory is fit to be a cache, for ``aiocache-pe doctor``. Blocking."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress

from aiocache_pe.backends.base import Check
from aiocache_pe.backends.file.reading import CachedReader
from aiocache_pe.sentinels import PENDING

_LITTLE = 100 * 1024 * 1024  # bytes


def examine(root: str) -> Iterator[Check]:
    """Look at a cache directory; what is tried is removed again."""
    try:
        mode = os.stat(root).st_mode & 0o777
        with tempfile.TemporaryDirectory(dir=root, prefix=".doctor-") as folder:
            yield Check("writable", "ok", root)
            yield _permissions(root, mode)
            yield _reading(folder)
            yield _attributes(folder)
    except OSError as error:
        yield Check("writable", "failure", f"{root}: {error.strerror or error}")
        return
    free = shutil.disk_usage(root).free
    yield Check("space", "ok" if free >= _LITTLE else "warning", f"{free:,} bytes are free")


def _permissions(root: str, mode: int) -> Check:
    if mode & 0o077:
        return Check("private", "warning", f"others may look into it: mode {mode:04o}, not 0700")
    return Check("private", "ok", f"mode {mode:04o}")


def _reading(folder: str) -> Check:
    path = f"{folder}/read"
    with open(path, "wb") as file:
        file.write(b"warm")
    reader = CachedReader()
    for _ in range(3):
        found = reader.read(path)
        if found is not None and found is not PENDING:
            return Check("reading", "ok", "warm entries are read without a thread")
    return Check("reading", "warning", "the system or file system makes every read take a thread")


def _attributes(folder: str) -> Check:
    path = f"{folder}/read"
    with suppress(OSError, AttributeError):
        os.setxattr(path, "user.aiocache_pe.hits", b"1")
        return Check("hit counts", "ok", "kept with the entries")
    return Check("hit counts", "warning", "no extended attributes here: they last for a process")
