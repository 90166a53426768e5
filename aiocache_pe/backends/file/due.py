"""The buckets of the wheel whose time is past: what has to be looked at, and no more."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from stat import S_ISREG
from typing import BinaryIO

from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.wheel import (
    LARGEST,
    OPEN_BUCKET,
    OPEN_FOLDER,
    ends_of_buckets,
)

GRACE = 64
"""Seconds from the end of a bucket to its turn, for clocks that differ and writers that halt."""
_STEP = 2048  # bytes, of some 64 entries as in a step of a walk; the longest line has 300


def due(layout: Layout, now: float) -> Iterator[list[str]]:
    """What was to end by now, some at a time; a bucket that was read to its end goes.

    Who is stopped in the midst of a bucket leaves it to the next one, who begins with it.

    Args:
        layout: the directory.
        now: seconds since the epoch.

    Yields:
        Paths in the directory, in which nothing is to be trusted, of entries that may be gone
        or may have been replaced, and some of them twice.
    """
    with _folder(layout) as folder:
        for bucket in _past(folder, now):
            with suppress(OSError), _reading(folder, bucket) as file:
                yield from _batches(file)
                os.unlink(bucket, dir_fd=folder)
                yield from _batches(file)  # of who was writing a line just then


def is_overfull(layout: Layout, now: float) -> bool:
    """Whether one of them is as large as may be, so that lines may be missing."""
    with _folder(layout) as folder:
        for bucket in _past(folder, now):
            with suppress(OSError):
                if os.stat(bucket, dir_fd=folder, follow_symlinks=False).st_size >= LARGEST:
                    return True
    return False


@contextmanager
def _folder(layout: Layout) -> Generator[int | None, None, None]:
    """The folder of the buckets, open; ``None`` when there is none that is one."""
    folder = None
    with suppress(OSError):
        folder = os.open(layout.expiring, OPEN_FOLDER)
    try:
        yield folder
    finally:
        if folder is not None:
            os.close(folder)


def _past(folder: int | None, now: float) -> list[str]:
    ends = {} if folder is None else ends_of_buckets(folder)
    return sorted((name for name in ends if ends[name] + GRACE <= now), key=ends.__getitem__)


@contextmanager
def _reading(folder: int | None, bucket: str) -> Generator[BinaryIO, None, None]:
    fd = os.open(bucket, os.O_RDONLY | OPEN_BUCKET, dir_fd=folder)
    if not S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{bucket} in .expiring is not a file")
    with open(fd, "rb") as file:
        yield file


def _batches(file: BinaryIO) -> Iterator[list[str]]:
    """The lines from where the file stands, but for one at the end that is not whole.

    Of what is larger than a bucket may be, which is none of ours, the rest is left out.
    """
    for _ in range(2 * LARGEST // _STEP):  # any two steps go on by more than the length of one
        chunk = file.read(_STEP)
        lines, _, begun = chunk.rpartition(b"\n")
        if len(begun) < _STEP:
            file.seek(-len(begun), os.SEEK_CUR)
            if begun == chunk:
                return
        yield [os.fsdecode(line) for line in lines.split(b"\n") if line]
