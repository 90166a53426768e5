"""Leases of the file store: one process at a time computes the value of a key.

A lease is one byte of the file ``.leases``, which is never written, only locked. The offset of the
byte comes from the digest of the key and its last changes. The entries' locks use another file,
because an entry is written while its lease is held. The lock belongs to the open file description.
The kernel therefore releases it when the last process with the description ends, in whatever way,
and nothing is left behind. All leases of a process share one description. A table of the offsets in
use excludes the other tasks, threads and event loops of the process.

Locking and unlocking take about a microsecond, touch no disk and happen on the event loop. A
cancelled caller can therefore release its lease without awaiting anything. Only opening the file
takes a hop to a thread. (On a network file system the calls ask the server.)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from weakref import WeakSet

from aiocache_pe.backends.file.disk_executor import DiskExecutor
from aiocache_pe.backends.file.locks import open_lock_file, set_lock
from aiocache_pe.runtime.fork import reset_after_fork

_OFFSET_MASK = (1 << 62) - 1  # the offsets that a lock may have; no two keys collide


class _LeaseFile:
    """An open description of the lease file; it stays open while a lease refers to it."""

    __slots__ = ("__weakref__", "fd", "held")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held: dict[int, FileLease] = {}

    def is_gone(self) -> bool:
        """Return whether the file was removed, or the description is a forking parent's."""
        return self.fd < 0 or not os.fstat(self.fd).st_nlink

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    __del__ = close


class FileLease:
    """A held lease; see `aiocache_pe.backends.base.Lease`."""

    __slots__ = ("_file", "_offset")

    def __init__(self, file: _LeaseFile, offset: int) -> None:
        self._file = file
        self._offset = offset

    async def release(self) -> None:
        """See `Lease.release`; it does not wait."""
        held = self._file.held
        if held.get(self._offset) is not self:
            return
        if self._file.fd >= 0:
            with suppress(OSError):  # a lock that cannot be released ends with the process
                set_lock(self._file.fd, fcntl.F_UNLCK, self._offset)
        del held[self._offset]


class FileLeases:
    """The leases of one directory.

    Args:
        path: the file of the leases.
        make_folder: creates the folder of the file if it is missing.
        executor: runs blocking calls in threads.
    """

    def __init__(self, path: str, make_folder: Callable[[], None], executor: DiskExecutor) -> None:
        self._path = path
        self._make_folder = make_folder
        self._executor = executor
        self._file = _LeaseFile(-1)
        self._files = WeakSet[_LeaseFile]()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Close the parent's descriptions: with them the child would hold the parent's leases."""
        for file in self._files:
            file.close()
        self._file = _LeaseFile(-1)

    async def try_acquire(self, key: str, changes: bytes = b"") -> FileLease | None:
        """Acquire the lease of a store key; see `Leasing.try_lease`.

        Args:
            key: the store key.
            changes: identifies the last changes of the key and of its tags. After another change
                the lease is free.
        """
        if self._file.is_gone():
            await self._executor.run(self._open)
        file, offset = self._file, _compute_offset(key, changes)
        lease = FileLease(file, offset)
        if file.held.setdefault(offset, lease) is not lease:
            return None

        is_locked = False
        try:
            is_locked = set_lock(file.fd, fcntl.F_WRLCK, offset)
        finally:
            if not is_locked:
                del file.held[offset]
        return lease if is_locked else None

    def close(self) -> None:
        """Close the file once no lease needs it; the next `try_acquire` opens it again."""
        self._file = _LeaseFile(-1)

    def _open(self) -> None:
        file = _LeaseFile(open_lock_file(self._path, self._make_folder))
        self._files.add(file)
        self._file = file


def _compute_offset(key: str, changes: bytes) -> int:
    name = key.encode("utf-8", "surrogatepass")
    digest = blake2b(b"%d:%b%b" % (len(changes), changes, name), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _OFFSET_MASK
