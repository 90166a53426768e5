"""The file store: `Backend` and its capabilities over `Disk`, one hop a verb."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from aiocache_pe.backends.base import Change, Check, Condition, ReadResult
from aiocache_pe.backends.file import doctor, scan
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.disk_executor import DiskExecutor, GroupCommit
from aiocache_pe.backends.file.eviction_order import ORDERS
from aiocache_pe.backends.file.layout import FOLDERS, Layout
from aiocache_pe.backends.file.leases import FileLease, FileLeases
from aiocache_pe.backends.file.maintenance import MaintenanceRounds, remove_due
from aiocache_pe.backends.file.reading import CachedReader
from aiocache_pe.backends.file.secret import load_secret
from aiocache_pe.backends.file.size_ledger import Bounds
from aiocache_pe.backends.file.version import is_current, usable_version
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.record import Head, Record, unpack
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.sentinels import PENDING, Pending

EVICTIONS = tuple(ORDERS)
"""By what a full directory chooses."""


class FileBackend:
    """Records as files below one directory, shared by any number of processes.

    Opening does nothing: the directory is made by the first write. Small entries whose
    file the kernel holds in memory are read on the spot (`peek`); all else takes one hop
    to a thread, and writes of one tick share theirs.

    Args:
        directory: where to keep the files; made private (0700) when it is not there.
            Relative paths are taken from the current directory of this moment.
        max_entries: how many entries this process leaves in it; ``None`` for any number.
        max_bytes: what their files may weigh together, in bytes; ``None`` for any weight.
        eviction: what goes when there is no room, one of `EVICTIONS`.

    Example:
        >>> import asyncio, tempfile
        >>> backend = FileBackend(tempfile.mkdtemp())
        >>> asyncio.run(backend.read(["default:absent"]))
        {}
    """

    name = "file"
    on_evict: Callable[[Head], object] | None
    """See `Evicting.on_evict`."""
    on_expire: Callable[[Head], object] | None
    """See `Expiring.on_expire`."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        eviction: str = "adaptive",
    ) -> None:
        self._layout = Layout(os.fspath(directory))
        self._disk = Disk(self._layout, Bounds(max_entries, max_bytes), eviction)
        self.on_evict = self.on_expire = None
        self._rounds = MaintenanceRounds(self._disk)
        self._hops = DiskExecutor()
        self._leases = FileLeases(self._layout.leases, self._layout.make_root, self._hops)
        self._cached = CachedReader()
        self._commits = PerLoop(lambda: GroupCommit(self._hops, self._disk.write))

    def __repr__(self) -> str:
        return f"FileBackend({self._layout.root!r})"

    @property
    def directory(self) -> str:
        """The directory, absolute."""
        return self._layout.root

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`; a damaged file is moved to ``.damaged``."""
        return await self._hops.run(self._disk.read, keys)

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        written = await self._commits.get().submit(records)
        self._tell()
        return written

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        return await self._hops.run(self._disk.delete, keys, only)

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`; atomic among threads and processes."""
        updated = await self._hops.run(self._disk.update, key, change)
        self._tell()
        return updated

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; a folder, one of 256, is one batch and one hop."""
        matches = compile_glob(pattern)
        for folder in FOLDERS:
            heads = await self._hops.run(scan.iter_heads, self._layout, prefix, folder, matches)
            if heads:
                yield heads

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`: one rename takes the area away, then its files are removed."""
        return await self._hops.run(self._disk.clear, prefix)

    async def close(self) -> None:
        """See `Backend.close`; waits for the writes that are under way."""
        await self._commits.get().idle()
        await self._hops.close()
        self._rounds.close()
        self._disk.close()
        self._leases.close()

    is_current = staticmethod(is_current)

    def peek(self, key: str) -> Record | None | Pending:
        """See `Peekable.peek`: from the kernel's caches, or not at all."""
        found = self._cached.read(self._layout.path(key))
        if found is None or found is PENDING:
            return found
        blob, stamp = found
        try:
            return unpack(blob, key=key, stamp=usable_version(stamp))
        except CorruptRecordError:
            return PENDING  # `read` will set it aside, which takes the disk

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`; opens no file."""
        return await self._hops.run(scan.totals, self._layout, prefix)

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`."""
        items = [(key, hits, last) for key, (hits, last) in usage.items()]
        await self._hops.run(self._disk.add_usage, items)

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        return await self._hops.run(self._disk.usage, key)

    async def sweep(self, now: float) -> None:
        """See `Sweeper.sweep`; counts the entries, and removes what exceeds the bounds."""
        await self._hops.run(scan.sweep, self._layout)
        for head in await self._hops.run(remove_due, self._disk, now):
            if self.on_expire is not None:
                self.on_expire(head)
        await self._hops.run(self._disk.room.enforce)
        self._tell()

    async def maintain(self, now: float) -> Sequence[Head] | None:
        """See `Maintainable.tend`; for all processes together, a round in ten minutes."""
        removed = await self._hops.run(self._rounds.step, now)
        self._tell()
        return removed

    async def try_lease(self, key: str) -> FileLease | None:
        """See `Leasing.try_lease`: a lock that the kernel frees when its holder dies."""
        return await self._leases.try_acquire(key)

    async def secret(self) -> bytes:
        """See `SecretKeeper.secret`: the file ``.secret``, made on first use with mode 0600."""
        return await self._hops.run(load_secret, self._layout)

    def location(self, key: str) -> str:
        """See `Located.location`: the entry's file."""
        return self._layout.path(key)

    async def examine(self) -> Sequence[Check]:
        """See `Examinable.examine`."""
        return await self._hops.run(lambda: list(doctor.examine(self._layout.root)))

    def _tell(self) -> None:
        """Tell, in the loop, of what was evicted in threads."""
        evicted = self._disk.room.evicted
        while evicted:
            head = evicted.popleft()
            if self.on_evict is not None:
                self.on_evict(head)
