"""Expiry index of the file store: a timing wheel kept in files.

The index finds expired entries without a scan of the directory (G. Varghese and T. Lauck, "Hashed
and hierarchical timing wheels", SOSP 1987). A bucket is a file in ``.expiring`` for a span of time,
named by the end of the span in seconds since the epoch. It has a line for each entry that expires
in the span: the entry's path in the directory. Spans that are further away are longer, up to a
sixteenth of the time left. No line moves to a shorter span when its time approaches, as in the
timers of Linux since 4.8: an expired entry is never served, so it may occupy space for a sixteenth
longer.

A line is appended by one call before its entry is written. A line without an entry is harmless. An
entry without a line would stay until the next walk through all entries. For the same reason no line
is removed: an entry that is removed, replaced or prolonged leaves its line behind. The reader of a
line examines the entry. If the entry expires later than its line says, it gets a new line then.
Therefore an entry that is replaced again and again needs no new line while it has one. A table of
fixed size holds the lines that this process wrote recently.

Each line begins with a newline as well as ending in one. A line that is cut off, by a full disk or
the end of its writer, therefore damages no other line.

The readers, `iter_due` and `has_full_bucket`, process the past buckets only.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from stat import S_ISREG
from typing import BinaryIO

from aiocache_pe.backends.file.layout import EntryPath, Layout
from aiocache_pe.backends.file.regular_files import make_folder, remove_foreign
from aiocache_pe.runtime.fork import reset_after_fork

MAX_BUCKET_BYTES = 64 * 1024 * 1024
"""Largest size of a bucket, a million lines; no line is appended to a larger one.

A walk through all entries takes no longer than reading more lines would. The limit keeps entries
that are replaced all the time from filling a disk with lines.
"""

MAX_BUCKETS = 1024
"""Greatest number of buckets; beyond it, the oldest are removed and the next round walks.

At most 450 buckets lie in the future. Those of the past accumulate where no process makes rounds.
"""

GRACE_SECONDS = 64
"""Time from the end of a bucket until it is read, for clocks that differ and writers that pause."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_BUCKET_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a planted pipe must not block
_MIN_SPAN_BITS = 6  # of the shortest span, 64 seconds; the ends of all spans are multiples of it
_MAX_TIME = 1 << 37  # seconds since the epoch, in the year 6325; later expiry gets no line
_MAX_OPEN_BUCKETS = 8
_RECHECK_BYTES = 1024 * 1024  # bytes that are written until the size of a bucket is read again
_TABLE_SIZE = 1 << 15  # entries; an item has 32 bits of digest and 32 bits for the bucket's end
_END_MASK = (1 << 32) - 1
_BATCH_BYTES = 2048  # some 64 entries, as in a step of a walk; the longest line has 300 bytes


class ExpiryIndex:
    """The expiry index of one directory, for writing."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path_start = len(layout.root) + 1
        self._folder = -1
        self._buckets: dict[int, _Bucket] = {}
        self._recent = array("Q")
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Use files and a lock of the child's own; a thread of the parent may hold the lock."""
        self._lock = threading.Lock()
        self._close_files()

    def add(self, entry: EntryPath, removable_at: float, now: float) -> None:
        """Append a line for an entry, unless it has one that is early enough.

        If the line cannot be written, the next walk through all entries finds the entry.

        Args:
            entry: the entry; the caller holds its lock.
            removable_at: time at which the entry may be removed, in seconds since the epoch.
            now: present time, in seconds since the epoch.
        """
        if not 0 <= removable_at < _MAX_TIME:
            return
        end, at = _compute_bucket_end(removable_at, now), entry.slot % _TABLE_SIZE
        with suppress(OSError), self._lock:
            self._ensure_open()
            recent = self._recent[at]
            recent_end = (recent & _END_MASK) << _MIN_SPAN_BITS
            if recent >> 32 != entry.slot or not now < recent_end <= end:
                path = os.fsencode(entry.path[self._path_start :])
                self._get_bucket(end).append(b"\n%b\n" % path)
                self._recent[at] = entry.slot << 32 | end >> _MIN_SPAN_BITS

    def close(self) -> None:
        """Close the files; the next `add` opens them again."""
        with self._lock:
            self._close_files()

    def _ensure_open(self) -> None:
        """Open the folder of the buckets; open it again if the directory was removed."""
        if self._folder >= 0:
            with suppress(OSError):
                if os.fstat(self._folder).st_nlink:
                    return
            self._close_files()
        make_folder(self._layout.root, self._layout.expiring)
        self._folder = os.open(self._layout.expiring, _FOLDER_FLAGS)
        self._recent = array("Q", bytes(8 * _TABLE_SIZE))

    def _get_bucket(self, end: int) -> _Bucket:
        bucket = self._buckets.pop(end, None)
        if bucket is None:
            try:
                bucket = _Bucket(self._folder, end)
            except OSError:
                remove_foreign(self._layout.root, f"{self._layout.expiring}/{end}")
                bucket = _Bucket(self._folder, end)
            if len(self._buckets) == _MAX_OPEN_BUCKETS:
                least_recent = next(iter(self._buckets))
                self._buckets.pop(least_recent).close()
            if bucket.is_new:
                self._remove_oldest_buckets()
        self._buckets[end] = bucket
        return bucket

    def _remove_oldest_buckets(self) -> None:
        """Remove the oldest buckets if there are too many, and request a walk."""
        with suppress(OSError):
            for bucket in _list_buckets(self._folder)[:-MAX_BUCKETS]:
                with suppress(OSError):
                    os.unlink(self._layout.walked)
                with suppress(OSError):
                    os.unlink(bucket, dir_fd=self._folder)

    def _close_files(self) -> None:
        while self._buckets:
            self._buckets.popitem()[1].close()
        folder, self._folder = self._folder, -1
        if folder >= 0:
            with suppress(OSError):
                os.close(folder)

    __del__ = _close_files


