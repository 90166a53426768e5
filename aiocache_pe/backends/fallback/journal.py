"""Journal of the changes that the first store misses while it is unavailable.

A journal is kept in memory and in a file of its process, which locks the file (``flock``) as long
as it lives. A journal without a lock belongs to a crashed process. Another process adopts it: at
its start, when the first store returns, or while the store is in use.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from aiocache_pe.runtime.fork import reset_after_fork

_PREFIX = "journal-"
_KEY, _AREA = "k", "a"  # kinds of changes in a file

JournalEntry = tuple[str, str]
"""The kind of a change, and the key or the area that it concerns."""


class JournalBatch(NamedTuple):
    """Some of the changes that are not settled.

    Attributes:
        keys: store keys that were changed.
        areas: key prefixes that were cleared.
        numbers: for each entry, the number of its latest occurrence.
    """

    keys: list[str]
    areas: list[str]
    numbers: Mapping[JournalEntry, int]


class Journal:
    """The changes to settle.

    Args:
        folder: directory of the files of all processes; the first change creates it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[int, str] = {}  # paths of the open and locked files, by descriptor
        self._own_fd: int | None = None
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without changes: the parent settles those that it recorded."""
        self._close_files()
        self._lock = threading.Lock()  # of the state in memory
        self._file_lock = threading.Lock()  # of the files; never acquired in a loop's thread
        self._pending: dict[JournalEntry, int] = {}
        self._last_number = 0

    def has_files(self) -> bool:
        """Return whether there are journals of any process, running or crashed."""
        with suppress(OSError):
            return any(name.startswith(_PREFIX) for name in os.listdir(self._folder))
        return False

    def get_pending(self, limit: int) -> JournalBatch:
        """Return at most ``limit`` changes that are not settled."""
        with self._lock:
            numbers = dict(islice(self._pending.items(), limit))
        return JournalBatch(
            [name for kind, name in numbers if kind == _KEY],
            [name for kind, name in numbers if kind == _AREA],
            numbers,
        )

    def __len__(self) -> int:
        return len(self._pending)

    async def record(self, keys: Iterable[str] = (), areas: Iterable[str] = ()) -> None:
        """Record changes before they are made; the system's cache has them afterwards.

        Args:
            keys: store keys to be changed.
            areas: key prefixes to be cleared.

        Raises:
            OSError: the changes cannot be written to the file.
        """
        entries = _make_entries(keys, areas)
        new_entries = [entry for entry in entries if entry not in self._pending]
        if new_entries:
            await asyncio.to_thread(self._append, new_entries)
        self._add(entries)

    def confirm(self, keys: Iterable[str] = (), areas: Iterable[str] = ()) -> None:
        """Record that changes were made; a settlement before this moment does not count."""
        self._add(_make_entries(keys, areas))

    def mark_settled(self, batch: JournalBatch) -> None:
        """Drop settled changes, except those that were made again since."""
        with self._lock:
            for entry, number in batch.numbers.items():
                if self._pending.get(entry) == number:
                    del self._pending[entry]

    def adopt(self) -> bool:
        """Adopt the journals of crashed processes.

        The lock of a file shows whether its process lives, and decides among several processes
        that try to adopt it.

        Returns:
            Whether a journal was adopted.
        """
        try:
            names = os.listdir(self._folder)
        except OSError:
            return False
        has_adopted = False
        for name in names:
            path = f"{self._folder}/{name}"
            with self._file_lock:
                if name.startswith(_PREFIX) and path not in self._files.values():
                    has_adopted |= self._adopt_file(path)
        return has_adopted

    def finish(self) -> None:
        """Remove the files if all changes are settled."""
        with self._file_lock:
            if self._pending:  # adopted since the last settlement
                return
            for path in self._files.values():
                with suppress(OSError):
                    os.unlink(path)
            self._close_files()

    def close(self) -> None:
        """Release the files; the process that adopts them settles their changes."""
        with self._file_lock:
            self._close_files()
            with self._lock:
                self._pending.clear()

    __del__ = close

    def _close_files(self) -> None:
        self._own_fd = None
        while self._files:
            with suppress(OSError):
                os.close(self._files.popitem()[0])

    def _add(self, entries: Iterable[JournalEntry]) -> None:
        with self._lock:
            for entry in entries:
                self._last_number += 1
                self._pending[entry] = self._last_number

    def _append(self, entries: Iterable[JournalEntry]) -> None:
        # A newline ends the incomplete line that a full disk may have left.
        lines = "".join(f"\n{json.dumps(entry)}\n" for entry in entries)
        with self._file_lock:
            if self._own_fd is None:
                self._own_fd = self._create_file()
            remaining = memoryview(lines.encode("ascii"))
            while remaining:
                remaining = remaining[os.write(self._own_fd, remaining) :]

    def _create_file(self) -> int:
        """Create and lock this process's file, and return its descriptor.

        The file gets its name after its lock. Otherwise another process could adopt it as that of
        a crashed process, and remove it with its changes.
        """
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        temporary_path, path = f"{self._folder}/.{name}", f"{self._folder}/{_PREFIX}{name}"
        fd = os.open(temporary_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
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
            fd = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(fd).st_nlink:  # settled and removed since it was opened
                raise FileNotFoundError(path)
        except OSError:  # its process lives, or another process has adopted it
            os.close(fd)
            return False

        self._files[fd] = path
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError, TypeError):  # incomplete: its change was never made
                    kind, name = json.loads(line)
                    if kind in {_KEY, _AREA} and isinstance(name, str):
                        self._add([(kind, name)])
        return True


def _make_entries(keys: Iterable[str], areas: Iterable[str]) -> list[JournalEntry]:
    return [(_KEY, key) for key in keys] + [(_AREA, area) for area in areas]
