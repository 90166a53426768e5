"""Blocking operations of the file store, each of which runs in one hop to a thread.

Every change of an entry holds the lock of that entry. Therefore a read-change-write is a single
step among threads and processes. Reads take no lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import NamedTuple, TypeVar

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.backends.file import access_stats, scan
from aiocache_pe.backends.file.atomic_write import AtomicWrite
from aiocache_pe.backends.file.eviction import DirectoryBounds
from aiocache_pe.backends.file.expiry_index import ExpiryIndex
from aiocache_pe.backends.file.file_system import warn_if_unreliable
from aiocache_pe.backends.file.generations import FileGeneration, FileGenerations
from aiocache_pe.backends.file.layout import EntryPath, Layout, get_lock_slot, is_entry_name
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.reading import read_entry, read_head
from aiocache_pe.backends.file.regular_files import (
    NotRegularError,
    make_unique_name,
    remove_entry,
    set_aside,
)
from aiocache_pe.backends.file.size_ledger import UNBOUNDED, Bounds
from aiocache_pe.backends.file.version import (
    VersionTag,
    get_file_size,
    is_current,
    make_version,
    usable_version,
)
from aiocache_pe.backends.newer_records import report_replaced
from aiocache_pe.exceptions import (
    BackendError,
    CorruptRecordError,
    LockTimeoutError,
    NewerRecordError,
)
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.record import Head, Record, pack_head, unpack

_QUICK_ATTEMPTS = 10
_ATTEMPTS = 500  # half a second beside processes that remove the folder again and again
_ATTEMPT_PAUSE = 0.001  # seconds
T = TypeVar("T")

outdated: dict[str, float] = {}
"""Paths of entries that a failed change could not remove, with the times of the changes.

