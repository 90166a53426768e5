"""Namespace of an engine: counts its reads and writes, and handles failures of the store.

The public operations, the decorators and the blocking manager all use these few methods. They
take store keys and seconds; callers have checked the user's arguments already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from msgspec.structs import astuple

from aiocache_pe import events
from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Change, Check, Examinable, Lease, Located
from aiocache_pe.engine.computation import Computation
from aiocache_pe.engine.counters import Counters
from aiocache_pe.engine.engine import Engine, Item, PeekResult
from aiocache_pe.engine.failure_log import FailureLog
from aiocache_pe.engine.memory_entry import EncodedValue, MemoryEntry
from aiocache_pe.exceptions import (
    BackendError,
    ChangedClassError,
    CorruptRecordError,
    LargePayloadError,
    SecretRequiredError,
    SerializationError,
    StoreUnavailableError,
)
from aiocache_pe.keys.store_keys import make_namespace_prefix
from aiocache_pe.record import Head, Record, Savings
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.runtime.loops import checkpoint, get_loop, slice_batch
from aiocache_pe.runtime.wait_graph import WaitNode
from aiocache_pe.sentinels import MISSING, PENDING, Missing

_UNCOUNTED = frozenset(("stats", "totals"))  # operations of `get_stats`
Hit = events.Hit  # saves an attribute lookup at every hit
T = TypeVar("T")


class Namespace:
    """One namespace of an engine.

    Attributes:
        engine: the engine, shared with other namespaces.
        name: the name of the namespace.
        prefix: the beginning of all its store keys.
        store_name: the name of the store, for messages and events.
        time, monotonic: the clock's functions.
        counters: its counters in this process.
        lease_holders: the computations of this process that hold a lease, by store key.
        lock_holders: the locks of users that this process holds, by store key.
        failure_log: its log lines about failures.
    """

    def __init__(self, engine: Engine, name: str, on_activity: Callable[[], None]) -> None:
        self.engine = engine
        self.name = name
        self.prefix = make_namespace_prefix(name)
        self.store_name = engine.backend.name
        self.time = engine.clock.time
        self.monotonic = engine.clock.monotonic
        self.counters = Counters(on_activity)
        self.lease_holders: dict[str, WaitNode] = {}
        self.lock_holders: dict[str, Any] = {}
        self._peek_entry = engine.peek
        self._decode = engine.decode
        self._subscribed = engine.events.subscribed
        self._check_log_level = engine.debug_log.check_level
        self.failure_log = FailureLog(engine.backend.name, name, self.monotonic)

    # Reads

    def peek(self, key: str) -> Any:
        """Return the value of a store key if that needs no waiting.

        A hit is counted. A miss is not, because another caller may be computing the value.

        Returns:
            The value, `MISSING`, or `PENDING`; then `get` is the next step.
        """
        watch = self._watch_peek(key) if Hit in self._subscribed else None
        try:
            entry = self._peek_entry(key)
        except Exception as error:  # the store's own `peek`
            raise_interrupt(error)
            self.count_failure("peek", error)
            return PENDING
        if type(entry) is not MemoryEntry:
            return entry

        value = entry.content
        if type(value) is EncodedValue:
            try:
                value = self._decode(entry)
            except Exception as error:  # `get` reports it
                raise_interrupt(error)
                return PENDING

        entry.hits = hits = entry.hits + 1
        if hits - entry.counted_hits == 1:
            self.counters.note_first_hit(entry)
            self._check_log_level()
        if watch is not None:
            self._emit_hit(entry, *watch)
        return value

    async def get(self, key: str, computation: Computation | None = None) -> Any:
        """Return the value of a store key, or `MISSING`; a hit is counted, a miss is not.

        Args:
            key: the store key.
            computation: the computation of the key, which begins now; ``None`` for a mere read.
        """
        if computation is not None:
            computation.begin()
        value = self.peek(key)
        begun = () if computation is None or not computation.is_pending else (computation,)
        if value is PENDING or (value is MISSING and begun):
            return (await self.get_many([key], begun)).get(key, MISSING)
        return value

    async def get_many(
        self, keys: Sequence[str], computations: Sequence[Computation] = ()
    ) -> dict[str, Any]:
        """Return the values of live entries, as `get_entries` reads them; hits are counted.

        Args:
            keys: the store keys.
            computations: the computations of the same keys, which begin now.
        """
        values: dict[str, Any] = {}
        watches = {key: self._watch_peek(key) for key in keys if Hit in self._subscribed}
        entries = await self.get_entries(keys, computations=computations)
        for count, (key, entry) in enumerate(entries.items(), 1):
            try:
                value = self._decode(entry)
            except Exception:  # loads the secret and tries again, or counts the failure
                value = await self.decode(entry)
            if value is not MISSING:
                self._count_entry_hit(entry)
                if watches:
                    self._emit_hit(entry, *watches[key])
                values[key] = value
            await checkpoint(count)
        return values

    async def get_entry(
        self, key: str, *, stale: bool = False, computation: Computation | None = None
    ) -> MemoryEntry | None:
        """Return the live or, with ``stale``, the expired entry of a store key; uncounted.

        The computation of the key begins now if it is given.
        """
        if computation is not None:
            computation.begin()
        begun = () if computation is None or not computation.is_pending else (computation,)
        entry = PENDING if begun else self.peek_entry(key, stale=stale)
        if entry is PENDING:
            return (await self.get_entries([key], stale=stale, computations=begun)).get(key)
        return entry if isinstance(entry, MemoryEntry) else None

    def peek_entry(self, key: str, *, stale: bool = False) -> PeekResult:
        """Return the entry of a store key if that needs no waiting; see `Engine.peek`."""
        try:
            return self._peek_entry(key, stale=stale)
        except Exception as error:  # the store's own `peek`
            self.count_failure("peek", error)
            return PENDING

    async def get_entries(
        self,
        keys: Sequence[str],
        *,
        stale: bool = False,
        computations: Sequence[Computation] = (),
    ) -> dict[str, MemoryEntry]:
        """Return the live entries of store keys; no read is counted.

        One round trip, and one for each slice of a large batch. The arguments are those of
        `Engine.get_entries`.
        """
        entries: dict[str, MemoryEntry] = {}
        parts = zip(slice_batch(keys), slice_batch(computations), strict=True)
        for part, begun in parts if computations else ((part, ()) for part in slice_batch(keys)):
            work = self.engine.get_entries(part, stale=stale, computations=begun)
            found = await self.attempt("read", work, None)
            if found is None:  # each further slice would wait for the store again
                break
            for error in found[1]:
                self.count_failure("entry", error)
            if found[0] and not found[1]:
                self.failure_log.note_success("entry")
            entries |= found[0]
        return entries

    def make_computation(self, key: str, tags: Sequence[str] = ()) -> Computation:
        """Return a computation of a store key that begins now; see `begin_all`."""
        return Computation(self.engine, key, tags)

    async def begin_all(
        self, computations: Sequence[Computation], *, supersede: bool = False
    ) -> None:
        """Let computations begin now, without a read of their entries.

        Args:
            computations: the computations.
            supersede: whether earlier computations of the same keys must not store their results,
                nor be joined.
        """
        keys = [computation.key for computation in computations]
        if supersede:
            self.engine.generations.raise_keys(keys)
        for computation in computations:
            computation.begin()
        if supersede or any(computation.is_pending for computation in computations):
            work = self.engine.begin_and_read(keys, supersede=supersede)
            generations, _ = await self.attempt("read", work, ((), {}))
            for computation, generation in zip(computations, generations, strict=False):
                computation.stored_generation = generation

    async def check_unstored(self, computation: Computation) -> None:
        """Refuse a value that is not stored if its key has changed; other callers wait for it."""
        if not computation.is_watchable:
            computation.is_ending = True
            present = self.make_computation(computation.key)
            await self.begin_all([present])
            computation.is_refused = present.stored_generation != computation.stored_generation

    async def get_head(self, key: str) -> Head | None:
        """Return the head of a stored record, live or not; the read is not counted."""
        results = await self.attempt("read", self.engine.backend.read([key]), {})
        record = results.get(key)
        return record.head if isinstance(record, Record) else None

    async def serve(self, entry: MemoryEntry, tier: str, began: float | None) -> Any:
        """Return the value of an entry, live or stale, and count a hit; `MISSING` without one.

        Args:
            entry: the entry.
            tier: the tier that had the entry.
            began: the time at which its read began; see `start_timer`.
        """
        value = await self.decode(entry)
        if value is not MISSING:
            self._count_entry_hit(entry)
            self._emit_hit(entry, None, began, tier)
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
        except ChangedClassError as error:
            self.failure_log.report_changed_class(error)
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
        """Store values in one round trip, or in one for each slice of a large batch.

        Returns:
            Their entries, or ``None`` if the store failed.

        Raises:
            SerializationError: a value cannot be stored exactly; no value is stored.
        """

        async def work() -> list[MemoryEntry]:
            began = self.start_timer(events.Stored)
            now = self.time()  # one time for all, so that they expire together
            records: list[Record] = []
            for count, item in enumerate(items, 1):
                records.append(await self.engine.make_record(item, now))
                await checkpoint(count)
            try:
                entries = await self._write(records)
            except BackendError as error:
                self._count_stored(error.done, began)
                self.engine.discard(item.key for item in items)  # the copies are outdated
                raise
            self._count_stored(records, began)
            return entries

        with self.changing([item.key for item in items]):
            return await self.attempt("write", work(), None)

    async def put_computed(
        self, items: Sequence[Item], computations: Mapping[str, Computation]
    ) -> set[str]:
        """Store computed values as `put` does, except those that must not be stored.

        These are values that cannot be stored exactly, which are counted as unstorable, and values
        of keys that have changed since the computation began. Other tasks run after every few
        hundred values.

        Args:
            items: the values.
            computations: the computation of each store key.

        Returns:
            The store keys of the values that are stored.
        """

        async def work() -> set[str]:
            began = self.start_timer(events.Stored)
            records, now = list[Record](), self.time()
            for count, item in enumerate(items, 1):
                try:
                    # A deleted tag would make the value a miss, and a newer one may be stored.
                    if not computations[item.key].has_renewed_tags():
                        records.append(await self.engine.make_record(item, now))
                except SerializationError as error:
                    computations[item.key].reason = str(error)
                    self.count_unstorable(item, error)
                await checkpoint(count)
            stored = set[str]()
            for part in slice_batch(records):
                begun = [computations[record.head.key] for record in part]
                try:
                    stored |= {e.key for e in await self.engine.write_computed(part, begun)}
                except BackendError as error:
                    self.count_failure("write", error)
                    stored |= {record.head.key for record in error.done if record is not None}
                    if isinstance(error, StoreUnavailableError):
                        break
            self._count_stored([each for each in records if each.head.key in stored], began)
            return stored

        return await self.attempt("write", work(), set())

    async def _write(self, records: Sequence[Record]) -> list[MemoryEntry]:
        """Write records in slices; a slice that fails in part keeps no other one from its write.

        Raises:
            BackendError: the first failure, with all records that were written.
        """
        entries: list[MemoryEntry] = []
        done: list[Record | None] = []
        failure: BackendError | None = None
        for part in slice_batch(records):
            try:
                entries += await self.engine.write(part)
                done += part
            except BackendError as error:
                done += error.done
                failure = failure or error
                if isinstance(error, StoreUnavailableError):
                    break
        if failure is not None:
            failure.done = done
            raise failure
        return entries

    async def update(self, key: str, change: Change) -> Record | None:
        """Change an entry by `Engine.update`, and count a write.

        Raises:
            BackendError: the store failed.
        """
        generations, is_changed = self.engine.generations, False
        began = self.start_timer(events.Stored)

        def change_and_note(record: Record | None) -> Record | None:
            nonlocal is_changed
            changed = change(record)
            is_changed = changed is not record
            if is_changed:
                generations.raise_keys([key])
            return changed

        stored = await self.engine.update(key, change_and_note)
        if is_changed:
            generations.raise_keys([key])
        if is_changed and stored is not None:
            self._count_stored([stored], began)
        return stored

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries as `put` stores them, and return the number of live ones."""
        for count, key in enumerate(keys, 1):
            self.engine.discard([key])
            await checkpoint(count)
        live = 0
        with self.changing(keys):
            for part in slice_batch(keys):
                try:
                    heads, failure = await self.engine.backend.delete(part), None
                except Exception as error:
                    get_loop()
                    self.count_failure("delete", error)
                    heads, failure = getattr(error, "done", ()), error
                live += len(await self.attempt("delete", self.engine.select_live(heads), {}))
                if isinstance(failure, StoreUnavailableError):
                    break
        self.count_removed("deleted", live, key=keys[0] if len(keys) == 1 else "")
        return live

    async def renew_tags(self, tags: Sequence[str]) -> bool:
        """Invalidate all entries that carry one of the tags; return ``False`` on failure."""
        work = self.engine.renew_tags(self.prefix, tags)
        try:
            return await self.attempt("write", work, None) is not None
        finally:
            self.engine.generations.raise_tagged(self.prefix, tags)

    @contextmanager
    def changing(self, keys: Sequence[str]) -> Generator[None]:
        """Raise the generations of keys in this process, before and after they are changed.

        A computation that begins in between may store its result before the change, but not after.
        """
        self.engine.generations.raise_keys(keys)
        try:
            yield
        finally:
            self.engine.generations.raise_keys(keys)

    # The store

    async def try_lease(self, computation: Computation) -> Lease | None:
        """Return the lease of a computation, or ``None`` while another caller holds it.

        The computation takes the tokens of its tags before that. A store that has no leases, or
        fails to give one, keeps no caller waiting.
        """
        computation.tokens = await self.get_tag_tokens(computation.tags) or None
        work = self.engine.try_lease(computation.key, computation.version)
        return await self.attempt("lease", work, capabilities.FREE_LEASE)

    def make_failure(self, operation: str, action: str, error: Exception) -> BackendError:
        """Count a failure of the store, and return its error for a caller that needs the store."""
        get_loop()  # without one, no store works
        self.count_failure(operation, error)
        return BackendError(
            f"store {self.store_name} failed to {action} a key of namespace {self.name!r}: {error}"
        )

    def count_in_memory(self, start: str) -> int:
        """Return how many keys of entries in the memory tier begin with ``start``."""
        tier = self.engine.tier
        keys = () if tier is None else list(tier.nodes)
        return sum(key.startswith(self.prefix + start) for key in keys)

    async def get_tag_tokens(
        self, tags: Sequence[str], *, from_store: bool = False
    ) -> dict[str, str]:
        """Return the tokens of tags (`Engine.get_tag_tokens`); none if the store fails."""
        if not tags:
            return {}
        work = self.engine.get_tag_tokens(self.prefix, tags, from_store=from_store)
        return await self.attempt("read", work, {})

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

        Every failure is counted, except those of reading or writing the counters. An operation's
        first failure is logged.

        Args:
            verb: the name of the operation, for events and the log.
            work: the operation.
            otherwise: the result if it fails.

        Raises:
            SerializationError: a value cannot be stored; the store has not failed.
            RuntimeError: no event loop of asyncio is running.
        """
        try:
            result = await work
        except SerializationError:
            raise
        except Exception as error:
            get_loop()  # without one, no store works
            self.count_failure(verb, error)
            return otherwise
        self.failure_log.note_success(verb)
        return result

    # Counters and events

    def start_timer(self, kind: type[events.Event]) -> float | None:
        """Return the present time for the duration in an event; ``None`` without a subscriber."""
        return self.monotonic() if kind in self._subscribed else None

    def measure(self, began: float | None) -> float:
        """Return the seconds since `start_timer`; zero if it returned ``None``."""
        return 0.0 if began is None else self.monotonic() - began

    def count_hit(self, key: str, tier: str = "") -> None:
        """Count a hit of a caller that received the value without an entry in memory."""
        self.counters.add("hits")
        self.emit(events.Hit, key, tier)

    def count_miss(self, key: str, began: float | None = None) -> None:
        """Count a read that found no live entry; it began at a time of `start_timer`."""
        self.counters.add("misses")
        self._check_log_level()
        self.emit(events.Miss, key, self.measure(began))

    def note_joined(self, key: str, began: float | None = None) -> None:
        """Report a caller that received the result of another caller's computation."""
        self.emit(events.Joined, key, self.measure(began))

    def count_removed(self, cause: events.Cause, count: int, *, key: str = "") -> None:
        """Count entries that were removed; ``key`` is the store key of a single one."""
        names: Mapping[str, str] = {"expired": "expirations", "evicted": "evictions"}
        if count:
            self.counters.add(names.get(cause, "deletes"), count)
            self.emit(events.Removed, key, cause, count)

    def count_failure(self, verb: str, error: Exception) -> None:
        """Count a failure of the store, or a record that cannot be trusted."""
        # Neither a question for the counters nor a report of them changes them.
        if verb not in _UNCOUNTED or isinstance(error, CorruptRecordError):
            self.counters.add("errors")
        self.emit(events.BackendFailed, "", verb, error)
        self.failure_log.report_failure(verb, error)

    def count_unstorable(self, item: Item, error: Exception) -> None:
        """Count a value that no codec can hold; log it once for each function or reason."""
        self.counters.add("unstorable")
        self.emit(events.Unstorable, item.key, error)
        source = "" if item.on_unstorable is None else item.on_unstorable(error)
        self.failure_log.report_unstorable(item.key[len(self.prefix) :], source, error)

    def emit(self, kind: type[events.Event], key: str, *details: Any) -> None:
        """Deliver an event to its subscribers, if there are any."""
        if kind in self._subscribed:
            user_key = key[len(self.prefix) :]
            self.engine.events.emit(kind(self.name, user_key, *details))

    def _count_entry_hit(self, entry: MemoryEntry) -> None:
        entry.hits += 1
        if entry.hits - entry.counted_hits == 1:
            self.counters.note_first_hit(entry)
            self._check_log_level()

    def _watch_peek(self, key: str) -> tuple[MemoryEntry | None, float]:
        """Return the entry in the memory tier before a read, and the time; see `_emit_hit`."""
        return self.engine.get_tier_entry(key), self.monotonic()

    def _emit_hit(self, entry: MemoryEntry, held: Any, began: float | None, tier: str = "") -> None:
        """Deliver a hit; without a name of its tier, it is memory if that held the entry."""
        if Hit in self._subscribed:
            tier = tier or ("memory" if held is entry else self.store_name)
            saved = astuple(entry.saves or Savings())
            self.emit(Hit, entry.key, tier, self.measure(began), entry.cost, *saved)

    def _count_stored(self, records: Sequence[Record], began: float | None) -> None:
        self.counters.add("sets", len(records))
        self._check_log_level()
        if events.Stored in self._subscribed and records:
            seconds = self.measure(began) / len(records)
            for record in records:
                self.emit(events.Stored, record.head.key, record.head.size, seconds)
