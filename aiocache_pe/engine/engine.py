"""Engine of a cache: memory tier, store and codec, for all namespaces of a manager.

The engine knows in which order the tier and the store are read, and whether an entry is live. It
counts nothing and handles no failure: errors of the store rise to the namespace.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import (
    Backend,
    Change,
    Coherent,
    Generational,
    ReadResult,
    SecretKeeper,
)
from aiocache_pe.clock import Clock
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.codecs.object_size import measure
from aiocache_pe.engine.computation import Computation
from aiocache_pe.engine.debug_log import DebugLog
from aiocache_pe.engine.memory_entry import EncodedValue, MemoryEntry
from aiocache_pe.events import EventBus
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.exceptions import BackendError, CacheError, CorruptRecordError, SecretRequiredError
from aiocache_pe.keys.store_keys import make_internal_prefix
from aiocache_pe.record import VERSION, Head, Record, Savings
from aiocache_pe.runtime.generations import Generations
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.runtime.threads import ThreadPool
from aiocache_pe.sentinels import MISSING, PENDING, Missing, Pending, Sentinel

if TYPE_CHECKING:
    from aiocache_pe.codecs.pipeline import Pipeline

PeekResult = MemoryEntry | Missing | Pending
_decoders = ThreadPool(2, "aiocache_pe-decoder")


class Item(NamedTuple):
    """A value to store.

    Attributes:
        key: the store key.
        value: the value.
        ttl: the lifetime in seconds; ``None`` for no end.
        tags: the tags, each with its current token (`Engine.get_tag_tokens`).
        cost: seconds that the computation of the value took.
        stale_ttl: seconds that the entry may be served after it expired; ``None`` for none.
        usage: the object that reports the token usage; ``None`` if the value itself may do so.
        on_unstorable: see `aiocache_pe.loading.options.LoadPolicy`.
    """

    key: str
    value: Any
    ttl: float | None = None
    tags: Mapping[str, str] = {}
    cost: float = 0.0
    stale_ttl: float | None = None
    usage: Any = None
    on_unstorable: Callable[[Exception], str] | None = None


class HeadCheck(NamedTuple):
    """The result of `Engine.check_heads`; the heads are given by store key.

    Attributes:
        live: heads of records that may be served.
        undecided: heads of records with tags that could not be read. These records are not
            served, but they are not removed or replaced either.
        errors: the errors of these tags.
    """

    live: dict[str, Head]
    undecided: dict[str, Head]
    errors: list[CacheError]


class Engine:
    """A store behind a memory tier and a codec.

    Attributes:
        backend: the store.
        pipeline: converts values to payloads and back.
        clock: the time.
        events, debug_log: the events of all namespaces, and their log lines.
        tier: the memory tier; ``None`` for none. It is used only over a store that can decide
            at once whether a copy is current (`Coherent`).
        in_flight: store keys that callers can wait for; `peek` does not read the store for them.
        is_generational: whether changes in other processes supersede computations in this one.
        generations: the generations of the computations in this process.
        begin_in_store, is_raised_in_store, begin_and_read: those of the store (`Generational`).
        try_lease: that of the store (`Leasing`); its second argument is the version.
    """

    def __init__(
        self,
        backend: Backend,
        pipeline: Pipeline,
        clock: Clock,
        tier: BoundedMap[MemoryEntry] | None,
        estimate_savings: Callable[[Any], Savings | None],
    ) -> None:
        self.backend = backend
        self.pipeline = pipeline
        self.clock = clock
        self.events = EventBus()
        self.debug_log = DebugLog(self.events, backend.name)
        self.tier = tier if isinstance(backend, Coherent) else None
        self.in_flight: set[str] = set()
        self.generations = Generations()
        self.begin_in_store = capabilities.begin(backend)
        self.is_raised_in_store = capabilities.is_raised(backend)
        self.begin_and_read = capabilities.begin_and_read(backend)
        self.try_lease = capabilities.try_lease(backend)
        self._entries: dict[str, MemoryEntry] = {} if self.tier is None else self.tier.nodes
        self._on_hit = None if self.tier is None else self.tier.on_hit
        self._is_current = capabilities.is_current(backend)
        # The check of a protocol takes longer than the comparison of a generation.
        self._generational = backend if isinstance(backend, Generational) else None
        self.is_generational = self._generational is not None
        self._peek_store = capabilities.peek(backend)
        self._time = clock.time
        self.estimate_savings = estimate_savings

    def peek(self, key: str, *, stale: bool = False) -> PeekResult:
        """Return the live entry of a store key if that needs no waiting.

        With ``stale``, an expired entry that may be served stale is returned, too.

        Returns:
            The entry, marked as accessed now; `MISSING`; or `PENDING`, and then `get_entries` is
            the next step.
        """
        entry = self._entries.get(key)
        if entry is None or not self._is_current(entry.stamp):
            if key in self.in_flight:
                return PENDING
            record = self._peek_store(key)
            if record is None:
                return MISSING
            if record is PENDING:
                return PENDING
            entry = self.admit(record)

        now = self._time()
        if entry.expires_at <= now and not (stale and entry.stale_until > now):
            return MISSING
        extras = entry.extras
        if extras is not None and extras.tags:
            obstacle = self.check_tags(key, extras.tags)
            if obstacle is not None:
                return obstacle

        entry.last_access = now
        on_hit = self._on_hit
        if on_hit is not None:
            on_hit(entry)
        return entry

    def get_tier_entry(self, key: str) -> MemoryEntry | None:
        """Return the entry of a store key in the memory tier, live or not; not an access."""
        return self._entries.get(key)

    def get_current_entry(self, key: str) -> MemoryEntry | None:
        """Return the entry of a store key in the memory tier if the store confirms it."""
        entry = self._entries.get(key)
        return entry if entry is not None and self._is_current(entry.stamp) else None

    async def get_entries(
        self,
        keys: Sequence[str],
        *,
        stale: bool = False,
        computations: Sequence[Computation] = (),
    ) -> tuple[dict[str, MemoryEntry], list[CacheError]]:
        """Return the live entries of keys in one round trip, or two if tags must be read.

        Args:
            keys: the store keys.
            stale: whether expired entries that may be served stale are returned, too.
            computations: the computations of the same keys, which begin now.

        Returns:
            The entries by store key, and the errors of the records that could not be read.
        """
        now = self._time()
        entries: dict[str, MemoryEntry] = {}
        for key in () if computations else keys:
            held = self._entries.get(key)
            # A current copy was not served by `peek` because it is large.
            if held is not None and self._is_current(held.stamp):
                entry = self.peek(key, stale=stale)
                if type(entry) is MemoryEntry:
                    entries[key] = entry
        if entries:
            keys = [key for key in keys if key not in entries]
        results: Mapping[str, ReadResult] = {}
        if computations:
            generations, results = await self.begin_and_read(keys)
            for computation, generation in zip(computations, generations, strict=True):
                computation.stored_generation = generation
        elif keys:
            results = await self.backend.read(keys)
        records = [result for result in results.values() if isinstance(result, Record)]
        heads = [record.head for record in records]
        live, _, errors = await self.check_heads(heads, stale=stale, from_store=False)
        errors += [result for result in results.values() if isinstance(result, CacheError)]
        for count, record in enumerate(records, 1):
            key = record.head.key
            if key in live:
                entry = entries[key] = self.admit(record)
                entry.last_access = now
            await checkpoint(count)
        return entries, errors

    async def select_live(self, heads: Iterable[Head]) -> dict[str, Head]:
        """Return the heads of live records by store key; see `check_heads`."""
        return (await self.check_heads(heads)).live

    async def check_heads(
        self, heads: Iterable[Head], *, stale: bool = False, from_store: bool = True
    ) -> HeadCheck:
        """Check which records may be served now, by their heads; see `get_entries`.

        The tokens of tags come from the store, unless a mere read may use those in memory.
        """
        now = self._time()
        candidates = [head for head in heads if not head.is_removable(now, stale=stale)]
        live, undecided = dict[str, Head](), dict[str, Head]()
        tag_keys = {tag for head in candidates for tag in _get_tag_tokens(head.key, head.tags)}
        tokens, errors = await self._read_tokens(tag_keys, from_store=from_store)
        for count, head in enumerate(candidates, 1):
            await checkpoint(count)
            expected = _get_tag_tokens(head.key, head.tags)
            if all(tokens.get(tag_key) == token for tag_key, token in expected.items()):
                live[head.key] = head
            elif not errors.keys().isdisjoint(expected):
                undecided[head.key] = head
        return HeadCheck(live, undecided, list(errors.values()))

    def decode(self, entry: MemoryEntry) -> Any:
        """Return the value of an entry: a copy for the caller, or shared if it is immutable.

        Raises:
            LargePayloadError: the payload takes too long here; see `decode_in_thread`.
            CorruptRecordError: the payload cannot be trusted, or its codec is unknown.
            SecretRequiredError: the payload is signed, and the secret is not known yet.
        """
        content = entry.content
        if type(content) is not EncodedValue:
            return content
        value = self.pipeline.decode_small(entry.key, content.codec, content.payload)
        kind = type(value)
        return value if kind is dict or kind is list else self._hold(entry, content, value)

    def _hold(self, entry: MemoryEntry, content: EncodedValue, value: Any) -> Any:
        """Return a decoded value, and hold it in place of the payload if it is immutable."""
        if not is_immutable(value):
            return value
        extra = measure(value) - content.measure()
        if extra <= 0 or self.tier is None:
            entry.content = value
            return value
        if entry.content is content:  # not in another thread meanwhile
            entry.content = value
            self.tier.resize(entry, entry.size + extra)
        return value

    async def decode_in_thread(self, entry: MemoryEntry) -> Any:
        """Return the value of an entry as `decode` does, whatever its size."""
        content = entry.content
        if type(content) is not EncodedValue:
            return content
        decode = self.pipeline.decode
        value = await _decoders.submit(decode, entry.key, content.codec, content.payload)
        return self._hold(entry, content, value)

    async def make_record(self, item: Item, now: float | None = None) -> Record:
        """Return the record of an item, written ``now``, in seconds since the epoch.

        Raises:
            SerializationError: the value cannot be stored exactly.
        """
        try:
            codec, payload = self.pipeline.encode(item.key, item.value)
        except SecretRequiredError:
            if not await self.load_secret():
                raise
            codec, payload = self.pipeline.encode(item.key, item.value)
        if now is None:
            now = self._time()
        expires_at = stale_until = None
        if item.ttl is not None:
            expires_at = now + item.ttl
            stale_until = None if item.stale_ttl is None else expires_at + item.stale_ttl
        tags, cost = dict(item.tags), item.cost
        size = len(payload)
        saves = self.estimate_savings(item.value if item.usage is None else item.usage)
        head = Head(VERSION, item.key, codec, now, size, expires_at, tags, cost, stale_until, saves)
        return Record(head, payload)

    def make_record_like(self, key: str, value: Any, like: Head | None = None) -> Record:
        """Return a record without waiting, as a `Change` must.

        It is signed with the secret that is known already. The expiry, tags, cost and stale time
        are those of ``like``.

        Raises:
            SerializationError: the value cannot be stored exactly.
        """
        codec, payload = self.pipeline.encode(key, value)
        now, size = self._time(), len(payload)
        head = Head(VERSION, key, codec, now, size)
        if like is not None:
            head = replace(like, codec=codec, created_at=now, size=size)
        return Record(head, payload)

    async def write(self, records: Sequence[Record]) -> list[MemoryEntry]:
        """Store records in one round trip, and admit them to the memory tier."""
        entries: list[MemoryEntry] = []
        for count, record in enumerate(await self.backend.write(records), 1):
            entries.append(self.admit(record))
            await checkpoint(count)
        return entries

    async def write_computed(
        self, records: Sequence[Record], computations: Sequence[Computation]
    ) -> list[MemoryEntry]:
        """Store computed records in one round trip, and admit them to the memory tier.

        A record is not stored if its key has changed since its computation began. From a store that
        is not `Generational`, a record that was stored beside a change here is removed again.
        """
        for computation in computations:
            computation.is_ending = True
        pairs = [
            (record, computation)
            for record, computation in zip(records, computations, strict=True)
            if not (computation.is_raised_here or computation.is_pending)
        ]
        if not pairs:
            return []
        chosen = [record for record, _ in pairs]
        generations = [computation.stored_generation for _, computation in pairs]
        generational = self._generational
        if generational is None:
            written: Sequence[Record | None] = await self.backend.write(chosen)
        else:
            written = await generational.write_computed(chosen, generations)
        entries: list[MemoryEntry] = []
        for count, ((record, computation), stored) in enumerate(
            zip(pairs, written, strict=False),  # the null store returns nothing
            1,
        ):
            await checkpoint(count)
            computation.is_refused = stored is None
            if stored is not None and not self.is_generational and computation.is_raised_here:
                await self.backend.delete([record.head.key], partial(eq, record.head))
            elif stored is not None:
                entries.append(self.admit(stored))
        return entries

    async def update(self, key: str, change: Change, *, keep_dead: bool = False) -> Record | None:
        """Read, change and write one entry as a single atomic step.

        Args:
            key: the store key.
            change: called with the live record, or ``None`` if there is none; returns the record
                to store (`aiocache_pe.backends.base.Change`). It may be called more than once.
            keep_dead: whether a record that is not live stays when ``change`` returns ``None`` for
                it.

        Returns:
            The record that is stored now, or ``None``.
        """
        tokens: dict[str, str | None] = {}
        unknown: list[str] = []

        def change_if_live(record: Record | None) -> Record | None:
            unknown.clear()
            if record is None:
                return change(None)
            if record.head.is_expired(self._time()):
                return change(None) or (record if keep_dead else None)
            expected = _get_tag_tokens(key, record.head.tags)
            unknown.extend(tag_key for tag_key in expected if tag_key not in tokens)
            if unknown:
                return record
            is_live = all(tokens[tag_key] == token for tag_key, token in expected.items())
            return change(record) if is_live else change(None) or (record if keep_dead else None)

        while True:
            stored = await self.backend.update(key, change_if_live)
            if not unknown:
                break
            known, errors = await self._read_tokens(unknown, from_store=True)
            if errors:  # the record may be live, so no other record may replace it
                raise next(iter(errors.values()))
            tokens |= {tag_key: known.get(tag_key) for tag_key in unknown}

        if stored is None:
            self.discard([key])
        else:
            self.admit(stored)
        return stored

    def admit(self, record: Record) -> MemoryEntry:
        """Return the entry of a record, and add it to the memory tier if there is one."""
        entry = MemoryEntry(record)
        if self.tier is not None and record.stamp is not None:
            replaced = self.tier.nodes.get(entry.key)
            if replaced is not None:  # it reports its own hits that are not reported yet
                entry.hits = entry.counted_hits = replaced.hits
            self.tier.put(entry)
        return entry

    def discard(self, keys: Iterable[str]) -> None:
        """Remove entries from the memory tier, which frees memory; coherence does not need it."""
        if self.tier is not None:
            for key in keys:
                self.tier.discard(key)

    async def get_tag_tokens(
        self, prefix: str, tags: Sequence[str], *, from_store: bool = False
    ) -> dict[str, str]:
        """Return the current tokens of tags, to be written into entries that carry the tags.

        A tag without a token gets one, and all writers agree on it. Call this before a value is
        computed: if the tag is deleted meanwhile, the entry of the value is invalid.

        Args:
            prefix: the beginning of the store keys of the namespace.
            tags: the tags.
            from_store: whether to ask the store, also for tokens in memory.
        """
        area = make_internal_prefix(prefix, "tags")
        tag_keys = [area + tag for tag in tags]
        tokens, _ = await self._read_tokens(tag_keys, from_store=from_store)
        found: dict[str, str] = {}
        for tag in sorted(set(tags)):
            token = tokens.get(area + tag)
            found[tag] = await self._create_token(area + tag) if token is None else token
        return found

    async def renew_tags(self, prefix: str, tags: Sequence[str]) -> list[MemoryEntry]:
        """Give tags new tokens, which invalidates all entries that carry the tags.

        If the tokens cannot be written, for instance on a full disk, the old ones are removed.
        """
        area = make_internal_prefix(prefix, "tags")
        items = [Item(area + tag, os.urandom(6).hex()) for tag in tags]
        records = [await self.make_record(item) for item in items]
        try:
            return await self.write(records)
        except BackendError:
            keys = [record.head.key for record in records]
            self.discard(keys)
            await self.backend.delete(keys)
            return []

    async def load_secret(self) -> bool:
        """Load the store's own secret, and return whether there is a new one to try."""
        if self.pipeline.has_secret or not isinstance(self.backend, SecretKeeper):
            return False
        self.pipeline.use_secret(await self.backend.secret())
        return True

    async def close(self, *, close_backend: bool) -> None:
        """Empty the memory tier, and close the store if the engine owns it."""
        if self.tier is not None:
            self.tier.clear()
        if close_backend:
            await self.backend.close()

    def check_tags(self, key: str, tags: Mapping[str, str]) -> Missing | Pending | None:
        """Return the reason why an entry cannot be served because of its tags, if there is one."""
        for tag_key, token in _get_tag_tokens(key, tags).items():
            entry = self.peek(tag_key)
            if isinstance(entry, Sentinel):
                return entry
            if self._decode_token(entry) != token:
                return MISSING
        return None

    def has_changed_tag(self, key: str, tags: Iterable[str]) -> bool:
        """Return whether the memory tier has the token of a tag, which may be outdated."""
        entries = map(self._entries.get, _get_tag_tokens(key, dict.fromkeys(tags, "")))
        return any(entry and not self._is_current(entry.stamp) for entry in entries)

    async def _create_token(self, tag_key: str) -> str:
        """Return the token of a tag, and store a new one if it is absent or damaged."""
        token = os.urandom(6).hex()
        new = await self.make_record(Item(tag_key, token))

        def keep_valid(present: Record | None) -> Record:
            is_valid = present is not None and self._decode_token(MemoryEntry(present)) is not None
            return present if present is not None and is_valid else new

        stored = await self.backend.update(tag_key, keep_valid)
        return token if stored is None else self._decode_token(self.admit(stored)) or token

    def _decode_token(self, entry: MemoryEntry) -> str | None:
        """Return the token in the entry of a tag; ``None`` if it is damaged."""
        try:
            token = self.decode(entry)
        except CacheError:
            return None
        return token if type(token) is str else None

    async def _read_tokens(
        self, tag_keys: Iterable[str], *, from_store: bool = False
    ) -> tuple[dict[str, str | None], dict[str, CacheError]]:
        """Return the current tokens, and the errors of those that are neither read nor damaged.

        The token of a damaged record is ``None``, which no entry has. Over Redis, the message about
        a deleted tag may not have arrived. A change must not be lost by that, nor depend on an
        entry of that tag, so it takes the tokens from the store.
        """
        tokens: dict[str, str | None] = {}
        pending: list[str] = []
        for tag_key in tag_keys:
            entry = PENDING if from_store else self.peek(tag_key)
            if isinstance(entry, MemoryEntry):
                tokens[tag_key] = self._decode_token(entry)
            elif entry is PENDING:
                pending.append(tag_key)
        if not pending:
            return tokens, {}

        errors: dict[str, CacheError] = {}
        for tag_key, result in (await self.backend.read(pending)).items():
            if isinstance(result, Record):
                tokens[tag_key] = self._decode_token(self.admit(result))
            elif not isinstance(result, CorruptRecordError):
                errors[tag_key] = result
        return tokens, errors


def _get_tag_tokens(key: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tokens that an entry expects, by the store keys of its tags."""
    if not tags:
        return {}
    area = make_internal_prefix(key[: key.index(":") + 1], "tags")
    return {area + tag: token for tag, token in tags.items()}
