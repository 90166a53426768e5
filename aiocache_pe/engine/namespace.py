"""Namespace of an engine: counts its reads and writes, and handles failures of the store.

The public operations, the decorators and the blocking manager all use these few methods. They
take store keys and seconds; callers have checked the user's arguments already.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiocache_pe import events
from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Change, Check, Examinable, Lease, Located
from aiocache_pe.codecs.base import LargePayloadError
from aiocache_pe.engine.counters import Counters
from aiocache_pe.engine.engine import Engine, Item
from aiocache_pe.engine.memory_entry import EncodedValue, MemoryEntry
from aiocache_pe.exceptions import (
    BackendError,
    CorruptRecordError,
    SecretRequiredError,
    SerializationError,
)
from aiocache_pe.keys.store_keys import make_namespace_prefix
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.runtime.wait_graph import WaitNode
from aiocache_pe.sentinels import MISSING, PENDING, Missing

logger = logging.getLogger("aiocache_pe")
_RECOVERY_SECONDS = 30.0  # without a failure; only then is a success logged as a recovery
_MAX_REASONS = 100  # of results that are not stored; more reasons are not logged
Hit = events.Hit  # saves an attribute lookup at every hit
T = TypeVar("T")


class Namespace:
    """One namespace of an engine.

    Attributes:
        engine: the engine, shared with other namespaces.
        name: the name of the namespace.
        prefix: the beginning of all its store keys.
        time, monotonic: the clock's functions.
        counters: its counters in this process.
        lease_holders: the computations of this process that hold a lease, by store key.
    """

    def __init__(self, engine: Engine, name: str, on_activity: Callable[[], None]) -> None:
        self.engine = engine
        self.name = name
        self.prefix = make_namespace_prefix(name)
        self.time = engine.clock.time
        self.monotonic = engine.clock.monotonic
        self.counters = Counters(on_activity)
        self.lease_holders: dict[str, WaitNode] = {}
        self._peek_entry = engine.peek
        self._decode = engine.decode
        self._subscribed = engine.events.subscribed
        self._failed_policies = set[str]()
        self._failed_at: dict[str, float] = {}  # the last failure of each operation

    # Reads

    def peek(self, key: str) -> Any:
        """Return the value of a store key if that needs no waiting.

        A hit is counted. A miss is not, because another caller may be computing the value.

        Returns:
            The value, `MISSING`, or `PENDING`; then `get` is the next step.
        """
        try:
            entry = self._peek_entry(key)
        except Exception as error:  # the store's own `peek`
            self.count_failure("peek", error)
            return PENDING
        if type(entry) is not MemoryEntry:
            return entry

        value = entry.content
        if type(value) is EncodedValue:
            try:
                value = self._decode(entry)
            except Exception:  # `get` reports it
                return PENDING

        entry.hits = hits = entry.hits + 1
        if hits - entry.counted_hits == 1:
            self.counters.note_first_hit(entry)
        if Hit in self._subscribed:
            self.emit(Hit, key)
        return value

    async def get(self, key: str) -> Any:
        """Return the value of a store key, or `MISSING`; a hit is counted, a miss is not."""
        value = self.peek(key)
        return (await self.get_many([key])).get(key, MISSING) if value is PENDING else value

    async def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the values of live entries, read in one round trip; hits are counted."""
        values: dict[str, Any] = {}
        for count, (key, entry) in enumerate((await self.get_entries(keys)).items(), 1):
            try:
                value = self._decode(entry)
            except Exception:  # loads the secret and tries again, or counts the failure
                value = await self.decode(entry)
            if value is not MISSING:
                self._count_entry_hit(entry)
                values[key] = value
            await checkpoint(count)
        return values

    async def get_entry(self, key: str, *, stale: bool = False) -> MemoryEntry | None:
        """Return the live or, with ``stale``, the expired entry of a store key; uncounted."""
        try:
            entry = self._peek_entry(key, stale=stale)
        except Exception as error:
            self.count_failure("peek", error)
            entry = PENDING
        if entry is PENDING:
            return (await self.get_entries([key], stale=stale)).get(key)
        return entry if isinstance(entry, MemoryEntry) else None

    async def get_entries(
        self, keys: Sequence[str], *, stale: bool = False
    ) -> dict[str, MemoryEntry]:
        """Return the live entries of store keys, read in one round trip; no read is counted."""
        work = self.engine.get_entries(keys, stale=stale)
        entries, errors = await self.attempt("read", work, ({}, []))
        for error in errors:
            self.count_failure("entry", error)
        if entries and not errors:
            self._note_success("entry")
        return entries

    async def get_head(self, key: str) -> Head | None:
        """Return the head of a stored record, live or not; the read is not counted."""
        results = await self.attempt("read", self.engine.backend.read([key]), {})
        record = results.get(key)
        return record.head if isinstance(record, Record) else None

    async def serve(self, entry: MemoryEntry) -> Any:
        """Return the value of an entry, live or stale, and count a hit; `MISSING` without one."""
        value = await self.decode(entry)
        if value is not MISSING:
            self._count_entry_hit(entry)
        return value

    async def decode(self, entry: MemoryEntry) -> Any | Missing:
        """Return the value of an entry; the caller may change it.

        A value that cannot be decoded is `MISSING`, and the failure is counted.
        """
        try:
            try:
                return await self._decode_anywhere(entry)
            except SecretRequiredError:
                if not await self.engine.load_secret():
                    raise
                return await self._decode_anywhere(entry)
        except Exception as error:
            self.count_failure("decode", error)
            self.engine.discard([entry.key])
            return MISSING

    async def _decode_anywhere(self, entry: MemoryEntry) -> Any:
        try:
            return self._decode(entry)
        except LargePayloadError:
            return await self.engine.decode_in_thread(entry)

    # Writes

    async def put(self, items: Sequence[Item]) -> list[MemoryEntry] | None:
        """Store values in one round trip.

        Returns:
            Their entries, or ``None`` if the store failed.

        Raises:
            SerializationError: a value cannot be stored exactly; no value is stored.
        """

        async def work() -> list[MemoryEntry]:
            now = self.time()  # one time for all, so that they expire together
            records: list[Record] = []
            for count, item in enumerate(items, 1):
                records.append(await self.engine.make_record(item, now))
                await checkpoint(count)
            return await self._write(records)

        return await self.attempt("write", work(), None)

    async def put_storable(self, items: Sequence[Item]) -> set[str]:
        """Store values, except those that cannot be stored exactly or that the store refuses.

        The exceptions are counted as errors. Other tasks run after every few hundred values.

        Returns:
            The store keys of the values that are stored.
        """

        async def work() -> set[str]:
            records, now = list[Record](), self.time()
            for count, item in enumerate(items, 1):
                try:
                    records.append(await self.engine.make_record(item, now))
                except SerializationError as error:
                    self.count_failure("encode", error)
                await checkpoint(count)
            try:
                entries = await self._write(records) if records else []
            except BackendError as error:
                self.count_failure("write", error)
                return {record.head.key for record in error.done}
            return {entry.key for entry in entries}

        return await self.attempt("write", work(), set())

    async def update(self, key: str, change: Change) -> Record | None:
        """Change an entry by `Engine.update`, and count a write.

        Raises:
            BackendError: the store failed.
        """
        seen: list[Record | None] = [None]

        def change_and_note(record: Record | None) -> Record | None:
            seen[0] = record
            return change(record)

        stored = await self.engine.update(key, change_and_note)
        if stored is not None and stored is not seen[0]:
            self._count_stored([stored])
        return stored

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries in one round trip, and return the number of live ones."""
        for count, key in enumerate(keys, 1):
            self.engine.discard([key])
            await checkpoint(count)
        try:
            heads = await self.engine.backend.delete(keys)
        except Exception as error:
            self.count_failure("delete", error)
            heads = getattr(error, "done", ())
        live = await self.attempt("delete", self.engine.select_live(heads), {})
        self.count_removed("deleted", len(live), key=keys[0] if len(keys) == 1 else "")
        return len(live)

    async def renew_tags(self, tags: Sequence[str]) -> bool:
        """Invalidate all entries that carry one of the tags; return ``False`` on failure."""
        work = self.engine.renew_tags(self.prefix, tags)
        return await self.attempt("write", work, None) is not None

    # The store

    @property
    def store_name(self) -> str:
        """Return the name of the store, for messages."""
        return self.engine.backend.name

    async def try_lease(self, key: str) -> Lease | None:
        """Return the lease of a store key, or ``None`` while another caller holds it.

        A store that has no leases, or fails to give one, keeps no caller waiting.
        """
        work = capabilities.try_lease(self.engine.backend, key)
        return await self.attempt("lease", work, capabilities.FREE_LEASE)

    async def get_usage(self, key: str) -> tuple[int, float | None]:
        """Return the hits of an entry over all processes, and its last access if it is known."""
        work = capabilities.usage(self.engine.backend, key)
        return await self.attempt("usage", work, (0, None))

    async def add_usage(self, usage: Mapping[str, tuple[int, float]]) -> None:
        """Write hits and last accesses to the store, by store key."""
        await self.attempt("usage", capabilities.add_usage(self.engine.backend, usage), None)

    async def examine(self) -> Sequence[Check]:
        """Return the results of the store's checks of itself; none if it has no checks."""
        store = self.engine.backend
        return await store.examine() if isinstance(store, Examinable) else ()

    def location(self, key: str) -> str | None:
        """Return the location of an entry in the store, such as a path, if it has one."""
        store = self.engine.backend
        return store.location(key) if isinstance(store, Located) else None

    async def attempt(self, verb: str, work: Awaitable[T], otherwise: T) -> T:
        """Await an operation of the store, and continue without its result if it fails.

        Every failure is counted. Logged are an operation's first failure, and its first success
        after some time without a failure. On a full disk, small writes succeed and large writes
        fail in turn, and a log line for each would fill the rest of the disk.

        Args:
            verb: the name of the operation, for events and the log.
            work: the operation.
            otherwise: the result if it fails.

        Raises:
            SerializationError: a value cannot be stored; the store has not failed.
        """
        try:
            result = await work
        except SerializationError:
            raise
        except Exception as error:
            self.count_failure(verb, error)
            return otherwise
        self._note_success(verb)
        return result

    # Counters and events

    def count_hit(self, key: str) -> None:
        """Count a hit of a caller that received the value without an entry."""
        self.counters.add("hits")
        self.emit(events.Hit, key)

    def count_miss(self, key: str, count: int = 1) -> None:
        """Count a read that found no live entry."""
        self.counters.add("misses", count)
        self.emit(events.Miss, key)

    def count_removed(self, cause: events.Cause, count: int, *, key: str = "") -> None:
        """Count entries that were removed; ``key`` is the store key of a single one."""
        names: Mapping[str, str] = {"expired": "expirations", "evicted": "evictions"}
        if count:
            self.counters.add(names.get(cause, "deletes"), count)
            self.emit(events.Removed, key, cause, count)

    def count_failure(self, verb: str, error: Exception) -> None:
        """Count a failure of the store, or a record that cannot be trusted."""
        # A failed report must not schedule the next report, which would fail as well.
        self.counters.add("errors", report=verb != "stats")
        self.emit(events.BackendFailed, "", verb, error)
        if isinstance(error, CorruptRecordError):
            logger.warning(
                "store %s of namespace %r: a damaged record is treated as a miss: %s",
                *(self.store_name, self.name, error),
            )
            return
        is_logged = verb in self._failed_at
        self._failed_at[verb] = self.monotonic()
        if not is_logged:
            logger.log(
                logging.ERROR if getattr(error, "is_misconfigured", False) else logging.WARNING,
                "store %s of namespace %r fails (%s: %s: %s); calls continue without it, and "
                "further failures are counted, not logged",
                *(self.store_name, self.name, verb, type(error).__name__, error),
            )

    def report_unstored(self, key: str, error: Exception) -> None:
        """Log once that results are not stored, because a function of their options failed."""
        reason = f"{type(error).__name__}: {error}"
        if reason not in self._failed_policies and len(self._failed_policies) < _MAX_REASONS:
            self._failed_policies.add(reason)
            logger.warning(
                "result of key %r in namespace %r is not stored, because a function given as ttl= "
                "or cache_if= failed (%s); the caller gets the result, and further failures of "
                "this kind are counted, not logged",
                *(key[len(self.prefix) :], self.name, reason),
            )

    def emit(self, kind: type[events.Event], key: str, *details: Any) -> None:
        """Deliver an event to its subscribers, if there are any."""
        if kind in self._subscribed:
            user_key = key[len(self.prefix) :]
            self.engine.events.emit(kind(self.name, user_key, *details))

    def _note_success(self, verb: str) -> None:
        failed_at = self._failed_at.get(verb)
        if failed_at is not None and self.monotonic() - failed_at >= _RECOVERY_SECONDS:
            self._failed_at.pop(verb, None)
            store = self.store_name
            logger.warning("store %s of namespace %r works again (%s)", store, self.name, verb)

    def _count_entry_hit(self, entry: MemoryEntry) -> None:
        entry.hits += 1
        if entry.hits - entry.counted_hits == 1:
            self.counters.note_first_hit(entry)
        if Hit in self._subscribed:
            self.emit(Hit, entry.key)

    async def _write(self, records: Sequence[Record]) -> list[MemoryEntry]:
        try:
            entries = await self.engine.write(records)
        except BackendError as error:
            self._count_stored(error.done)
            raise
        self._count_stored(records)
        return entries

    def _count_stored(self, records: Sequence[Record]) -> None:
        self.counters.add("sets", len(records))
        if events.Stored in self._subscribed:
            for record in records:
                self.emit(events.Stored, record.head.key, record.head.size)
