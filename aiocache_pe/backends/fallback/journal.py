"""What was changed while the first store was away, so that it can be told when it is back.

It is kept in memory and in a file of this process, locked by it (``flock``) for as long
as it lives. A journal that nobody locks is a dead process's; who finds it adopts it, at the
start, when the first store is back, or while it is in use.
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


class JournalEntry(NamedTuple):
    """Keys that were changed, and areas that were cleared.

    Attributes:
        keys: the keys.
        areas: the areas.
        marks: by kind and name, which of its changes was the last.
    """

    keys: list[str]
    areas: list[str]
    marks: Mapping[tuple[str, str], int]


class Journal:
    """The changes to settle.

    Args:
        folder: where the files of all processes are; made by the first change.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew: what the parent noted, the parent settles."""
        for fd in getattr(self, "_files", {}):
            with suppress(OSError):
                os.close(fd)
        self._lock = threading.Lock()  # of what is in memory
        self._disk = threading.Lock()  # of the files; never taken in a loop's thread
        self._pending: dict[tuple[str, str], int] = {}
        self._count = 0
        self._files: dict[int, str] = {}  # open and locked
        self._own: int | None = None

    def has_other_journals(self) -> bool:
        """Whether there are files, of the living or the dead."""
        with suppress(OSError):
            return any(name.startswith(_PREFIX) for name in os.listdir(self._folder))
        return False

    def pending(self, most: int) -> JournalEntry:
        """Up to so many of the changes that are not settled."""
        with self._lock:
            some = dict(islice(self._pending.items(), most))
        return JournalEntry(
            [name for kind, name in some if kind == "k"],
            [name for kind, name in some if kind == "a"],
            some,
        )

    def __len__(self) -> int:
        return len(self._pending)

    async def note(self, keys: Iterable[str] = (), areas: Iterable[str] = ()) -> None:
        """Note changes before they are made; they are on their way to the disk's cache then.

        Raises:
            OSError: they cannot be written down.
        """
        entries = _entries(keys, areas)
        fresh = [entry for entry in entries if entry not in self._pending]
        if fresh:
            await asyncio.to_thread(self._append, fresh)
        self._mark(entries)

    def open(self, keys: Iterable[str] = (), areas: Iterable[str] = ()) -> None:
        """Say that the changes are made: if they were settled before that, it was too early."""
        self._mark(_entries(keys, areas))

    def mark_settled(self, touched: JournalEntry) -> None:
        """Forget changes that the first store knows of, but those that were made since."""
        with self._lock:
            for entry, mark in touched.marks.items():
                if self._pending.get(entry) == mark:
                    del self._pending[entry]

    def adopt(self) -> bool:
        """Take over what dead processes noted; whether there was any such journal.

        The lock says who is dead, and who of several takes it over.
        """
        try:
            names = os.listdir(self._folder)
        except OSError:
            return False
        adopted = False
        for name in names:
            path = f"{self._folder}/{name}"
            with self._disk:
                if name.startswith(_PREFIX) and path not in self._files.values():
                    adopted |= self._adopt(path)
        return adopted

    def finish(self) -> None:
        """Remove the files, if everything is settled."""
        with self._disk:
            if self._pending:  # adopted just now
                return
            files, self._files, self._own = self._files, {}, None
            for fd, path in files.items():
                with suppress(OSError):
                    os.unlink(path)
                os.close(fd)

    def close(self) -> None:
        """Leave what is not settled to whoever adopts the files."""
        with self._disk:
            files, self._files, self._own = self._files, {}, None
            for fd in files:
                with suppress(OSError):
                    os.close(fd)
            with self._lock:
                self._pending.clear()

    __del__ = close

    def _mark(self, entries: Iterable[tuple[str, str]]) -> None:
        with self._lock:
            for entry in entries:
                self._count += 1
                self._pending[entry] = self._count

    def _append(self, entries: Iterable[tuple[str, str]]) -> None:
        # A line ends what a full disk may have left of another.
        lines = "".join(f"\n{json.dumps(entry)}\n" for entry in entries)
        with self._disk:
            if self._own is None:
                self._own = self._begin()
            left = memoryview(lines.encode("ascii"))
            while left:
                left = left[os.write(self._own, left) :]

    def _begin(self) -> int:
        """A file of this process's own; it has its name only when it is locked.

        Else it could be taken for a dead one's, and be removed with what is noted in it.
        """
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        draft, path = f"{self._folder}/.{name}", f"{self._folder}/{_PREFIX}{name}"
        fd = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.rename(draft, path)
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                os.unlink(draft)
            raise
        self._files[fd] = path
        return fd

    def _adopt(self, path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(fd).st_nlink:  # settled, and removed, since it was opened
                raise FileNotFoundError(path)
        except OSError:  # or its process lives, or another has adopted it
            os.close(fd)
            return False
        self._files[fd] = path
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError, TypeError):  # half a line: its change was never made
                    kind, name = json.loads(line)
                    if kind in {"k", "a"} and isinstance(name, str):
                        self._mark([(kind, name)])
        return True


def _entries(keys: Iterable[str], areas: Iterable[str]) -> list[tuple[str, str]]:
    return [("k", key) for key in keys] + [("a", area) for area in areas]
