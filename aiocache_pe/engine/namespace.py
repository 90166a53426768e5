"""One namespace of an engine: here hits are counted and the store's failures survived.

Everything that the public verbs, the decorator and the sync twin do goes through these
few methods. They speak store keys and seconds; checking what the user wrote is the
manager's part.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiocache_pe import events
from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Change, Lease
from aiocache_pe.engine.counters import Counters
from aiocache_pe.engine.engine import Engine, Item
from aiocache_pe.engine.memory_entry import EncodedValue, MemoryEntry
from aiocache_pe.exceptions import (
    CacheError,
    CorruptRecordError,
    SecretRequiredError,
    SerializationError,
)
from aiocache_pe.keys.store_keys import make_namespace_prefix
from aiocache_pe.record import Record
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.sentinels import MISSING, PENDING, Missing

logger = logging.getLogger("aiocache_pe")
_QUIET = 30.0  # seconds without a failure, after which a success is said to be a recovery
Hit = events.Hit  # one look fewer at every hit
T = TypeVar("T")


class Namespace:
    """A namespace's way through an engine.

    Args:
        engine: the engine, shared with other namespaces.
        namespace: the namespace's name.
        on_activity: called when there is something to report that was not before.
    """

    def __init__(self, engine: Engine, namespace: str, on_activity: Callable[[], None]) -> None:
        self.engine = engine
        self.namespace = namespace
        self.prefix = make_namespace_prefix(namespace)
        self.monotonic = engine.clock.monotonic
        self.counters = Counters(on_activity)
        self._find = engine.peek
        self._value = engine.decode
        self._wanted = engine.events.subscribed
        self._failing: dict[str, float] = {}  # verbs, and when each failed last

    def peek(self, key: str) -> Any:
        """The value of a store key, as far as that can be told without waiting.

        A hit is counted; a miss is not, for it may yet be computed by somebody else.

        Returns:
            The value, `MISSING`, or `PENDING`: ask `load`.
        """
        try:
            slot = self._find(key)
        except Exception as error:  # a store's own `peek`
            self.count_failure("peek", error)
            return PENDING
        if type(slot) is not MemoryEntry:
            return slot
        value = slot.held
        if type(value) is EncodedValue:
            try:
                value = self._value(slot)
            except CacheError:
                return PENDING
        slot.hits = uses = slot.hits + 1
        if uses - slot.counted == 1:
            self.counters.note_use(slot)
        if Hit in self._wanted:
            self.emit(Hit, key)
        return value

    async def get(self, key: str) -> Any:
        """The value of a store key, or `MISSING`; a hit is counted, a miss is not."""
        value = self.peek(key)
        return (await self.get_many([key])).get(key, MISSING) if value is PENDING else value

    async def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those store keys that are live, in one round trip; hits are counted."""
        values: dict[str, Any] = {}
        for count, (key, slot) in enumerate((await self.get_entries(keys)).items(), 1):
            try:
                value = self._value(slot)
            except Exception:  # what can be done about it is known there
                value = await self.decode(slot)
            if value is not MISSING:
                self._hit(slot)
                values[key] = value
            await checkpoint(count)
        return values

    async def get_entry(self, key: str, *, stale: bool = False) -> MemoryEntry | None:
        """The live entry of a store key, as it is kept in memory; not counted as a read.

        Args:
            key: the store key.
            stale: whether one will do that is expired and may be served stale.
        """
        try:
            found = self._find(key, stale=stale)
        except Exception as error:
            self.count_failure("peek", error)
            found = PENDING
        if found is PENDING:
            return (await self.get_entries([key], stale=stale)).get(key)
        return found if isinstance(found, MemoryEntry) else None

    async def serve(self, slot: MemoryEntry) -> Any:
        """The value of an entry, counted as a hit, also where it is stale; or `MISSING`."""
        value = await self.decode(slot)
        if value is not MISSING:
            self._hit(slot)
        return value

    async def get_entries(
        self, keys: Sequence[str], *, stale: bool = False
    ) -> dict[str, MemoryEntry]:
        """The slots of those store keys that are live, in one round trip; nothing is counted."""
        work = self.engine.get_entries(keys, stale=stale)
        slots, errors = await self.attempt("read", work, ({}, []))
        for error in errors:
            self.count_failure("entry", error)
        if slots and not errors:
            self._recovered("entry")
        return slots

    def count_miss(self, key: str, count: int = 1) -> None:
        """Count a read that found nothing."""
        self.counters.add("misses", count)
        self.emit(events.Miss, key)

    def count_hit(self, key: str) -> None:
        """Count a read that was served without a slot."""
        self.counters.add("hits")
        self.emit(events.Hit, key)

    async def put(self, items: Sequence[Item]) -> list[MemoryEntry] | None:
        """Store values, in one round trip.

        Returns:
            Their slots, or ``None`` when the store failed.

        Raises:
            SerializationError: a value cannot be stored exactly; nothing was stored.
        """

        async def work() -> list[MemoryEntry]:
            now = self.engine.clock.time()  # one for all, so that they end as one
            records = [await self.engine.make_record(item, now) for item in items]
            return await self._written(records)

        return await self.attempt("write", work(), None)

    async def put_storable(self, items: Sequence[Item]) -> set[str]:
        """Store values, in one round trip, but for those that cannot be stored exactly.

        These are counted as errors. The loop has a turn between some hundred values.

        Returns:
            The keys of those that were stored.
        """

        async def work() -> set[str]:
            records, now = list[Record](), self.engine.clock.time()
            for count, item in enumerate(items, 1):
                try:
                    records.append(await self.engine.make_record(item, now))
                except SerializationError as error:
                    self.count_failure("encode", error)
                await checkpoint(count)
            slots = await self._written(records) if records else []
            return {slot.key for slot in slots}

        return await self.attempt("write", work(), set())

    async def update(self, key: str, change: Change) -> Record | None:
        """`Engine.update`, with the errors of the store left to rise."""
        before: list[Record | None] = [None]

        def noted(record: Record | None) -> Record | None:
            before[0] = record
            return change(record)

        stored = await self.engine.update(key, noted)
        if stored is not None and stored is not before[0]:
            self._stored([stored])
        return stored

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries, in one round trip; how many live ones there were."""
        self.engine.discard(keys)
        heads = await self.attempt("delete", self.engine.backend.delete(keys), ())
        live = await self.attempt("delete", self.engine.select_live(heads), {})
        self.count_removed("deleted", len(live), key=keys[0] if len(keys) == 1 else "")
        return len(live)

    def count_removed(self, cause: events.Cause, count: int, *, key: str = "") -> None:
        """Count entries that went away."""
        names: Mapping[str, str] = {"expired": "expirations", "evicted": "evictions"}
        if count:
            self.counters.add(names.get(cause, "deletes"), count)
            self.emit(events.Removed, key, cause, count)

    async def decode_record(self, record: Record) -> Any | Missing:
        """A record's value, as `decoded` gives a slot's."""
        return await self.decode(MemoryEntry(record))

    async def decode(self, slot: MemoryEntry) -> Any | Missing:
        """An entry's value, the caller's own; `MISSING` and counted if it has none to give."""
        try:
            try:
                return self.engine.decode(slot)
            except SecretRequiredError:
                if not await self.engine.load_secret():
                    raise
                return self.engine.decode(slot)
        except Exception as error:
            self.count_failure("decode", error)
            self.engine.discard([slot.key])
            return MISSING

    async def try_lease(self, key: str) -> Lease | None:
        """Return the lease of a store key, or ``None`` while another caller holds it.

        A store that has no leases, or fails to give one, keeps no caller waiting.
        """
        work = capabilities.try_lease(self.engine.backend, key)
        return await self.attempt("lease", work, capabilities.FREE_LEASE)

    async def attempt(self, verb: str, work: Awaitable[T], otherwise: T) -> T:
        """Do something with the store; if it fails, count that and go on without.

        Counted is each failure, logged is a verb's first; and its first success when it
        has not failed for a while. On a full disk small writes and large ones take turns
        in succeeding and failing, and a log that told each would fill what is left of it.
        """
        try:
            result = await work
        except SerializationError:
            raise
        except Exception as error:
            self.count_failure(verb, error)
            return otherwise
        self._recovered(verb)
        return result

    def count_failure(self, verb: str, error: Exception) -> None:
        """Count a failure of the store, or a record that could not be trusted."""
        # A report that failed must not bring about the next: it would fail as well.
        self.counters.add("errors", report=verb != "stats")
        self.emit(events.BackendFailed, "", verb, error)
        if isinstance(error, CorruptRecordError):
            logger.warning("a damaged record is treated as a miss: %s", error)
            return
        known = verb in self._failing
        self._failing[verb] = self.engine.clock.monotonic()
        if not known:
            logger.warning(
                "store %s of namespace %r fails (%s: %s: %s); calls go on without it, and "
                "further failures are counted, not logged",
                *(self._store, self.namespace, verb, type(error).__name__, error),
            )

    def emit(self, kind: type[events.Event], key: str, *details: Any) -> None:
        """Tell of an event, if anybody wants to know."""
        if kind in self._wanted:
            plain = key[len(self.prefix) :]
            self.engine.events.emit(kind(self.namespace, plain, *details))

    @property
    def _store(self) -> str:
        return self.engine.backend.name

    def _recovered(self, verb: str) -> None:
        failed_at = self._failing.get(verb)
        if failed_at is not None and self.engine.clock.monotonic() - failed_at >= _QUIET:
            self._failing.pop(verb, None)
            logger.warning(
                "store %s of namespace %r works again (%s)", self._store, self.namespace, verb
            )

    def _hit(self, slot: MemoryEntry) -> None:
        slot.hits += 1
        if slot.hits - slot.counted == 1:
            self.counters.note_use(slot)
        if events.Hit in self._wanted:
            self.emit(events.Hit, slot.key)

    async def _written(self, records: Sequence[Record]) -> list[MemoryEntry]:
        slots = await self.engine.write(records)
        self._stored(records)
        return slots

    def _stored(self, records: Sequence[Record]) -> None:
        self.counters.add("sets", len(records))
        if events.Stored in self._wanted:
            for record in records:
                self.emit(events.Stored, record.head.key, record.head.size)
