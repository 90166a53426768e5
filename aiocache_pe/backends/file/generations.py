"""Generations of the file store: they show whether a change came after a computation began.

The file ``.generations`` begins with 65,536 random tokens of eight bytes. A key has the token of
its digest, which it shares with other keys. A change of a key writes a new random token after the
entry's file has changed, and both happen under the entry's lock. A computation takes the token
before it reads the entry, and compares it under the lock before it stores its result. Two keys with
the same token cost a result that is not stored, and nothing worse.

Behind the tokens is the list of invalidations by pattern, a line each. A computation takes the
length of the file, and matches its key against the lines that were added since. A file that has
become long is removed, and the next user creates another one. Generations of a removed file count
as raised. A process that is killed between two steps can only raise generations in vain.

The lease of a key has a name that contains the token and the position of the last line that matches
the key. So a change of any kind frees it. Each process keeps the latest lines for that.

A full disk may refuse a token. Then the file is removed, because a removal needs no room.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from stat import S_ISREG
from typing import NamedTuple

from aiocache_pe.backends.file.layout import Layout
from aiocache_pe.backends.file.regular_files import NotRegularError, make_unique_name
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.sentinels import PENDING, Pending, Sentinel

_TOKEN_BYTES = 8
_TABLE_BYTES = 65_536 * _TOKEN_BYTES
_MAX_BYTES = _TABLE_BYTES + 8 * 1024 * 1024  # a quarter of a million invalidations
_MAX_LINES = 256  # different ones that each lease is compared with
_MAX_ADDED_BYTES = 1024 * 1024  # lines that are read at once
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_APPEND_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


class _OpenFile:
    """An open description of the file; generations of another description count as raised.

    Attributes:
        lines: the latest invalidations, each once, with the position of its end.
        length: length of the file, in bytes, up to which they were read.
    """

    __slots__ = ("fd", "length", "lines")

    def __init__(self, path: str) -> None:
        self.length = _TABLE_BYTES
        self.lines = OrderedDict[bytes, int]()
        self.fd = os.open(path, _FLAGS)

    def read_lines(self, length: int) -> None:
        """Read the complete lines up to a length, the latest of many; one thread at a time."""
        if length < self.length:  # another program has cut the file
            self.lines.clear()
            self.length = _TABLE_BYTES
        position = max(self.length, length - _MAX_ADDED_BYTES)
        added = os.pread(self.fd, max(length - position, 0), position)
        for line in added.split(b"\n")[:-1]:
            position += len(line) + 1
            self.lines[line] = position
            self.lines.move_to_end(line)
            if len(self.lines) > _MAX_LINES:
                self.lines.popitem(last=False)
        self.length = position

    def find_last_match(self, key: str) -> int:
        """Return the position of the last invalidation of a key; 0 for none."""
        lines = reversed([*self.lines.items()])
        return next((position for line, position in lines if _matches(line, key)), 0)

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

    def peek_changes(self, key: str, slot: int) -> bytes | Pending:
        """Return what `read_changes` returns, if it is in memory."""
        generation = self.peek(slot)
        if isinstance(generation, Sentinel):
            return PENDING
        file = generation.file
        if file is None or file.length != generation.length:
            return PENDING
        return _identify_changes(key, file, generation)

    def read_changes(self, key: str, slot: int) -> bytes:
        """Return at most 16 bytes that identify the last change and invalidation of a key."""
        generation = self.read(slot)
        file = generation.file
        if file is None:
            return b""
        with suppress(OSError), self._open_lock:
            file.read_lines(generation.length)
        return _identify_changes(key, file, generation)

    def has_raised(self, key: str, slot: int, generation: FileGeneration) -> bool:
        """Return whether a generation was raised; the caller holds the entry's lock."""
        present = self.read(slot)
        file = present.file
        if file is None or file is not generation.file or present.token != generation.token:
            return True
        if not any(present.token):  # another program has written zeros
            self.raise_slot(slot)
            return True
        grown = present.length - generation.length
        if not 0 < grown <= _MAX_ADDED_BYTES:  # many lines, or another program has cut the file
            return grown != 0
        added = os.pread(file.fd, grown, generation.length)
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
        """Open the file, and create it if it is missing or damaged."""
        try:
            return self._open_whole()
        except FileNotFoundError:
            self._make_root()
        except OSError:  # a directory, a link, a file of another user, or a short file
            self._remove()
        self._publish_new()
        return self._open_whole()

    def _open_whole(self) -> _OpenFile:
        file = _OpenFile(self._path)
        status = os.fstat(file.fd)
        if not S_ISREG(status.st_mode) or status.st_size < _TABLE_BYTES:
            raise NotRegularError(self._path, status)
        return file

    def _publish_new(self) -> None:
        """Create the file with random tokens, unless another process has created it.

        No other process sees a part of it. A token of zeros shows that the file was damaged.
        """
        draft = f"{self._root}/.trash-{make_unique_name()}"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, os.urandom(_TABLE_BYTES)) == _TABLE_BYTES:
                _link_or_rename(draft, self._path)
        finally:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(draft)

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
            os.rename(self._path, f"{self._root}/.trash-{make_unique_name()}")


def _link_or_rename(draft: str, path: str) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        os.rename(draft, path)


def _identify_changes(key: str, file: _OpenFile, generation: FileGeneration) -> bytes:
    return generation.token + file.find_last_match(key).to_bytes(8, "big")


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
