"""Reading an entry's file in a thread, whole or its head alone."""

from __future__ import annotations

import os

from aiocache_pe.backends.file.stamps import Stamp, stamp_of
from aiocache_pe.record import Head, unpack_head

_PLAIN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # for whoever plants a pipe
_QUIET = _PLAIN | getattr(os, "O_NOATIME", 0)  # the access time is ours to set
_FIRST = 2048  # bytes; nearly every head is shorter


def open_entry(path: str) -> int:
    """Open for reading, without a trace in the access time where that is allowed."""
    try:
        return os.open(path, _QUIET)
    except PermissionError:  # somebody else's file
        return os.open(path, _PLAIN)


def read_whole(path: str) -> tuple[bytes, Stamp]:
    """A file's content and the stamp of just this version.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """
    fd = open_entry(path)
    try:
        status = os.fstat(fd)
        chunks = []
        left = status.st_size
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    finally:
        os.close(fd)
    blob = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return blob, stamp_of(path, status)


def read_head(path: str, key: str = "") -> Head:
    """An entry's head, by its first line.

    Args:
        path: the file.
        key: the store key it is expected to have; empty to accept any.

    Raises:
        FileNotFoundError: there is none.
        CorruptRecordError: it does not begin with a head, or is another key's.
    """
    fd = open_entry(path)
    try:
        start = os.read(fd, _FIRST)
        while b"\n" not in start and (more := os.read(fd, len(start))):
            start += more
    finally:
        os.close(fd)
    return unpack_head(start.partition(b"\n")[0], key=key)
