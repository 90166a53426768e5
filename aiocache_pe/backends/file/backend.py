"""File store: `Backend` and its capabilities over `Disk`, with one hop per method."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial

from aiocache_pe.backends.base import Change, Check, Condition, ReadResult
from aiocache_pe.backends.file import doctor, scan
from aiocache_pe.backends.file.disk import Disk, is_outdated, outdated
from aiocache_pe.backends.file.disk_executor import (
    DiskExecutor,
    GroupCommit,
    split,
    take_results,
)
from aiocache_pe.backends.file.generations import FileGeneration
from aiocache_pe.backends.file.layout import FOLDERS, Layout
from aiocache_pe.backends.file.leases import FileLease, FileLeases
from aiocache_pe.backends.file.maintenance import MaintenanceRounds, sweep
from aiocache_pe.backends.file.reading import CachedReader
from aiocache_pe.backends.file.secret import load_secret
from aiocache_pe.backends.file.size_ledger import Bounds
from aiocache_pe.backends.file.version import is_current, usable_version
from aiocache_pe.exceptions import CorruptRecordError, NewerRecordError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.record import Head, Record, unpack
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.sentinels import PENDING, Pending

_SCAN_THREADS = 2


class FileBackend:
    """A store that keeps each record in a file below one directory.

    Any number of processes may share the directory, which the first write creates. A small entry
    that the kernel holds in memory is read on the event loop (`peek`). Every other operation takes
    one hop to a thread, and the writes of one tick share a hop. Scans, clears and maintenance have
    threads of their own, so that they delay no other operation.

    Args:
        directory: the directory; created with mode 0700 if it is missing. A relative path is
            resolved against the current directory at this moment.
        max_entries: greatest number of entries after a write of this process; ``None`` for no
            limit.
        max_bytes: greatest total size of their files, in bytes; ``None`` for no limit.
        eviction: order in which entries are evicted: ``"adaptive"``, ``"lfu"`` or ``"lru"``.

    Raises:
        ConfigurationError: the eviction order is unknown.

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
        self._maintenance = MaintenanceRounds(self._disk)
        self._executor = DiskExecutor()
        self._scan_executor = DiskExecutor(_SCAN_THREADS)
        self._leases = FileLeases(self._layout.leases, self._layout.make_root, self._executor)
        self._cached_reader = CachedReader()
        self._group_commits = PerLoop(lambda: GroupCommit(self._executor, self._disk.write))

    def __repr__(self) -> str:
        return f"FileBackend({self._layout.root!r})"

    @property
    def directory(self) -> str:
        """Return the absolute path of the directory."""
        return self._layout.root

    def find_obstacle(self) -> str:
        """Return the reason for which the directory cannot be used; empty if it can."""
        return doctor.find_obstacle(self._layout.root)

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`; a damaged file is moved to ``.damaged``."""
        results: dict[str, ReadResult] = {}
        for part in split(keys):
            results |= await self._executor.run(self._disk.read, part)
        return results

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        records = [Record(record.head, record.payload) for record in records]  # no generations
        return [record for record in await self._write(records) if record is not None]

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        delete = partial(self._disk.delete, only=only)
        outcomes = await self._executor.run_for_each(delete, keys)
        return [head for head in take_results(outcomes, "delete") if head is not None]

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`; atomic among threads and processes."""
        updated = await self._executor.run_locking(self._disk.update, key, change)
        self._report_evictions()
        return updated

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`; each of the 256 folders is one batch and one hop."""
        matches = compile_glob(pattern)
        for folder in FOLDERS:
            heads = await self._scan_executor.run(
                scan.read_heads, self._layout, prefix, folder, matches
            )
            if heads:
                yield heads

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`; one rename takes the area away before its files are removed."""
        return await self._scan_executor.run_locking(self._disk.clear, prefix)

    async def close(self) -> None:
        """See `Backend.close`; waits for the writes in progress."""
        await self._group_commits.get().wait_until_idle()
        await self._executor.close()
        await self._scan_executor.close()
        self._maintenance.close()
        self._disk.close()
        self._leases.close()

    is_current = staticmethod(is_current)

    def peek(self, key: str) -> Record | None | Pending:
        """See `Peekable.peek`; reads from the kernel's caches only."""
        path = self._layout.get_path(key)
        found = self._cached_reader.read_if_cached(path)
        if found is None or found is PENDING:
            return found
        data, version = found
        try:
            record = unpack(data, key=key, stamp=usable_version(version))
        except (CorruptRecordError, NewerRecordError):
            return PENDING  # `read` reports it, and moves a damaged file to `.damaged`
        return None if outdated and is_outdated(path, record.head) else record

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`; opens no file."""
        return await self._scan_executor.run(scan.count_entries, self._layout.get_area(prefix))

    async def areas(self) -> Collection[str]:
        """See `Partitioned.areas`; reads one entry of each area."""
        return await self._scan_executor.run(scan.find_areas, self._layout)

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`."""
        await self._executor.run(self._disk.add_usage, dict(usage))

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        return await self._executor.run(self._disk.read_usage, key)

    async def sweep(self, now: float) -> None:
        """See `Sweeper.sweep`; also recounts the entries and evicts those beyond the bounds."""
        for head in await self._scan_executor.run(sweep, self._disk, now):
            if self.on_expire is not None:
                self.on_expire(head)
        await self._scan_executor.run(self._disk.bounds.enforce)
        self._report_evictions()

    async def maintain(self, now: float) -> Sequence[Head] | None:
        """See `Maintainable.maintain`; all processes together make one round in ten minutes."""
        removed = await self._scan_executor.run(self._maintenance.run_step, now)
        self._report_evictions()
        return removed

    async def try_lease(self, key: str, version: str = "") -> FileLease | None:
        """See `Leasing.try_lease`; the kernel releases the lease when its process dies."""
        if is_internal_key(key):
            return await self._leases.try_acquire(key)
        generations, slot = self._disk.generations, self._layout.locate(key).slot
        peeked = generations.peek_changes(key, slot)
        if isinstance(peeked, bytes):
            changes = peeked
        else:
            changes = await self._executor.run(generations.read_changes, key, slot)
        return await self._leases.try_acquire(key, changes + version.encode("ascii"))

    def begin(self, key: str) -> FileGeneration | Pending:
        """See `Generational.begin`."""
        return self._disk.generations.peek(self._layout.locate(key).slot)

    def is_raised(self, key: str, generation: FileGeneration) -> bool:
        """See `Generational.is_raised`."""
        return self.begin(key) not in (generation, PENDING)

    async def begin_and_read(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[FileGeneration], Mapping[str, ReadResult]]:
        """See `Generational.begin_and_read`."""
        return await self._executor.run(self._disk.begin, keys, supersede=supersede)

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[FileGeneration]
    ) -> Sequence[Record | None]:
        """See `Generational.write_computed`."""
        pairs = zip(records, generations, strict=True)
        return await self._write([Record(each.head, each.payload, stamp) for each, stamp in pairs])

    async def invalidate(self, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
        """See `Generational.invalidate`."""
        await self._scan_executor.run(self._disk.generations.raise_matching, prefix, pattern)
        for folder in FOLDERS:
            await self._scan_executor.run(self._disk.stop_writes, prefix, folder)
        matches = compile_glob(pattern)
        for folder in FOLDERS:
            keys = await self._scan_executor.run(
                scan.read_keys, self._layout, prefix, folder, matches
            )
            if keys:
                yield await self.delete(keys)

    async def secret(self) -> bytes:
        """See `SecretKeeper.secret`; kept in the file ``.secret`` with mode 0600."""
        return await self._executor.run_locking(load_secret, self._layout)

    def location(self, key: str) -> str:
        """See `Located.location`; the entry's file."""
        return self._layout.get_path(key)

    async def examine(self) -> Sequence[Check]:
        """See `Examinable.examine`."""
        return await self._scan_executor.run(
            lambda: list(doctor.examine(self._layout.root, self._disk.bounds.examine_size))
        )

    async def _write(self, records: Sequence[Record]) -> Sequence[Record | None]:
        written = await self._group_commits.get().submit(records)
        self._report_evictions()
        return written

    def _report_evictions(self) -> None:
        """Report evictions in the event loop; they happened in threads."""
        evicted = self._disk.bounds.evicted
        while evicted:
            head = evicted.popleft()
            if self.on_evict is not None:
                self.on_evict(head)
