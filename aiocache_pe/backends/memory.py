"""Memory store: records in the process itself, optionally within bounds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from operator import attrgetter
from sys import getsizeof
from typing import Any, TypeVar

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.clock import Clock
from aiocache_pe.codecs.object_size import measure_texts
from aiocache_pe.eviction.base import EvictionPolicy
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.eviction.fifo import Fifo
from aiocache_pe.exceptions import BackendError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.generations import Generation, Generations
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.runtime.short_locks import get_free

T = TypeVar("T")
_SCAN_BATCH = 1000
# Bytes that an entry takes besides its key and payload, and further bytes for its expiry. They
# are measured in a full store of 10,000 entries.
_OVERHEAD, _EXPIRY_OVERHEAD = 368, 280
_FREE_OVERHEAD = 64 * 1024  # bytes; a bound of a few hundred bytes would hold no entry otherwise
_MAINTENANCE_BATCH = 256  # entries that one step removes: half a millisecond


class StoredRecord:
    """A record in memory, and the eviction policy's node; returned records have it as stamp."""

    __slots__ = (
        *("head", "hits", "key", "last_access", "payload", "read_count", "size"),
        *("next", "policy_state", "previous", "queue"),
    )

    def __init__(self, record: Record) -> None:
        self.head = record.head
        self.payload = record.payload
        self.key = record.head.key
        self.size = _compute_size(record)
        self.hits = 0
        self.queue: Any = None
        self.previous: Any = None
        self.next: Any = None
        self.policy_state = 0
        self.read_count = 0
        self.last_access: float | None = None

    @property
    def content_size(self) -> int:
        """Return the size of the key and the payload in bytes."""
        return len(self.payload) + len(self.key)

    def to_record(self) -> Record:
        """Create the record with its stamp; keeping it here would make a reference cycle."""
        return Record(self.head, self.payload, self)


class MemoryLease:
    """A lease within this process; see `aiocache_pe.backends.base.Lease`."""

    __slots__ = ("_key", "_leases", "version")

    def __init__(self, leases: dict[str, MemoryLease], key: str, version: str) -> None:
        self._leases = leases
        self._key = key
        self.version = version

    async def release(self) -> None:
        """See `Lease.release`; it does not wait."""
        if self._leases.get(self._key) is self:
            del self._leases[self._key]


