"""The store in the process itself, bounded if asked, gone with the process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from aiocache_pe.backends.base import Change, Condition, ReadResult
from aiocache_pe.clock import Clock
from aiocache_pe.eviction.base import EvictionPolicy
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.eviction.fifo import Fifo
from aiocache_pe.exceptions import BackendError
from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.keys.store_keys import is_side
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.fork import reset_after_fork

_BATCH = 1000
_STEP = 256  # entries that a step of a round removes: half a millisecond


class StoredRecord:
    """A record in memory; records given out carry their cell as the stamp."""

    __slots__ = (
        *("head", "hits", "key", "last", "payload", "reads", "size"),
        *("next", "policy_state", "previous", "queue"),
    )

    def __init__(self, record: Record) -> None:
        self.head = record.head
        self.payload = record.payload
        self.key = record.head.key
        self.size = len(record.payload) + len(self.key)
        self.hits = 0
        self.queue: Any = None
        self.previous: Any = None
        self.next: Any = None
        self.policy_state = 0
        self.reads = 0
        self.last: float | None = None

    def record(self) -> Record:
        """The record, stamped. Made anew each time: kept here it would be a cycle."""
        return Record(self.head, self.payload, self)


class MemoryLease:
    """A note that somebody in this process computes; see `protocols.Lease`."""

    __slots__ = ("_held", "_key")

    def __init__(self, held: dict[str, MemoryLease], key: str) -> None:
        self._held = held
        self._key = key

    @property
    def is_lost(self) -> bool:
        """Whether it is a forking parent's."""
        return self._held.get(self._key) is not self

    async def release(self) -> None:
        """See `Lease.release`; it does not wait."""
        if not self.is_lost:
            del self._held[self._key]


