"""The file store's verbs, blocking: what is done in one hop to a thread.

Every change of an entry happens under that entry's lock, so a read-change-write is a
single step among threads and processes alike. Reads take no lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.backends.file import access_stats, scan
from aiocache_pe.backends.file.atomic_write import AtomicWrite
from aiocache_pe.backends.file.eviction import DirectoryBounds
from aiocache_pe.backends.file.expiry_index import ExpiryIndex
from aiocache_pe.backends.file.layout import EntryPath, Layout, lock_slot
from aiocache_pe.backends.file.locks import ByteLocks
from aiocache_pe.backends.file.reading import read_head, read_whole
from aiocache_pe.backends.file.size_ledger import UNBOUNDED, Bounds
from aiocache_pe.backends.file.version import VersionTag, is_current, size_in_memory, usable_version
from aiocache_pe.exceptions import BackendError, CorruptRecordError
from aiocache_pe.keys.store_keys import is_side
from aiocache_pe.record import Head, Record, pack_head, unpack

_ATTEMPTS = 10
T = TypeVar("T")


class Disk:
    """One cache directory.

    Args:
        layout: its names.
        bounds: what it may hold.
        eviction: what goes first, one of `candidates.ORDERS`.
    """

    __slots__ = ("layout", "locks", "room", "wheel")

    def __init__(
        self, layout: Layout, bounds: Bounds = UNBOUNDED, eviction: str = "adaptive"
    ) -> None:
        self.layout = layout
        self.locks = ByteLocks(layout.locks, layout.make_root)
        self.room = DirectoryBounds(layout, self.locks, bounds, eviction)
        self.wheel = ExpiryIndex(layout)

    def read(self, keys: Sequence[str]) -> dict[str, ReadResult]:
        """The records of those keys that are there, or the errors that stand for them."""
        found: dict[str, ReadResult] = {}
        for key in keys:
            place = self.layout.place(key)
            try:
                result = _read(key, place.path)
                if isinstance(result, _Damage):
                    # Who comes second finds it gone.
                    with self.locks.hold(place.slot), suppress(FileNotFoundError):
                        self._set_aside(place, result.stamp)
                    found[key] = result.error
                elif result is not None:
                    found[key] = result
            except OSError as error:
                found[key] = BackendError(f"cannot read an entry: {error}")
        return found

    def write(self, records: Sequence[Record]) -> list[Record | OSError]:
        """Write each record; one that fails does not keep the others from being written."""
        outcomes: list[Record | OSError] = []
        self.room.book.refresh()
        for record in records:
            try:
                outcomes.append(self._write(record))
            except OSError as error:
                outcomes.append(error)
        return outcomes

    def delete(self, keys: Sequence[str], only: Condition | None = None) -> list[Head]:
        """Remove entries; the heads of those that were there, whole, and removed."""
        removed: list[Head] = []
        self.room.refresh_totals()
        for key in keys:
            place = self.layout.place(key)
            with self.locks.hold(place.slot), suppress(FileNotFoundError):
                try:
                    head = read_head(place.path, key)
                except CorruptRecordError:
                    head = None
                if only is None or (head is not None and only(head)):
                    self._unlink(place)
                    if head is not None:
                        removed.append(head)
        return removed

    def update(self, key: str, change: Change) -> Record | None:
        """Read, change and write in one step; see `protocols.Backend.update`."""
        place = self.layout.place(key)
        self.room.book.refresh()

        def step(draft: AtomicWrite) -> Record | None:
            before = _read(key, place.path)
            if isinstance(before, _Damage):
                self._set_aside(place, before.stamp)
                before = None
            after = change(before)
            if after is None:
                if before is not None:
                    self._unlink(place)
                return None
            return before if after is before else self._publish(after, place, draft)

        return self._drafted(place, step)

    def clear(self, prefix: str) -> int:
        """Take an area away by one rename, and then remove it; how many entries it held."""
        trash = f"{self.layout.root}/.trash-{os.getpid()}-{time.time_ns()}"
        is_noted = not is_side(prefix) and self.room.refresh_totals()
        try:
            os.rename(self.layout.area(prefix), trash)
        except FileNotFoundError:
            return 0
        entries, weight = scan.count(trash)
        if is_noted:
            self.room.count_removed(weight, entries)
        scan.remove_tree(trash)
        return entries

    def expire(self, names: Sequence[str], now: float) -> list[Head]:
        """Remove entries that nobody may be served any more; those that end later are noted.

        Args:
            names: paths in the directory, in which nothing is trusted.
            now: seconds since the epoch.

        Returns:
            The heads of those that were there and were removed.
        """
        removed: list[Head] = []
        self.room.refresh_totals()
        areas = frozenset(scan.list_areas(self.layout))
        for path in (scan.entry_path(self.layout, areas, name) for name in names):
            if path is not None:
                with suppress(OSError, CorruptRecordError), self.locks.hold(lock_slot(path)):
                    head = read_head(path)
                    place = self.layout.place(head.key)
                    if place.path != path:  # a file that was put there by hand
                        continue
                    if head.is_removable(now, stale=True):
                        self._unlink(place)
                        removed.append(head)
                    elif head.removable_at is not None:
                        self.wheel.note(place, head.removable_at, now)
        return removed

    def close(self) -> None:
        """Give back the files that are open; they are opened again when they are needed."""
        self.locks.close()
        self.room.book.close()
        self.wheel.close()

    def add_usage(self, usages: Sequence[tuple[str, int, float]]) -> None:
        """Note hits and last access, in seconds since the epoch, of entries still there."""
        for key, hits, last in usages:
            place = self.layout.place(key)
            with suppress(FileNotFoundError), self.locks.hold(place.slot):
                access_stats.add(place.path, hits, last)

    def usage(self, key: str) -> tuple[int, float | None]:
        """The hits of an entry and its last access; no hits when it is not there."""
        with suppress(FileNotFoundError):
            return access_stats.read(self.layout.path(key))
        return 0, None

    def _write(self, record: Record) -> Record:
        place = self.layout.place(record.head.key)
        return self._drafted(place, partial(self._publish, record, place))

    def _drafted(self, place: EntryPath, step: Callable[[AtomicWrite], T]) -> T:
        """Run a step with the entry's lock and a draft in its folder, then make room."""
        with self.locks.hold(place.slot):
            result, draft = self._stepped(place.folder, step)
        if draft.is_published and not place.is_side:
            self.room.count_added(place.path, draft.size, draft.replaced)
        return result

    def _stepped(self, folder: str, step: Callable[[AtomicWrite], T]) -> tuple[T, AtomicWrite]:
        """Run a step, again if the folder went away."""
        for _ in range(_ATTEMPTS):
            try:
                draft = AtomicWrite(folder)
            except FileNotFoundError:
                self.layout.make_folder(folder)
                continue
            except FileExistsError:  # left by a process of the same number that was killed
                continue
            try:
                return step(draft), draft
            except FileNotFoundError:
                continue
            finally:
                draft.discard()
        raise FileNotFoundError(f"{folder} is removed again and again")

    def _set_aside(self, place: EntryPath, stamp: VersionTag) -> None:
        """Move a damaged file away, unless it was replaced meanwhile. Needs its lock."""
        path = place.path
        if not is_current(stamp):
            return
        os.makedirs(self.layout.damaged, mode=0o700, exist_ok=True)
        os.rename(path, f"{self.layout.damaged}/{time.time_ns()}-{os.path.basename(path)}")
        if not place.is_side and self.room.refresh_totals():
            self.room.count_removed(size_in_memory(stamp))

    def _publish(self, record: Record, place: EntryPath, draft: AtomicWrite) -> Record:
        head = pack_head(record.head, record.payload)
        try:
            if not place.is_side:
                self.room.check(len(head) + len(record.payload))
        except OSError:
            with suppress(FileNotFoundError):  # what it was to replace is not right any more
                self._unlink(place)
            raise
        draft.fill((head, record.payload))
        gone_at = record.head.removable_at
        if gone_at is not None and not place.is_side:
            self.wheel.note(place, gone_at, max(time.time(), record.head.created_at))
        return Record(record.head, record.payload, usable_version(draft.publish(place.path)))

    def _unlink(self, place: EntryPath) -> None:
        """Remove an entry. Needs its lock."""
        weight = os.stat(place.path).st_size
        os.unlink(place.path)
        if not place.is_side:
            self.room.count_removed(weight)


class _Damage:
    """What stands for a record that could not be verified."""

    __slots__ = ("error", "stamp")

    def __init__(self, error: CorruptRecordError, stamp: VersionTag) -> None:
        self.error = error
        self.stamp = stamp


def _read(key: str, path: str) -> Record | _Damage | None:
    try:
        blob, stamp = read_whole(path)
    except FileNotFoundError:
        return None
    try:
        record = unpack(blob, key=key)
    except CorruptRecordError as error:
        return _Damage(error, stamp)
    return Record(record.head, record.payload, usable_version(stamp))
