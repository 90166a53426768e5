"""What ends when, so that nobody has to look at everything to find what is over.

A timing wheel (G. Varghese and T. Lauck, "Hashed and hierarchical timing wheels", SOSP
1987) of files. A bucket, a file in ``.expiring``, is a span of time, named by its end in
seconds since the epoch, and has a line for each entry that ends in it: the entry's path in
the directory. The further away, the longer are the spans, up to a sixteenth of what is
left, and nothing moves to a finer one when it draws near, as in the timers of Linux since
4.8: what is over is served to nobody, so it may stay for a sixteenth longer.

A line is written before its entry is, by one call that appends: a line without an entry is
harmless, an entry without a line would stay until everything is looked at. For the same
reason no line is taken out: what is removed, replaced or made to last leaves its own, and
who comes to it looks at the entry. One that ends later than its line says is noted again
then. So what is replaced again and again needs no new line as long as it has one, which a
table of fixed size tells of what this process wrote lately.

A line that was cut off, by a full disk or the end of its writer, spoils none but itself:
each begins with a newline as well as ending in one.

The buckets of the wheel whose time is past: what has to be looked at, and no more.
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
from aiocache_pe.runtime.fork import reset_after_fork

LARGEST = 64 * 1024 * 1024
"""Bytes, a million lines. A bucket is not written beyond: to look at everything when its time
has come takes no longer, and what is replaced all the time cannot fill a disk with lines."""
MOST = 1024
"""Buckets. There are 450 at most whose time is to come; where nobody makes rounds, those whose
time is past would pile up, so the oldest go and everything is looked at in the next round."""
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
OPEN_BUCKET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # the last for whoever plants a pipe

_LEAST_BITS = 6  # of the shortest span, 64 seconds; all ends are multiples of it
_NEVER = 1 << 37  # seconds; the year 6325
_MOST_OPEN = 8  # buckets
_AT_ONCE = 1024 * 1024  # bytes to write before looking what others have written
_KNOWN = 1 << 15  # entries in the table: 32 bits of digest, 32 bits for the end of its bucket
_END = (1 << 32) - 1


class ExpiryIndex:
    """The wheel of one directory, as it is written.

    Args:
        layout: the directory.
    """

    __slots__ = ("__weakref__", "_buckets", "_folder", "_known", "_layout", "_one", "_start")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._start = len(layout.root) + 1
        self._folder = -1
        self._buckets: dict[int, _Bucket] = {}
        self._known = array("Q")
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew: a thread of the parent may have been at it."""
        self._one = threading.Lock()
        self._drop()

    def note(self, place: EntryPath, gone_at: float, now: float) -> None:
        """See to it that an entry is looked at when its time is over.

        If that cannot be written down, it is found when everything is looked at.

        Args:
            place: the entry's, whose lock is held.
            gone_at: when nobody may be served it any more, seconds since the epoch.
            now: seconds since the epoch.
        """
        if not 0 <= gone_at < _NEVER:
            return
        end, at = _end_of_bucket(gone_at, now), place.slot % _KNOWN
        with suppress(OSError), self._one:
            self._look()
            known = self._known[at]
            if known >> 32 != place.slot or not now < (known & _END) << _LEAST_BITS <= end:
                self._append(end, os.fsencode(place.path[self._start :]))
                self._known[at] = place.slot << 32 | end >> _LEAST_BITS

    def close(self) -> None:
        """Give back the files; they are opened again when they are needed."""
        with self._one:
            self._drop()

    def __del__(self) -> None:
        self._drop()

    def _look(self) -> None:
        """Open the folder, and anew if the directory was removed."""
        if self._folder >= 0:
            with suppress(OSError):
                if os.fstat(self._folder).st_nlink:
                    return
            self._drop()
        with suppress(FileExistsError):
            os.mkdir(self._layout.expiring, 0o700)
        self._folder = os.open(self._layout.expiring, OPEN_FOLDER)
        self._known = array("Q", bytes(8 * _KNOWN))

    def _append(self, end: int, path: bytes) -> None:
        bucket = self._buckets.pop(end, None) or self._opened(end)
        self._buckets[end] = bucket
        bucket.append(b"\n%b\n" % path)

    def _opened(self, end: int) -> _Bucket:
        bucket = _Bucket(self._folder, end)
        if len(self._buckets) == _MOST_OPEN:  # the first is that which was not used for longest
            self._buckets.pop(next(iter(self._buckets))).close()
        if bucket.is_new:
            self._forget()
        return bucket

    def _forget(self) -> None:
        """Remove the oldest buckets if there are too many."""
        ends: dict[str, int] = {}
        with suppress(OSError):
            ends = iter_bucket_ends(self._folder)
        surplus = sorted(ends, key=ends.__getitem__)[:-MOST]
        if surplus:
            with suppress(OSError):
                os.unlink(self._layout.walked)
        for bucket in surplus:
            with suppress(OSError):
                os.unlink(bucket, dir_fd=self._folder)

    def _drop(self) -> None:
        while self._buckets:
            self._buckets.popitem()[1].close()
        folder, self._folder = self._folder, -1
        if folder >= 0:
            with suppress(OSError):
                os.close(folder)


class _Bucket:
    """A bucket that is open to be written."""

    __slots__ = ("_fd", "_left", "is_new")

    def __init__(self, folder: int, end: int) -> None:
        flags = OPEN_BUCKET | os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(str(end), flags, 0o600, dir_fd=folder)
        status = os.fstat(self._fd)
        if not S_ISREG(status.st_mode) or status.st_nlink > 1:
            self.close()
            raise OSError(f"{end} in .expiring is not a file of the cache's own")
        self.is_new = status.st_size == 0
        self._left = 0

    def append(self, line: bytes) -> None:
        if self._left <= 0:
            self._left = min(_AT_ONCE, LARGEST - os.fstat(self._fd).st_size)
        if self._left > 0:
            written = os.write(self._fd, line)
            self._left -= written
            if written < len(line):
                raise OSError("no room for the end of a line")

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._fd)


def iter_bucket_ends(folder: int) -> dict[str, int]:
    """The buckets in a folder that is open, and when they end, in seconds since the epoch."""
    names = os.listdir(folder)
    return {name: int(name) for name in names if name.isdecimal() and name.isascii()}


def _end_of_bucket(gone_at: float, now: float) -> int:
    left = int(max(gone_at - now, 0.0))
    span = 1 << max(_LEAST_BITS, left.bit_length() - 5)
    return (int(gone_at) // span + 1) * span


GRACE = 64
"""Seconds from the end of a bucket to its turn, for clocks that differ and writers that halt."""
_STEP = 2048  # bytes, of some 64 entries as in a step of a walk; the longest line has 300


def iter_due(layout: Layout, now: float) -> Iterator[list[str]]:
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


def is_too_large(layout: Layout, now: float) -> bool:
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
    ends = {} if folder is None else iter_bucket_ends(folder)
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