class MemoryBackend:
    """Records in a dict. Nothing in it waits, and any thread or loop may use it.

    What nobody may be served any more is removed at writes, a few at each, and in rounds.

    Args:
        max_entries: how many entries at most; ``None`` for any number.
        max_bytes: what keys and payloads may weigh together; ``None`` for any weight. One
            that alone is heavier is refused with a `BackendError`.
        policy: makes the policy that chooses what goes; without bounds, nothing has to.
        clock: the time, that of the manager. Without one, what is over is only removed in
            rounds (`tend`), for which the manager tells the time.

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
        self._cells = BoundedMap(
            policy() if is_bounded else Fifo(),
            max_entries=max_entries,
            max_bytes=max_bytes,
            on_evict=self._evicted,
            expiry_buckets=ExpiryBuckets(_gone_at, None if clock is None else clock.time),
            on_expire=self._expired,
        )
        self._max_bytes = max_bytes
        self._side = BoundedMap[StoredRecord](
            Fifo()
        )  # what the library keeps for itself is never evicted
        self._hit = self._cells.on_hit
        self._secret = os.urandom(32)
        self.on_evict: Callable[[Head], object] | None = None
        self.on_expire: Callable[[Head], object] | None = None
        self._is_tended = False  # whether the round that is under way has nothing left to do
        self._leases: dict[str, MemoryLease] = {}
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Lease anew: who computed in the parent does not compute here."""
        self._leases.clear()

    def __repr__(self) -> str:
        return f"MemoryBackend({len(self._cells.nodes)} entries)"

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        """See `Backend.read`."""
        return {key: record for key in keys if (record := self.peek(key)) is not None}

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `Backend.write`."""
        stored: list[Record] = []
        refused: list[BackendError] = []
        for record in records:
            try:
                stored.append(self._put(record))
            except BackendError as error:
                refused.append(error)
        if refused:
            raise refused[0]
        return stored

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        """See `Backend.delete`."""
        removed: list[Head] = []
        for key in keys:
            place = self._place(key)
            with place.lock:
                cell = place.nodes.get(key)
                if cell is not None and (only is None or only(cell.head)):
                    place.discard(key)
                    removed.append(cell.head)
        return removed

    async def update(self, key: str, change: Change) -> Record | None:
        """See `Backend.update`; atomic among threads."""
        place = self._place(key)
        with place.lock:
            cell = place.nodes.get(key)
            before = None if cell is None else cell.record()
            after = change(before)
            if after is None:
                place.discard(key)
                return None
            return before if after is before else self._put(after)

    async def scan(self, prefix: str, pattern: str | None = None) -> AsyncIterator[Sequence[Head]]:
        """See `Backend.scan`."""
        matches = compile_glob(pattern)
        place = self._place(prefix)
        with place.lock:
            cells = iter(list(place.nodes.values()))
        while batch := list(islice(cells, _BATCH)):
            yield [
                cell.head
                for cell in batch
                if cell.key.startswith(prefix)
                and (matches is None or matches(cell.key[len(prefix) :]))
            ]

    async def clear(self, prefix: str) -> int:
        """See `Backend.clear`."""
        return self._place(prefix).clear(prefix)

    async def close(self) -> None:
        """Nothing is held but memory; the entries stay."""

    def is_current(self, stamp: StoredRecord) -> bool:
        """See `Coherent.is_current`. Who asks is about to hit, so it counts as a use."""
        key = stamp.key
        if self._cells.nodes.get(key) is stamp:
            stamp.hits += 1
            if self._hit is not None:
                self._hit(stamp)
            return True
        return self._side.nodes.get(key) is stamp

    def peek(self, key: str) -> Record | None:
        """See `Peekable.peek`: always at once."""
        cell = self._cells.nodes.get(key)
        if cell is None:
            cell = self._side.nodes.get(key)
            return None if cell is None else cell.record()
        cell.hits += 1  # a hit past the memory tier, which only sees what it holds
        if self._hit is not None:
            self._hit(cell)
        return cell.record()

    async def totals(self, prefix: str) -> tuple[int, int]:
        """See `Sized.totals`."""
        place = self._place(prefix)
        with place.lock:
            sizes = [cell.size for key, cell in place.nodes.items() if key.startswith(prefix)]
        return len(sizes), sum(sizes)

    async def maintain(self, now: float) -> Sequence[Head] | None:
        """See `Maintainable.tend`; a step that finds less than it may remove is the last."""
        if self._is_tended:
            self._is_tended = False
            return None
        gone = self._cells.expire(now, _STEP)
        self._is_tended = 0 < len(gone) < _STEP
        return [cell.head for cell in gone] or None

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """See `Usage.add_usage`."""
        for key, (hits, last) in usage.items():
            cell = self._place(key).nodes.get(key)
            if cell is not None:
                cell.reads += hits
                cell.last = last

    async def usage(self, key: str) -> tuple[int, float | None]:
        """See `Usage.usage`."""
        cell = self._place(key).nodes.get(key)
        return (0, None) if cell is None else (cell.reads, cell.last)

    async def try_lease(self, key: str) -> MemoryLease | None:
        """See `Leasing.try_lease`: among the threads and event loops of this process."""
        lease = MemoryLease(self._leases, key)
        return lease if self._leases.setdefault(key, lease) is lease else None

    async def secret(self) -> bytes:
        """See `SecretKeeper.secret`: known to this process only."""
        return self._secret

    def _place(self, key: str) -> BoundedMap[StoredRecord]:
        return self._side if is_side(key) else self._cells

    def _put(self, record: Record) -> Record:
        cell = StoredRecord(record)
        place = self._place(cell.key)
        before = place.nodes.get(cell.key)
        if before is not None:
            cell.hits = before.hits
        if not place.put(cell):
            raise BackendError(f"an entry of {cell.size} bytes exceeds max_bytes={self._max_bytes}")
        return cell.record()

    def _evicted(self, cell: StoredRecord) -> None:
        if self.on_evict is not None:
            self.on_evict(cell.head)

    def _expired(self, cell: StoredRecord) -> None:
        if self.on_expire is not None:
            self.on_expire(cell.head)


def _gone_at(cell: StoredRecord) -> float | None:
    return cell.head.removable_at