class _Bucket:
    """A bucket that is open for appending."""

    __slots__ = ("_bytes_left", "_fd", "is_new")

    def __init__(self, folder: int, end: int) -> None:
        flags = _BUCKET_FLAGS | os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(str(end), flags, 0o600, dir_fd=folder)
        status = os.fstat(self._fd)
        if not S_ISREG(status.st_mode) or status.st_nlink > 1:
            self.close()
            raise OSError(f"{end} in .expiring must be a regular file with one link")
        self.is_new = status.st_size == 0
        self._bytes_left = 0

    def append(self, line: bytes) -> None:
        if self._bytes_left <= 0:
            size = os.fstat(self._fd).st_size
            self._bytes_left = min(_RECHECK_BYTES, MAX_BUCKET_BYTES - size)
        if self._bytes_left > 0:
            written = os.write(self._fd, line)
            self._bytes_left -= written
            if written < len(line):
                raise OSError("the end of a line could not be written")

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._fd)


def iter_due(layout: Layout, now: float) -> Iterator[list[str]]:
    """Read the past buckets, and remove each after its last line.

    If a reader stops within a bucket, the next reader begins with this bucket.

    Yields:
        Batches of paths in the directory. The paths are not to be trusted. Their entries may be
        absent or replaced, and a path may occur twice.
    """
    with _open_past_buckets(layout, now) as (folder, buckets):
        for bucket in buckets:
            with suppress(OSError):
                try:
                    file = _open_for_reading(folder, bucket)
                except OSError:
                    remove_foreign(layout.root, f"{layout.expiring}/{bucket}")
                    continue
                with file:
                    yield from _iter_batches(file)
                    os.unlink(bucket, dir_fd=folder)
                    yield from _iter_batches(file)  # written just before the removal


def has_full_bucket(layout: Layout, now: float) -> bool:
    """Return whether a past bucket is full, so that lines may be missing."""
    with _open_past_buckets(layout, now) as (folder, buckets):
        for bucket in buckets:
            with suppress(OSError):
                status = os.stat(bucket, dir_fd=folder, follow_symlinks=False)
                if status.st_size >= MAX_BUCKET_BYTES:
                    return True
    return False


@contextmanager
def _open_past_buckets(layout: Layout, now: float) -> Generator[tuple[int, list[str]], None, None]:
    """Open the folder and list its past buckets; none if the folder is missing or no folder."""
    try:
        folder = os.open(layout.expiring, _FOLDER_FLAGS)
    except OSError:
        yield -1, []
        return
    try:
        names = _list_buckets(folder)
        yield folder, [name for name in names if int(name) + GRACE_SECONDS <= now]
    finally:
        os.close(folder)


def _open_for_reading(folder: int, bucket: str) -> BinaryIO:
    fd = os.open(bucket, os.O_RDONLY | _BUCKET_FLAGS, dir_fd=folder)
    if not S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{bucket} in .expiring must be a regular file")
    return open(fd, "rb")


def _iter_batches(file: BinaryIO) -> Iterator[list[str]]:
    """Yield the lines from the file's position on, except an incomplete one at the end.

    Of a file that is larger than a bucket can be, the rest is ignored.
    """
    for _ in range(2 * MAX_BUCKET_BYTES // _BATCH_BYTES):  # two steps advance by one step's bytes
        chunk = file.read(_BATCH_BYTES)
        lines, _, incomplete = chunk.rpartition(b"\n")
        if len(incomplete) < _BATCH_BYTES:
            file.seek(-len(incomplete), os.SEEK_CUR)
            if incomplete == chunk:
                return
        if names := [os.fsdecode(line) for line in lines.split(b"\n") if line]:
            yield names


def _list_buckets(folder: int) -> list[str]:
    """Return the buckets in an open folder, in the order of their ends."""
    names = [name for name in os.listdir(folder) if name.isdecimal() and name.isascii()]
    return sorted(names, key=int)


def _compute_bucket_end(removable_at: float, now: float) -> int:
    left = int(max(removable_at - now, 0.0))
    span = 1 << max(_MIN_SPAN_BITS, left.bit_length() - 5)
    return (int(removable_at) // span + 1) * span