class MemoryBackend:
    """A store that keeps its records in a dict and loses them with the process.

    Any thread or event loop may use it. A batch lets other tasks run between its entries. Expired
    entries are removed a few at each write, and in maintenance rounds.

    Args:
        max_entries: greatest number of entries; ``None`` for no limit.
        max_bytes: greatest memory of all entries, in bytes; ``None`` for no limit. The memory
            that each entry takes besides its key and payload counts from 64 KiB on. An entry with
            a longer key and payload is refused with a `BackendError`.
        policy: creates the policy that chooses the entries to evict; unused without bounds.
        clock: the manager's clock. Without one, only maintenance rounds remove expired entries,
            because `maintain` receives the time.

    Example:
        >>> import asyncio
        >>> asyncio.run(MemoryBackend(max_entries=1000).read(["default:k"]))
        {}
    """

    name = "memory"

    def __init__(
        self,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        policy: Callable[[], EvictionPolicy[StoredRecord]] = Fifo,
        clock: Clock | None = None,
    ) -> None:
        is_bounded = max_entries is not None or max_bytes is not None
        time = None if clock is None else clock.time
        # Reported after the change, because a subscriber may use the cache.
        self._evicted, self._expired = deque[StoredRecord](), deque[StoredRecord]()
        self._entries = BoundedMap[StoredRecord](
            policy() if is_bounded else Fifo(),
            max_entries=max_entries,
            max_bytes=None if max_bytes is None else max_bytes + _FREE_OVERHEAD,
            on_evict=self._evicted.append,
            expiry_buckets=ExpiryBuckets(attrgetter("head.removable_at"), time),
            on_expire=self._expired.append,
        )
        # Records of the library's own, such as tags and counters, are never evicted.
        self._internal_records = BoundedMap[StoredRecord](Fifo())
        self._max_bytes = max_bytes
        self._on_hit = self._entries.on_hit
        self._secret = os.urandom(32)
        self.on_evict: Callable[[Head], object] | None = None
        self.on_expire: Callable[[Head], object] | None = None
        self._is_round_over = False  # whether the step before this one was the last of its round
        self._leases: dict[str, MemoryLease] = {}
        self._generations = Generations()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Drop the leases: no computation of the parent runs in this process."""
        self._leases.clear()

    def __repr__(self) -> str:
        return f"MemoryBackend({len(self._entries.nodes)} entries)"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`."""
        found: dict[str, ReadResult] = {}
        for count, key in enumerate(keys, 1):
            record = self.peek(key)
            if record is not None:
                found[key] = record
            await checkpoint(count)
        return found

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        return await _put_all(partial(self._change, record.head.key, record) for record in records)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        removed: list[Head] = []
        for count, key in enumerate(keys, 1):
            records = self._choose_map(key)
            with get_free(records.lock):
                stored = records.nodes.get(key)
                if stored is not None and (only is None or only(stored.head)):
                    records.discard_locked(key)
                    removed.append(stored.head)
                if only is None:
                    self._supersede(key)
            await checkpoint(count)
        return removed

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`; atomic among threads."""
        records = self._choose_map(key)
        with get_free(records.lock):
            stored = records.nodes.get(key)
            before = None if stored is None else stored.to_record()
            after = change(before)
            if after is before:
                return before
            if after is None:
                records.discard_locked(key)
                self._supersede(key)
                return None
            if before is None or after.payload is not before.payload:
                self._supersede(key)
            changed = StoredRecord(after)
            self._put(changed)
        self._report_removals()
        return changed.to_record()

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`."""
        matches = compile_glob(pattern)
        nodes = iter(list(self._choose_map(prefix).nodes.values()))
        while batch := list(islice(nodes, _SCAN_BATCH)):
            yield [
                stored.head
                for stored in batch
                if stored.key.startswith(prefix)
                and (matches is None or matches(stored.key[len(prefix) :]))
            ]

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`."""
        records = self._choose_map(prefix)
        with get_free(records.lock):
            self._supersede_matching(prefix, None)
            return records.clear_locked(prefix)

    async def close(self) -> None:
        """Keep the entries: the store holds no other resource."""

    def is_current(self, stamp: StoredRecord) -> bool:
        """See `Coherent.is_current`; counts as a hit, because a hit follows."""
        key = stamp.key
        if self._entries.nodes.get(key) is stamp:
            stamp.hits += 1
            if self._on_hit is not None:
                self._on_hit(stamp)
            return True
        return self._internal_records.nodes.get(key) is stamp

    def peek(self, key: str) -> Record | None:
        """See `Peekable.peek`; it never returns `PENDING`."""
        stored = self._entries.nodes.get(key)
        if stored is None:
            stored = self._internal_records.nodes.get(key)
            return None if stored is None else stored.to_record()
        stored.hits += 1  # the memory tier does not see this hit
        if self._on_hit is not None:
            self._on_hit(stored)
        return stored.to_record()

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`."""
        nodes = list(self._choose_map(prefix).nodes.values())
        sizes = [node.content_size for node in nodes if node.key.startswith(prefix)]
        return len(sizes), sum(sizes)

    async def maintain(self, now: float) -> Sequence[Head] | None:
        """See `Maintainable.maintain`; a step that removes less than a batch ends the round."""
        if self._is_round_over:
            self._is_round_over = False
            return None

        removed = self._entries.expire(now, _MAINTENANCE_BATCH)
        self._is_round_over = 0 < len(removed) < _MAINTENANCE_BATCH
        return [stored.head for stored in removed] or None

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`."""
        for key, (hits, last_access) in usage.items():
            stored = self._choose_map(key).nodes.get(key)
            if stored is not None:
                stored.read_count += hits
                stored.last_access = last_access

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        stored = self._choose_map(key).nodes.get(key)
        return (0, None) if stored is None else (stored.read_count, stored.last_access)

    async def try_lease(self, key: str, version: str = "") -> MemoryLease | None:
        """See `Leasing.try_lease`; leases hold among the threads and loops of this process."""
        lease = MemoryLease(self._leases, key, version)
        held = self._leases.setdefault(key, lease)
        if held is not lease and held.version != version:
            # Two threads may do this at once; then both compute.
            self._leases[key] = held = lease
        return lease if held is lease else None

    def begin(self, key: str) -> Generation:
        """See `Generational.begin`."""
        return self._generations.begin(key)

    def is_raised(self, key: str, generation: Generation) -> bool:
        """See `Generational.is_raised`."""
        return generation.is_raised

    async def begin_and_read(
        self, keys: Sequence[str], *, supersede: bool = False
    ) -> tuple[Sequence[Generation], Mapping[str, ReadResult]]:
        """See `Generational.begin_and_read`."""
        if supersede:
            for key in keys:
                self._supersede(key)
        return [self.begin(key) for key in keys], await self.read(keys)

    async def write_computed(
        self, records: Sequence[Record], generations: Sequence[Generation]
    ) -> Sequence[Record | None]:
        """See `Generational.write_computed`."""
        pairs = zip(records, generations, strict=True)
        return await _put_all(partial(self._put_computed, *pair) for pair in pairs)

    async def invalidate(self, prefix: str, pattern: str) -> AsyncIterator[Sequence[Head]]:
        """See `Generational.invalidate`."""
        with get_free(self._choose_map(prefix).lock):
            self._supersede_matching(prefix, compile_glob(pattern))
        async for heads in self.scan(prefix, pattern):
            yield await self.delete([head.key for head in heads])

    async def secret(self) -> bytes:
        """See `SecretKeeper.secret`; known to this process only."""
        return self._secret

    def _choose_map(self, key: str) -> BoundedMap[StoredRecord]:
        return self._internal_records if is_internal_key(key) else self._entries

    def _change(self, key: str, record: Record) -> Record:
        """Store a record, and keep earlier computations from replacing it."""
        # Made before: an allocation may run a finalizer, which cannot change the store meanwhile.
        stored = StoredRecord(record)
        with get_free(self._choose_map(key).lock):
            self._supersede(key)
            self._put(stored)
        self._report_removals()
        return stored.to_record()

    def _put_computed(self, record: Record, generation: Generation) -> Record | None:
        stored = StoredRecord(record)
        with get_free(self._choose_map(stored.key).lock):
            is_raised = generation.is_raised
            if not is_raised:
                self._put(stored)
        self._report_removals()
        return None if is_raised else stored.to_record()

    def _report_removals(self) -> None:
        for removed, report in ((self._evicted, self.on_evict), (self._expired, self.on_expire)):
            with suppress(IndexError):
                while removed:
                    head = removed.popleft().head
                    if report is not None:
                        report(head)

    def _supersede(self, key: str) -> None:
        self._leases.pop(key, None)
        self._generations.raise_keys((key,))

    def _supersede_matching(self, prefix: str, matches: Callable[[str], object] | None) -> None:
        for key in list(self._leases):
            if key.startswith(prefix) and (matches is None or matches(key[len(prefix) :])):
                self._leases.pop(key, None)
        self._generations.raise_matching(prefix, matches)

    def _put(self, stored: StoredRecord) -> None:
        """Store a record under the lock."""
        records = self._choose_map(stored.key)
        replaced = records.nodes.get(stored.key)
        if replaced is not None:
            stored.hits = replaced.hits
        size = stored.content_size
        is_too_large = self._max_bytes is not None and size > self._max_bytes
        if is_too_large:
            records.discard_locked(stored.key)
        if is_too_large or not records.put_locked(stored):
            raise BackendError(f"an entry of {size} bytes exceeds max_bytes={self._max_bytes}")


def _compute_size(record: Record) -> int:
    """Return the memory that a stored record takes, in bytes."""
    head = record.head
    size = _OVERHEAD + getsizeof(head.key) + getsizeof(record.payload)
    if head.removable_at is not None:
        size += _EXPIRY_OVERHEAD
    return size + measure_texts(head.tags) if head.tags else size


async def _put_all(puts: Iterable[Callable[[], T]]) -> list[T]:
    """Store records one by one; raise the first error after the last record."""
    stored: list[T] = []
    errors: list[BackendError] = []
    for count, put in enumerate(puts, 1):
        try:
            stored.append(put())
        except BackendError as error:
            errors.append(error)
        await checkpoint(count)
    if errors:
        errors[0].done = stored
        raise errors[0]
    return stored
