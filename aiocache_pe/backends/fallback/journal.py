"""Journal of the changes that the first store misses while it is unavailable.

A journal is kept in memory and in files of its process, which locks them (``flock``) as long as it
lives. A journal without a lock belongs to a crashed process. Another process adopts it: at its
start, when the first store returns, or while the store is in use.

Each line of a file has a checksum. A line that cannot be read names an unknown change, and so does
anything else with the name of a journal: a link, a pipe, a folder. An unknown change counts as a
clear of everything, because an outdated value is worse than a miss.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from aiocache_pe.backends.private_files import make_private_folder
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.short_locks import get_free
from aiocache_pe.runtime.threads import ThreadPool

logger = logging.getLogger("aiocache_pe")
T = TypeVar("T")

_PREFIX = "journal-"
_FLAGS = os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FILE_BYTES = 4 * 1024 * 1024  # of a file, after which the process begins another one
_MAX_BYTES = 2 * _FILE_BYTES  # of a file that is read
_WRITE_LINES = 1000  # in one write, a line has up to 400 kB
_TRANSIENT_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)


class Pattern(NamedTuple):
    """The keys of an invalidation.

    Attributes:
        prefix: the beginning of all keys: an area with its colon, or empty for all areas.
        glob: pattern of the rest of the keys; ``None`` for all keys.
    """

    prefix: str
    glob: str | None


EVERYTHING = Pattern("", None)
"""The pattern of an unknown change."""

JournalEntry = str | Pattern
"""The key or the pattern that a change concerns."""


class Change(NamedTuple):
    """A change that is not settled.

    Attributes:
        number: orders the changes of this process.
        time: the latest time of the change, in seconds since the epoch.
        since: the beginning of the outage, in seconds since the epoch.
        is_whole: whether the second store's value depends on no value that only the first store
            has, as the sum of a counter does; for a tag, whether it was deleted. An update of a
            tag only gives it a token.
    """

    number: int
    time: float
    since: float
    is_whole: bool


class Journal:
    """The changes to settle.

    Args:
        folder: directory of the files of all processes; the first change creates it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(folder)
        self._files: dict[int, str] = {}  # paths of the open and locked files, by descriptor
        self._own_fd: int | None = None
        self._own_size = 0
        self._keys: dict[str, Change] = {}
        self._patterns: dict[Pattern, Change] = {}
        self._last_number = 0
        self._pool: ThreadPool | None = None
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without files, which the parent settles.

        The child settles the parent's changes, too: it may use the first store before the parent
        does. A repeated settlement removes no newer value.
        """
        self._close_files()
        self._lock = threading.Lock()  # of the state in memory
        self._file_lock = threading.Lock()  # of the files; never acquired in a loop's thread

    def __len__(self) -> int:
        return len(self._keys) + len(self._patterns)

    def has_files(self) -> bool:
        """Return whether there are journals of any process, running or crashed."""
        return bool(self._list_names())

    def has_changed_since(self, key: str, time: float) -> bool:
        """Return whether a key has a change of its own after a time, which is not settled."""
        change = self._keys.get(key)
        return change is not None and change.time > time

    def get_keys(self, limit: int) -> dict[str, Change]:
        """Return at most ``limit`` keys with changes that are not settled, tags last."""
        with get_free(self._lock):
            items = self._keys.items()
            entries = (item for item in items if not is_tag(item[0]))
            return dict(islice(chain(entries, (item for item in items if is_tag(item[0]))), limit))

    def get_key(self, key: str) -> Change | None:
        """Return the change of a key that is not settled, if there is one."""
        with get_free(self._lock):
            return self._keys.get(key)

    def get_patterns(self) -> dict[Pattern, Change]:
        """Return the patterns that are not settled."""
        with get_free(self._lock):
            return dict(self._patterns)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Run a blocking method in the journal's own thread."""
        with get_free(self._lock):
            if self._pool is None:
                self._pool = ThreadPool(1, "aiocache_pe-journal")
            pool = self._pool
        return await pool.submit(work, *args)

    async def record(
        self,
        time: float,
        since: float,
        keys: Sequence[str] = (),
        patterns: Sequence[Pattern] = (),
        *,
        is_whole: bool = True,
    ) -> None:
        """Record changes before they are made; the system's cache has them afterwards.

        Args:
            time: the present time, in seconds since the epoch.
            since: the beginning of the outage, in seconds since the epoch.
            keys: store keys to be changed.
            patterns: patterns of keys to be removed.
            is_whole: see `Change`.

        Raises:
            OSError: the changes cannot be written to the file.
        """
        change = Change(0, time, since, is_whole)
        new: list[JournalEntry] = [
            key
            for key in keys
            if (known := self._keys.get(key)) is None
            or known.is_whole is not _is_whole(key, known.is_whole, is_whole)
        ]
        new += patterns
        if new:
            await self.run(self._append, [_make_line(entry, change) for entry in new])
        self._add([*keys, *patterns], change)

    def confirm(self, time: float, since: float, keys: Iterable[str]) -> None:
        """Record that keys were changed; a settlement before this moment does not count."""
        self._add([key for key in keys if not is_tag(key)], Change(0, time, since, is_whole=True))
        with get_free(self._lock):
            known = {key: self._keys.get(key) for key in keys if is_tag(key)}
        for key, change in known.items():
            is_whole = change is None or change.is_whole
            self._add([key], Change(0, time, since, is_whole))

    def mark_settled(self, settled: Iterable[tuple[JournalEntry, Change]]) -> None:
        """Drop settled changes, except those that were made again since."""
        with get_free(self._lock):
            for entry, change in settled:
                pending: dict[Any, Change] = self._get_pending(entry)
                present = pending.get(entry)
                if present is not None and present.number == change.number:
                    del pending[entry]

    def adopt(self) -> bool:
        """Adopt the journals of crashed processes, and return whether there was one.

        The lock of a file shows whether its process lives, and decides among several processes
        that try to adopt it.

        Raises:
            OSError: it cannot be decided whether there is one.
        """
        has_adopted = False
        for name in self._list_names():
            path = f"{self._folder}/{name}"
            with self._file_lock:
                if path not in self._files.values():
                    has_adopted |= self._adopt_file(path)
        return has_adopted

    def finish(self) -> None:
        """Remove the files if all changes are settled."""
        with self._file_lock:
            if not len(self):  # otherwise one was adopted since the last settlement
                self._remove_files()

    def compact(self) -> None:
        """Write the changes that are not settled to a new file, and remove the others.

        Raises:
            OSError: the file cannot be written.
        """
        with self._file_lock:
            previous, self._files, self._own_fd = self._files, {}, None
            pending: list[tuple[JournalEntry, Change]] = []
            try:
                with get_free(self._lock):
                    pending += self._keys.items()
                    pending += self._patterns.items()
                self._write_lines([_make_line(*item) for item in pending])
            finally:
                created, self._files = self._files, previous
                if created or not pending:
                    self._remove_files()
                self._files |= created

    def close(self) -> None:
        """Release the files; the process that adopts them settles their changes."""
        with self._file_lock:
            self._close_files()
            with get_free(self._lock):
                self._keys.clear()
                self._patterns.clear()
                pool, self._pool = self._pool, None
        if pool is not None:
            pool.end()

    def __del__(self) -> None:
        self._close_files()

    def _get_pending(self, entry: JournalEntry) -> dict[Any, Change]:
        return self._keys if isinstance(entry, str) else self._patterns

    def _remove_files(self) -> None:
        for path in self._files.values():
            with suppress(OSError):
                os.unlink(path)
        self._close_files()

    def _close_files(self) -> None:
        self._own_fd = None
        while self._files:
            with suppress(OSError):
                os.close(self._files.popitem()[0])

    def _list_names(self) -> list[str]:
        """Return the names of all journals; a folder that is a link or a file has none."""
        with suppress(OSError):
            if S_ISDIR(os.lstat(self._folder).st_mode):
                return [name for name in os.listdir(self._folder) if name.startswith(_PREFIX)]
        return []

    def _add(self, entries: Iterable[JournalEntry], change: Change) -> None:
        with get_free(self._lock):
            for entry in entries:
                self._last_number += 1
                pending = self._get_pending(entry)
                known = pending.get(entry, change)
                pending[entry] = Change(
                    self._last_number,
                    max(change.time, known.time),
                    min(change.since, known.since),
                    _is_whole(entry, change.is_whole, known.is_whole),
                )

    def _append(self, lines: Sequence[str]) -> None:
        with self._file_lock:
            self._write_lines(lines)

    def _write_lines(self, lines: Sequence[str]) -> None:
        for start in range(0, len(lines), _WRITE_LINES):
            data = "".join(lines[start : start + _WRITE_LINES]).encode("ascii")
            fd = self._own_fd
            if fd is None or self._own_size > _FILE_BYTES:
                fd = self._create_file(data)
            else:
                _write_all(fd, data, self._own_size)
            self._own_fd = fd
            self._own_size = os.fstat(fd).st_size

    def _create_file(self, data: bytes) -> int:
        """Create, fill and lock a file of this process, and return its descriptor.

        The file gets its name after its lock. Otherwise another process could adopt it as that of
        a crashed process, and remove it with its changes. It is never empty under its name.
        """
        make_private_folder(self._folder)
        if not S_ISDIR(os.lstat(self._folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "the folder must be no link", self._folder)
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        temporary_path, path = f"{self._folder}/.{name}", f"{self._folder}/{_PREFIX}{name}"
        fd = os.open(temporary_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _write_all(fd, data, 0)
            os.rename(temporary_path, path)
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                os.unlink(temporary_path)
            raise
        self._files[fd] = path
        return fd

    def _adopt_file(self, path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | _FLAGS)
        except FileNotFoundError:  # settled and removed meanwhile
            return False
        except OSError as error:
            if error.errno in _TRANSIENT_ERRORS:
                raise
            return self._replace_damaged(path)
        status = os.fstat(fd)
        if not S_ISREG(status.st_mode):
            os.close(fd)
            return self._replace_damaged(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(fd).st_nlink:  # settled and removed since it was opened
                raise FileNotFoundError(path)
        except OSError:  # its process lives, or another process has adopted it
            os.close(fd)
            return False

        self._files[fd] = path
        changes = _read_changes(fd)
        if changes is None:
            self._note_everything(path)
            return True
        for entry, change in changes:
            self._add([entry], change)
        return True

    def _replace_damaged(self, path: str) -> bool:
        """Replace something that is no readable file by a journal of an unknown change."""
        self._write_lines([_make_line(EVERYTHING, _UNKNOWN)])
        aside = f"{self._folder}/.damaged-{os.urandom(4).hex()}"
        with suppress(FileNotFoundError):  # another process was first
            os.rename(path, aside)
        with suppress(OSError):
            os.rmdir(aside) if os.path.isdir(aside) else os.unlink(aside)
        self._note_everything(path)
        return True

    def _note_everything(self, path: str) -> None:
        logger.warning("%s is damaged, so all entries of the stores are removed", path)
        self._add([EVERYTHING], _UNKNOWN)


def is_tag(key: str) -> bool:
    """Return whether a store key belongs to a tag."""
    return key.partition(":")[0].endswith("+tags")


def _is_whole(entry: JournalEntry, first: bool, second: bool) -> bool:  # noqa: FBT001 - two of a kind
    """Return `Change.is_whole` of two changes together."""
    if isinstance(entry, str) and is_tag(entry):
        return first or second
    return first and second


_LATEST = float(1 << 52)  # a time after that of each entry
_UNKNOWN = Change(0, _LATEST, _LATEST, is_whole=False)


def _make_line(entry: JournalEntry, change: Change) -> str:
    text = json.dumps([entry, change.time, change.since, change.is_whole])
    return f"{crc32(text.encode()):08x} {text}\n"


def _write_all(fd: int, data: bytes, size: int) -> None:
    """Append data to a file of a size; a full disk leaves no part of it."""
    remaining = memoryview(data)
    try:
        while remaining:
            remaining = remaining[os.write(fd, remaining) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def _read_changes(fd: int) -> list[tuple[JournalEntry, Change]] | None:
    """Return the changes in a file; ``None`` if one of them cannot be read."""
    if not 0 < os.fstat(fd).st_size <= _MAX_BYTES:
        return None
    try:
        *lines, rest = os.pread(fd, _MAX_BYTES, 0).split(b"\n")
        return None if rest else [_parse_line(line) for line in lines]
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _parse_line(line: bytes) -> tuple[JournalEntry, Change]:
    checksum, _, text = line.partition(b" ")
    if int(checksum, 16) != crc32(text):
        raise ValueError("the checksum is wrong")
    entry, time, since, is_whole = json.loads(text)
    if not (math.isfinite(time) and math.isfinite(since)):
        raise ValueError("a time is no number")
    if isinstance(entry, str):  # its later changes are not in the file
        return entry, Change(0, _LATEST, since, is_whole is True)
    prefix, glob = entry
    if not isinstance(prefix, str) or not (glob is None or isinstance(glob, str)):
        raise TypeError("a pattern must consist of texts")
    return Pattern(prefix, glob), Change(0, time, since, is_whole=True)