A read-only directory keeps such an entry. This process does not serve it any more.
"""


class Disk:
    """The entries of one cache directory.

    Args:
        layout: the directory.
        bounds: greatest number and size of its entries.
        eviction: name of the eviction order, one of `eviction_order.ORDERS`.
    """

    def __init__(
        self, layout: Layout, bounds: Bounds = UNBOUNDED, eviction: str = "adaptive"
    ) -> None:
        self.layout = layout
        self.locks = ByteLocks(
            layout.locks,
            layout.make_root,
            lambda: warn_if_unreliable(layout.root, layout.locks),
        )
        self.bounds = DirectoryBounds(layout, self.locks, bounds, eviction)
        self.expiry_index = ExpiryIndex(layout)
        self.generations = FileGenerations(layout)

    def read(self, keys: Sequence[str]) -> dict[str, ReadResult]:
        """Return the records of the stored keys, or the errors of those that cannot be read."""
        results: dict[str, ReadResult] = {}
        for key in keys:
            entry = self.layout.locate(key)
            try:
                found = _read(key, entry.path)
                if isinstance(found, _DamagedFile):
                    # FileNotFoundError: another reader was first.
                    with (
                        suppress(FileNotFoundError, LockTimeoutError),
                        self.locks.hold(entry.slot, wait=False),
                    ):
                        self._set_aside(entry, found.version)
                    results[key] = found.error
                elif found is not None and not is_outdated(entry.path, found.head):
                    results[key] = found
            except NewerRecordError as error:
                results[key] = error
            except OSError as error:
                results[key] = BackendError(f"cannot read an entry: {error}")
        return results

    def begin(
        self, keys: Sequence[str], *, supersede: bool
    ) -> tuple[list[FileGeneration], dict[str, ReadResult]]:
        """Return generations and records; see `Generational.begin_and_read`."""
        slots = [self.layout.locate(key).slot for key in keys]
        for slot in slots if supersede else ():
            self.generations.raise_slot(slot)
        return [self.generations.read(slot) for slot in slots], self.read(keys)

    def write(self, records: Sequence[Record]) -> list[Record | Exception | None]:
        """Store each record; return, for each one, the stored record or an error.

        The stamp of a computed record is its generation. If that was raised, the record is not
        stored, and ``None`` is returned for it. Neither does it replace a record of a later
        release: the outcome is the error.
        """
        outcomes: list[Record | Exception | None] = []
        self.bounds.ensure_ledger()
        for record in records:
            entry = self.layout.locate(record.head.key)
            generation = record.stamp
            step: Callable[..., Record | None] = self._publish_change
            if isinstance(generation, FileGeneration):
                step = partial(self._publish_computed, generation)
            try:
                outcomes.append(self._change(entry, partial(step, record, entry)))
            except (LockTimeoutError, NewerRecordError) as error:
                outcomes.append(error)
            except OSError as error:
                # The stored version is outdated. Its removal needs no room, nor the lock: another
                # process may have written a newer version, but a miss is better than an old value.
                try:
                    self._remove(entry)
                except FileNotFoundError:
                    pass
                except OSError:
                    outdated[entry.path] = record.head.created_at
                outcomes.append(error)
        return outcomes

    def delete(
        self, keys: Sequence[str], only: Condition | None = None
    ) -> list[Head | OSError | None]:
        """Remove entries; see `Backend.delete`.

        Returns:
            For each key, the head of the removed entry, an error, or ``None`` if no entry was
            removed or the entry was damaged.
        """
        outcomes: list[Head | OSError | None] = []
        self.bounds.ensure_ledger()
        for key in keys:
            entry = self.layout.locate(key)
            try:
                with self.locks.hold(entry.slot):
                    outcomes.append(self._remove_if(entry, key, only))
            except FileNotFoundError:
                outcomes.append(None)
            except LockTimeoutError as error:
                outcomes.append(error)
            except OSError as error:
                if only is None:
                    outdated[entry.path] = time.time()
                outcomes.append(error)
        return outcomes

    def update(self, key: str, change: Change) -> Record | None:
        """Read, change and write an entry in one step; see `Backend.update`."""
        entry = self.layout.locate(key)
        self.bounds.ensure_ledger()

        def step(write: AtomicWrite) -> Record | None:
            before = _read(key, entry.path)
            if isinstance(before, _DamagedFile):
                self._set_aside(entry, before.version)
                before = None
            if before is not None and is_outdated(entry.path, before.head):
                before = None

            after = change(before)
            if after is before:
                return before
            if after is None:
                self._remove(entry)
                self._supersede(entry)
                return None
            if before is not None and after.payload is before.payload:
                return self._publish(after, entry, write)
            return self._publish_change(after, entry, write)

        return self._change(entry, step)

    def clear(self, prefix: str) -> int:
        """Take an area away by one rename, remove its files, and return its number of entries."""
        trash = f"{self.layout.root}/.trash-{make_unique_name()}"
        is_recorded = not is_internal_key(prefix) and self.bounds.ensure_ledger()
        if not is_internal_key(prefix) and os.path.isdir(self.layout.root):
            self.generations.raise_matching(prefix, "*")
        area = self.layout.get_area(prefix)
        try:
            os.rename(area, trash)
        except FileNotFoundError:
            return 0
        except OSError:  # a mount point, or a folder of the lower layer of an overlay
            return self._clear_in_place(area, is_internal=is_internal_key(prefix))
        entries, size = scan.count_entries(trash)
        if is_recorded:
            self.bounds.record_removal(size, entries)
        scan.remove_area(trash)
        return entries

    def _clear_in_place(self, area: str, *, is_internal: bool) -> int:
        """Remove the entries of an area one by one, and return their number.

        Each is removed under its lock, so no change of the state before the `clear` follows it.
        """
        removed = 0
        for folder in (f"{area}/{name}" for name in scan.list_names(area)):
            for name in filter(is_entry_name, scan.list_names(folder)):
                path = f"{folder}/{name}"
                entry = EntryPath(path, folder, get_lock_slot(path), is_internal)
                with self.locks.hold(entry.slot), suppress(FileNotFoundError):
                    self._remove(entry)
                    removed += 1
        return removed

    def stop_writes(self, prefix: str, folder: str) -> None:
        """Let the writes in a folder begin again, because generations were raised.

        A write that compared its generation before that cannot publish without its temporary file.
        """
        scan.remove_temporary_files(f"{self.layout.get_area(prefix)}/{folder}")

    def expire(self, names: Sequence[str], now: float) -> list[Head]:
        """Remove the entries that may be removed by now; add the others to the expiry index again.

        Args:
            names: paths in the directory, which are not trusted.
            now: present time, in seconds since the epoch.
        """
        removed: list[Head] = []
        self.bounds.ensure_ledger()
        areas = frozenset(scan.list_areas(self.layout))
        for path in (scan.resolve_entry(self.layout, areas, name) for name in names):
            if path is not None:
                unreadable = CorruptRecordError, NewerRecordError
                with suppress(OSError, *unreadable), self.locks.hold(get_lock_slot(path)):
                    head = read_head(path)
                    entry = self.layout.locate(head.key)
                    if entry.path != path:  # not the file of this key, so not the store's own
                        continue
                    if head.is_removable(now, stale=True):
                        self._remove(entry)
                        removed.append(head)
                    elif head.removable_at is not None:
                        self.expiry_index.add(entry, head.removable_at, now)
        return removed

    def close(self) -> None:
        """Close the open files; a later use opens them again."""
        self.locks.close()
        self.bounds.ledger.close()
        self.expiry_index.close()
        self.generations.close()

    def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """Add hits to entries and set their last access; see `Usage.add_usage`."""
        for key, (hits, last_access) in usage.items():
            entry = self.layout.locate(key)
            with suppress(FileNotFoundError, LockTimeoutError), self.locks.hold(entry.slot):
                access_stats.add_hits(entry.path, hits, last_access)

    def read_usage(self, key: str) -> tuple[int, float | None]:
        """Return the hits of an entry and its last access; ``(0, None)`` if it is absent."""
        with suppress(FileNotFoundError):
            return access_stats.read_stats(self.layout.get_path(key))
        return 0, None

    def _change(self, entry: EntryPath, step: Callable[[AtomicWrite], T]) -> T:
        """Run a step with the entry's lock and a temporary file, then enforce the bounds."""
        with self.locks.hold(entry.slot):
            result, write = self._run_step(entry, step)
        if write.is_published and not entry.is_internal:
            self.bounds.record_write(entry.path, write.size, write.replaced_size)
        return result

    def _run_step(
        self, entry: EntryPath, step: Callable[[AtomicWrite], T]
    ) -> tuple[T, AtomicWrite]:
        """Run a step with a temporary file; run it again if its folder was removed."""
        for attempt in range(_ATTEMPTS):
            if attempt >= _QUICK_ATTEMPTS:
                time.sleep(_ATTEMPT_PAUSE)
            try:
                write = AtomicWrite(entry.folder, entry.slot)
            except OSError:
                self.layout.make_root()
                # Another process may remove the folder while this one creates it.
                with suppress(FileNotFoundError, FileExistsError):
                    self.layout.make_folder(entry.folder)
                continue
            try:
                return step(write), write
            except FileNotFoundError:
                continue
            finally:
                write.discard()
        raise FileNotFoundError(
            f"{entry.folder} must not be removed during a write; it was, in {_ATTEMPTS} attempts"
        )

    def _set_aside(self, entry: EntryPath, version: VersionTag) -> None:
        """Move a damaged file to ``.damaged``, unless it was replaced. Needs the entry's lock."""
        if not is_current(version):
            return
        set_aside(self.layout.root, entry.path)
        if not entry.is_internal and self.bounds.ensure_ledger():
            self.bounds.record_removal(get_file_size(version))

    def _publish(
        self,
        record: Record,
        entry: EntryPath,
        write: AtomicWrite,
        may_replace: Callable[[str], object] | None = None,
    ) -> Record:
        """Store a record. Needs the entry's lock.

        The parameter ``may_replace`` is that of `AtomicWrite.publish`.
        """
        head = pack_head(record.head, record.payload)
        try:
            if not entry.is_internal:
                self.bounds.check_size(len(head) + len(record.payload))
        except OSError:
            with suppress(FileNotFoundError):  # the present version is outdated
                self._remove(entry)
            raise

        write.fill((head, record.payload))
        removable_at = record.head.removable_at
        if removable_at is not None and not entry.is_internal:
            now = max(time.time(), record.head.created_at)
            self.expiry_index.add(entry, removable_at, now)
        version = write.publish(entry.path, may_replace)
        if outdated:
            outdated.pop(entry.path, None)
        return Record(record.head, record.payload, usable_version(version))

    def _publish_change(self, record: Record, entry: EntryPath, write: AtomicWrite) -> Record:
        """Store a record, and keep earlier computations from replacing it. Needs the lock."""
        stored = self._publish(record, entry, write, partial(_report_newer, record.head.key))
        self._supersede(entry)
        return stored

    def _publish_computed(
        self, generation: FileGeneration, record: Record, entry: EntryPath, write: AtomicWrite
    ) -> Record | None:
        """Store a computed record unless its generation was raised. Needs the entry's lock."""
        if self.generations.has_raised(record.head.key, entry.slot, generation):
            return None
        return self._publish(record, entry, write, refuse_newer)

    def _supersede(self, entry: EntryPath) -> None:
        """Raise the generations of a changed entry. Needs its lock."""
        if not entry.is_internal:
            self.generations.raise_slot(entry.slot)

    def _remove_if(self, entry: EntryPath, key: str, only: Condition | None) -> Head | None:
        """Remove an entry on a condition, and return its head. Needs the entry's lock."""
        try:
            head = read_head(entry.path, key)
        except (CorruptRecordError, NewerRecordError, FileNotFoundError):
            head = None
        except NotRegularError as error:
            self._set_aside(entry, make_version(entry.path, error.status))
            return None
        if only is not None and (head is None or not only(head)):
            return None
        with suppress(FileNotFoundError):
            self._remove(entry)
        if only is None:
            self._supersede(entry)
        return head

    def _remove(self, entry: EntryPath) -> None:
        """Remove an entry. Needs its lock."""
        size = 0
        try:
            size = remove_entry(entry.path)
        except (IsADirectoryError, PermissionError):  # a folder, if not a file of another user
            set_aside(self.layout.root, entry.path)
        if not entry.is_internal:
            self.bounds.record_removal(size)


def is_outdated(path: str, head: Head) -> bool:
    """Return whether a record is older than a change that could not remove it; see `outdated`."""
    return bool(outdated) and head.created_at <= outdated.get(path, -inf)


def refuse_newer(path: str) -> None:
    """Raise the `NewerRecordError` of an entry's file, if there is a record of a later release."""
    with suppress(OSError, CorruptRecordError):
        read_head(path)


def _report_newer(key: str, path: str) -> None:
    try:
        refuse_newer(path)
    except NewerRecordError as error:
        report_replaced("file", key, error)


class _DamagedFile(NamedTuple):
    """A file that failed verification: the error, and the version that was read."""

    error: CorruptRecordError
    version: VersionTag


def _read(key: str, path: str) -> Record | _DamagedFile | None:
    try:
        content, version = read_entry(path)
    except FileNotFoundError:
        return None
    except NotRegularError as error:
        reason = CorruptRecordError(str(error), key=key)
        return _DamagedFile(reason, make_version(path, error.status))
    try:
        if isinstance(content, CorruptRecordError):
            raise content
        record = unpack(content, key=key)
    except CorruptRecordError as error:
        return _DamagedFile(error, version)
    return Record(record.head, record.payload, usable_version(version))
