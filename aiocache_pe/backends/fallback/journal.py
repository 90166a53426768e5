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
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from aiocache_pe.forks import renewed_at_fork

_PREFIX = "journal-"


class Touched(NamedTuple):
    """Keys that were changed, and areas that were cleared."""

    keys: list[str]
    areas: list[str]


class Journal:
    """The changes to settle.

    Args:
        folder: where the files of all processes are; made by the first change.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.after_fork()
        renewed_at_fork(self)

    def after_fork(self) -> None:
        """Begin anew: what the parent noted, the parent settles."""
        for fd in getattr(self, "_files", {}):
            with suppress(OSError):
                os.close(fd)
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, str], None] = {}
        self._files: dict[int, str] = {}  # open and locked
        self._own: int | None = None

    def has_others(self) -> bool:
        """Whether there are files, of the living or the dead."""
        with suppress(OSError):
            return any(name.startswith(_PREFIX) for name in os.listdir(self._folder))
        return False

    def pending(self, most: int) -> Touched:
        """Up to so many of the changes that are not settled."""
        with self._lock:
            some = list(self._pending)[:most]
        return Touched(
            [n for kind, n in some if kind == "k"], [n for kind, n in some if kind == "a"]
        )

    def __len__(self) -> int:
        return len(self._pending)

    async def note(self, keys: Iterable[str] = (), areas: Iterable[str] = ()) -> None:
        """Note changes before they are made; they are on their way to the disk's cache then.

        Raises:
            OSError: they cannot be written down.
        """
        entries = [("k", key) for key in keys] + [("a", area) for area in areas]
        with self._lock:
            fresh = [entry for entry in entries if entry not in self._pending]
            self._pending.update(dict.fromkeys(fresh))
        if fresh:
            await asyncio.to_thread(self._append, fresh)

    def settled(self, touched: Touched) -> None:
        """Forget changes that the first store knows of."""
        with self._lock:
            for kind, names in zip("ka", touched, strict=True):
                for name in names:
                    self._pending.pop((kind, name), None)

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
            with self._lock:
                if name.startswith(_PREFIX) and path not in self._files.values():
                    adopted |= self._adopt(path)
        return adopted

    def finish(self) -> None:
        """Remove the files, if everything is settled."""
        with self._lock:
            if self._pending:  # adopted just now
                return
            files, self._files, self._own = self._files, {}, None
            for fd, path in files.items():
                with suppress(OSError):
                    os.unlink(path)
                os.close(fd)

    def _append(self, entries: Iterable[tuple[str, str]]) -> None:
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        with self._lock:
            if self._own is None:
                self._own = self._begin()
            os.write(self._own, lines.encode("ascii"))

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
                        self._pending[kind, name] = None
        return True
