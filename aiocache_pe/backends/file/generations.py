"""Generations of the file store: they show whether a change came after a computation began.

The file ``.generations`` begins with 65,536 tokens of eight bytes. A key has the token of its
digest, which it shares with other keys. A change of a key writes a new random token after the
entry's file has changed, and both happen under the entry's lock. A computation takes the token
before it reads the entry, and compares it under the lock before it stores its result. Two keys with
the same token cost a result that is not stored, and nothing worse.

Behind the tokens is the list of invalidations by pattern, a line each. A computation takes the
length of the file, and matches its key against the lines that were added since. A file that has
become long is removed, and the next user creates another one. Generations of a removed file count
as raised. A process that is killed between two steps can only raise generations in vain.

A full disk may refuse a token. Then the file is removed, because a removal needs no room.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from stat import S_ISREG
from typing import NamedTuple

from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.sentinels import PENDING, Pending

_TOKEN_BYTES = 8
_TABLE_BYTES = 65_536 * _TOKEN_BYTES
_MAX_BYTES = _TABLE_BYTES + 8 * 1024 * 1024  # a quarter of a million invalidations
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_APPEND_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


class _OpenFile:
    """An open description of the file; generations of another description count as raised."""

    __slots__ = ("fd",)

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, _FLAGS, 0o600)

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):  # it was never opened
            os.close(self.fd)


class FileGeneration(NamedTuple):
    """The generation of a key.

    Attributes:
        file: the file that it was taken from; ``None`` if no file could be opened, so that the
            generation counts as raised.
        token: the key's token.
        length: length of the file in bytes.
    """

    file: _OpenFile | None
    token: bytes
    length: int


class FileGenerations:
    """The generations of one directory.

    Args:
        layout: the directory.
    """

    def __init__(self, layout: Layout) -> None:
        self._path = layout.generations
        self._root = layout.root
        self._make_root: Callable[[], None] = layout.make_root
        self._file: _OpenFile | None = None
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Create a free lock: a thread of the parent may have held the previous one."""
        self._open_lock = threading.Lock()

    def peek(self, slot: int) -> FileGeneration | Pending:
        """Return the present generation if the kernel holds it in memory; see `Layout.locate`."""
        file = self._file
        if file is None or _NOWAIT is None:
            return PENDING
        try:
            status = os.fstat(file.fd)
            if not status.st_nlink:
                return PENDING
            token = bytearray(_TOKEN_BYTES)
            read = os.preadv(file.fd, [token], _get_offset(slot), _NOWAIT)
        except OSError:  # not in memory, or a file system that cannot tell
            return PENDING
        return FileGeneration(file, bytes(token[:read]), status.st_size)

    def read(self, slot: int) -> FileGeneration:
        """Return the present generation, and open the file if necessary; see `peek`."""
        try:
            file, length = self._open()
            return FileGeneration(file, os.pread(file.fd, _TOKEN_BYTES, _get_offset(slot)), length)
        except OSError:  # in a directory that cannot be written, or on a full disk
            return FileGeneration(None, b"", 0)

    def has_raised(self, key: str, slot: int, generation: FileGeneration) -> bool:
        """Return whether a generation was raised; the caller holds the entry's lock."""
        present = self.read(slot)
        file = present.file
        if file is None or file is not generation.file or present.token != generation.token:
            return True
        if present.length == generation.length:
            return False
        added = os.pread(file.fd, present.length - generation.length, generation.length)
        return any(_matches(line, key) for line in added.split(b"\n")[:-1]) or added[-1:] != b"\n"

    def raise_slot(self, slot: int) -> None:
        """Raise the generations of a changed key; the caller holds the entry's lock."""
        self._write(lambda file: os.pwrite(file.fd, os.urandom(8), _get_offset(slot)))

    def raise_matching(self, prefix: str, pattern: str) -> None:
        """Raise the generations of all keys that match a pattern; see `Backend.scan`."""
        line = json.dumps([prefix, pattern]).encode() + b"\n"
        self._write(lambda _: self._append(line))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file = None

    def _append(self, line: bytes) -> int:
        fd = os.open(self._path, _APPEND_FLAGS)
        try:
            return os.write(fd, line)
        finally:
            os.close(fd)

    def _write(self, write: Callable[[_OpenFile], int]) -> None:
        with suppress(OSError):
            file, length = self._open()
            while write(file) and length <= _MAX_BYTES:
                # Another process may have removed the file since it was opened.
                if self._file is file and os.fstat(file.fd).st_nlink:
                    return
                file, length = self._open()
        self._remove()

    def _open(self) -> tuple[_OpenFile, int]:
        """Return the open file and its length."""
        file = self._file
        if file is None or not os.fstat(file.fd).st_nlink:
            with self._open_lock:  # all threads use one description
                file = self._file
                if file is None or not os.fstat(file.fd).st_nlink:
                    file = self._file = self._create()
        return file, os.fstat(file.fd).st_size

    def _create(self) -> _OpenFile:
        """Open the file, which is created if it is missing or no regular file."""
        file = None
        try:
            file = _OpenFile(self._path)
        except FileNotFoundError:
            self._make_root()
        except OSError:  # a directory, a link, or a file of another user
            pass
        if file is None or not S_ISREG(os.fstat(file.fd).st_mode):
            self._remove()
            file = _OpenFile(self._path)
        if os.fstat(file.fd).st_size < _TABLE_BYTES:
            # No truncation, which could cut a line that another process has just added.
            os.pwrite(file.fd, b"\0", _TABLE_BYTES - 1)
        return file

    def _remove(self) -> None:
        """Remove the file, which raises all generations.

        Raises:
            OSError: it cannot be removed.
        """
        self._file = None
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError:  # a directory
            os.rename(self._path, f"{self._root}/.trash-{os.getpid()}-{time.time_ns()}")


def _get_offset(slot: int) -> int:
    return slot * _TOKEN_BYTES % _TABLE_BYTES


def _matches(line: bytes, key: str) -> bool:
    """Return whether a key matches a line of invalidation; a damaged line matches every key."""
    try:
        prefix, pattern = json.loads(line)
        matches = compile_glob(pattern)
        return key.startswith(prefix) and (matches is None or bool(matches(key[len(prefix) :])))
    except (ValueError, TypeError):
        return True
