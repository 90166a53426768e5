"""Leases: who, of all processes of a directory, computes what belongs under a key.

A lease is one byte of one file that is never written, only locked, at an offset from the
key's digest. It is another file than that of the entries' locks, for an entry is written
while its lease is held. The lock belongs to the open file description, so the kernel
frees it when the last process that has it is gone, however it went, and nothing is left
behind. Within a process the description is shared by all leases, and a note of the
offsets in use keeps tasks, threads and event loops apart.

Locking and unlocking are a call of a microsecond that touches no disk and is made on the
spot: a caller that is cancelled can give its lease back without awaiting anything. Only
opening the file takes a hop. (A network file system asks its server instead.)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from weakref import WeakSet

from aiocache_pe.backends.file.disk_executor import DiskExecutor
from aiocache_pe.backends.file.locks import open_locks, set_lock
from aiocache_pe.runtime.fork import reset_after_fork

_OFFSETS = (1 << 62) - 1  # all that a lock may be at; two keys never meet


class _Description:
    """The lease file, as it was opened once; open as long as a lease needs it."""

    __slots__ = ("__weakref__", "fd", "held")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held: dict[int, FileLease] = {}

    def is_gone(self) -> bool:
        """Whether others lock another file: it was removed, or this is a forked child."""
        return self.fd < 0 or not os.fstat(self.fd).st_nlink

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    __del__ = close


class FileLease:
    """One byte, held; see `protocols.Lease`."""

    __slots__ = ("_description", "_offset")

    def __init__(self, description: _Description, offset: int) -> None:
        self._description = description
        self._offset = offset

    @property
    def is_lost(self) -> bool:
        """Whether the directory was removed, or the lease is a forking parent's."""
        return self._description.is_gone()

    async def release(self) -> None:
        """See `Lease.release`; it does not wait."""
        held = self._description.held
        if held.get(self._offset) is not self:
            return
        if self._description.fd >= 0:
            with suppress(OSError):  # what cannot be unlocked ends with the process
                set_lock(self._description.fd, fcntl.F_UNLCK, self._offset)
        del held[self._offset]


class FileLeases:
    """The leases of one directory.

    Args:
        path: the file to lock.
        prepare: makes its folder when it is not there.
        hops: how to get to a thread.
    """

    __slots__ = ("__weakref__", "_description", "_descriptions", "_hops", "_path", "_prepare")

    def __init__(self, path: str, prepare: Callable[[], None], hops: DiskExecutor) -> None:
        self._path = path
        self._prepare = prepare
        self._hops = hops
        self._description = _Description(-1)
        self._descriptions = WeakSet[_Description]()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Let go of the parent's descriptions: sharing them would be to hold its leases."""
        for description in self._descriptions:
            description.close()
        self._description = _Description(-1)

    async def try_acquire(self, key: str) -> FileLease | None:
        """The lease of a store key, unless somebody has it; see `Leasing.try_lease`."""
        if self._description.is_gone():
            await self._hops.run(self._open)
        description, offset = self._description, _offset(key)
        lease = FileLease(description, offset)
        if description.held.setdefault(offset, lease) is not lease:
            return None
        try:
            locked = set_lock(description.fd, fcntl.F_WRLCK, offset)
        except BaseException:
            del description.held[offset]
            raise
        if not locked:
            del description.held[offset]
            return None
        return lease

    def close(self) -> None:
        """Give back the file as soon as no lease needs it; the next `take` opens it again."""
        self._description = _Description(-1)

    def _open(self) -> None:
        description = _Description(open_locks(self._path, self._prepare))
        self._descriptions.add(description)
        self._description = description


def _offset(key: str) -> int:
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _OFFSETS
