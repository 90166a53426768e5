"""The one way through: memory tier, then store, then codec, and back.

An engine is what all namespaces of a manager share. It knows the order in which things
are asked and when an entry is live; it counts nothing and forgives nothing: errors of
the store rise from here to the manager, which decides what the caller sees.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Backend, Change, Coherent, SecretKeeper
from aiocache_pe.clock import Clock
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.engine.memory_entry import EncodedValue, MemoryEntry
from aiocache_pe.events import EventBus
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.exceptions import CacheError, CorruptRecordError, SecretRequiredError
from aiocache_pe.keys.store_keys import make_internal_prefix
from aiocache_pe.record import VERSION, Head, Record, Savings
from aiocache_pe.sentinels import MISSING, PENDING, Missing, Pending, Sentinel

Found = MemoryEntry | Missing | Pending


class Item(NamedTuple):
    """Something to store.

    Attributes:
        key: the store key.
        value: the value.
        ttl: how long it lives, in seconds; ``None`` for ever.
        tags: its tags, each with the token of now (`Engine.tag_tokens`).
        cost: seconds that the value took to compute.
        stale_ttl: seconds after its time that it may be served stale; ``None`` for none.
    """

    key: str
    value: Any
    ttl: float | None = None
    tags: Mapping[str, str] = {}
    cost: float = 0.0
    stale_ttl: float | None = None


class HeadCheck(NamedTuple):
    """What is to be thought of some records, by store key.

    Attributes:
        live: the heads of those that are to be served.
        doubtful: of those whose tags could not be read: they are not served, and nothing is
            removed or made anew because of that.
        errors: why not.
    """

    live: dict[str, Head]
    doubtful: dict[str, Head]
    errors: list[CacheError]


class Engine:
    """A store with everything in front of it.

    Args:
        backend: the store.
        pipeline: turns values into payloads.
        clock: the time.
        tier: the memory tier; ``None`` to have none. It is used only over a store that
            can tell at once whether a copy is current (`Coherent`).
        appraise: says what serving a value will save besides the time.
    """

    def __init__(
        self,
        backend: Backend,
        pipeline: Pipeline,
        clock: Clock,
        tier: BoundedMap[MemoryEntry] | None,
        appraise: Callable[[Any], Savings | None],
    ) -> None:
        self.backend = backend
        self.pipeline = pipeline
        self.clock = clock
        self.events = EventBus()
        coherent = isinstance(backend, Coherent)
        self.tier = tier if coherent else None
        self._slots: dict[str, MemoryEntry] = {} if self.tier is None else self.tier.nodes
        self._on_hit = None if self.tier is None else self.tier.on_hit
        self._is_current = capabilities.is_current(backend)
        self._peek = capabilities.peek(backend)
        self.in_flight: set[str] = set()
        """Keys whose values are being computed: who wants one need not look, but can wait."""
        self._time = clock.time
        self._appraise = appraise

    def peek(self, key: str, *, stale: bool = False) -> Found:
        """A live entry, if that can be told without waiting.

        Args:
            key: the store key.
            stale: whether one will do that is expired and may be served stale.

        Returns:
            Its slot, just marked as used; `MISSING`; or `PENDING`: ask `fetch`.
        """
        slot = self._slots.get(key)
        if slot is None or not self._is_current(slot.stamp):
            if key in self.in_flight:
                return PENDING
            record = self._peek(key)
            if record is None:
                return MISSING
            if record is PENDING:
                return PENDING
            slot = self.admit(record)
        now = self._time()
        if slot.expires_at <= now and not (stale and slot.stale_until > now):
            return MISSING
        rare = slot.rare
        if rare is not None and rare.tags:
            verdict = self._check_tags(key, rare.tags)
            if verdict is not None:
                return verdict
        slot.used_at = now
        on_hit = self._on_hit
        if on_hit is not None:
            on_hit(slot)
        return slot

    async def get_entries(
        self, keys: Sequence[str], *, stale: bool = False
    ) -> tuple[dict[str, MemoryEntry], list[CacheError]]:
        """The live entries of those keys, in one round trip, and one more if tags are unknown.

        Args:
            keys: the store keys.
            stale: whether entries will do that are expired and may be served stale.

        Returns:
            The slots found, and the errors that stood in the place of others.
        """
        results = await self.backend.read(keys)
        records = [result for result in results.values() if isinstance(result, Record)]
        live, _, errors = await self.check_heads([record.head for record in records], stale=stale)
        errors += [result for result in results.values() if isinstance(result, CacheError)]
        now = self._time()
        slots: dict[str, MemoryEntry] = {}
        for record in records:
            key = record.head.key
            if key in live:
                slot = slots[key] = self.admit(record)
                slot.used_at = now
        return slots, errors

    async def select_live(self, heads: Iterable[Head], *, stale: bool = False) -> dict[str, Head]:
        """Those of some heads whose records are to be served now, by store key; see `judged`."""
        return (await self.check_heads(heads, stale=stale)).live

    async def check_heads(self, heads: Iterable[Head], *, stale: bool = False) -> HeadCheck:
        """Which of some heads are those of records that are to be served now.

        Args:
            heads: the heads.
            stale: whether those count that are expired and may be served stale.
        """
        now = self._time()
        fresh = [head for head in heads if not head.is_removable(now, stale=stale)]
        live, doubtful = dict[str, Head](), dict[str, Head]()
        tokens, errors = await self._tokens(
            {m for head in fresh if head.tags for m in _markers(head.key, head.tags)}
        )
        for head in fresh:
            markers = _markers(head.key, head.tags)
            if all(tokens.get(marker) == token for marker, token in markers.items()):
                live[head.key] = head
            elif not errors.keys().isdisjoint(markers):
                doubtful[head.key] = head
        return HeadCheck(live, doubtful, list(errors.values()))

    def decode(self, slot: MemoryEntry) -> Any:
        """The slot's value: shared if nobody can change it, else a copy of the caller's own.

        Raises:
            CorruptRecordError: the payload cannot be trusted or is of no known codec.
            SecretRequiredError: it is signed, and the secret is not known yet.
        """
        held = slot.held
        if type(held) is not EncodedValue:
            return held
        value = self.pipeline.decode(slot.key, held.codec, held.payload)
        if is_immutable(value):
            slot.held = value
        return value

    async def make_record(self, item: Item, now: float | None = None) -> Record:
        """Make the record of something to store.

        Args:
            item: the value, and what goes with it.
            now: the time to write on it, seconds since the epoch; ``None`` to look.

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
        size, saves = len(payload), self._appraise(item.value)
        head = Head(VERSION, item.key, codec, now, size, expires_at, tags, cost, stale_until, saves)
        return Record(head, payload)

    def make_record_like(self, key: str, value: Any, like: Head | None = None) -> Record:
        """Make a record at once, as a `Change` must, with whatever secret is known by then.

        Args:
            key: the store key.
            value: the value.
            like: a head whose expiry, tags, cost and staleness to keep.

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
        """Store records, in one round trip, and keep them in memory."""
        return [self.admit(record) for record in await self.backend.write(records)]

    async def update(self, key: str, change: Change, *, spare_stale: bool = False) -> Record | None:
        """Read, change and write one entry as a single step; what is not live is not there.

        Args:
            key: the store key.
            change: given the live record or ``None``, returns what to store
                (`protocols.Change`). It may be called more than once.
            spare_stale: whether ``None`` for an expired record leaves it to be served stale.

        Returns:
            What is stored now, or ``None``.
        """
        tokens: dict[str, str | None] = {}
        unknown: list[str] = []

        def change_if_live(record: Record | None) -> Record | None:
            unknown.clear()
            if record is None:
                return change(None)
            now = self._time()
            if record.head.is_expired(now):
                after = change(None)
                spared = (
                    after is None and spare_stale and not record.head.is_removable(now, stale=True)
                )
                return record if spared else after
            markers = _markers(key, record.head.tags)
            unknown.extend(marker for marker in markers if marker not in tokens)
            if unknown:
                return record
            live = all(tokens[marker] == token for marker, token in markers.items())
            return change(record if live else None)

        while True:
            stored = await self.backend.update(key, change_if_live)
            if not unknown:
                break
            known, errors = await self._tokens(unknown)
            if errors:  # it may be live, so nothing new is put in its place
                raise next(iter(errors.values()))
            tokens |= {marker: known.get(marker) for marker in unknown}
        if stored is None:
            self.discard([key])
        else:
            self.admit(stored)
        return stored

    def admit(self, record: Record) -> MemoryEntry:
        """A slot for a record, kept in the memory tier if there is one."""
        slot = MemoryEntry(record)
        if self.tier is not None and record.stamp is not None:
            before = self.tier.nodes.get(slot.key)
            if before is not None:  # which reports those of its uses that are not reported yet
                slot.hits = slot.counted = before.hits
            self.tier.put(slot)
        return slot

    def discard(self, keys: Iterable[str]) -> None:
        """Drop copies from memory. Coherence does not need it; it frees the room."""
        if self.tier is not None:
            for key in keys:
                self.tier.discard(key)

    async def get_tag_tokens(self, prefix: str, tags: Sequence[str]) -> dict[str, str]:
        """The tokens of tags now, to be written into entries that carry them.

        A tag that has no token yet gets one, and all writers agree on it. To be asked
        before a value is computed: if the tag is deleted meanwhile, the value is dead.
        """
        area = make_internal_prefix(prefix, "tags")
        tokens, _ = await self._tokens([area + tag for tag in tags])
        for marker in (area + tag for tag in tags if area + tag not in tokens):
            fresh = await self.make_record(Item(marker, os.urandom(6).hex()))
            stored = await self.backend.update(marker, _unless_there(fresh))
            tokens[marker] = self.decode(self.admit(stored or fresh))
        return {tag: tokens[area + tag] for tag in sorted(set(tags))}

    async def renew_tags(self, prefix: str, tags: Sequence[str]) -> list[MemoryEntry]:
        """Give tags new tokens, so that every entry that carries an old one is dead."""
        area = make_internal_prefix(prefix, "tags")
        items = [Item(area + tag, os.urandom(6).hex()) for tag in tags]
        return await self.write([await self.make_record(item) for item in items])

    async def load_secret(self) -> bool:
        """Ask the store for a secret of its own; whether there is a new one to try."""
        if self.pipeline.has_secret or not isinstance(self.backend, SecretKeeper):
            return False
        self.pipeline.use_secret(await self.backend.secret())
        return True

    def _check_tags(self, key: str, tags: Mapping[str, str]) -> Missing | Pending | None:
        """What the tags say of an entry: dead, cannot tell, or nothing against it."""
        for marker, token in _markers(key, tags).items():
            found = self.peek(marker)
            if isinstance(found, Sentinel):
                return found
            if self.decode(found) != token:
                return MISSING
        return None

    async def _tokens(self, markers: Iterable[str]) -> tuple[dict[str, str], dict[str, CacheError]]:
        """The tokens of markers, and why some could not be read; one that is damaged is none."""
        tokens: dict[str, str] = {}
        unknown: list[str] = []
        for marker in markers:
            found = self.peek(marker)
            if isinstance(found, MemoryEntry):
                tokens[marker] = self.decode(found)
            elif found is PENDING:
                unknown.append(marker)
        if not unknown:
            return tokens, {}
        errors: dict[str, CacheError] = {}
        for marker, result in (await self.backend.read(unknown)).items():
            if isinstance(result, Record):
                tokens[marker] = self.decode(self.admit(result))
            elif not isinstance(result, CorruptRecordError):
                errors[marker] = result
        return tokens, errors


def _markers(key: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The store keys of an entry's tags, with the tokens they had when it was written."""
    if not tags:
        return {}
    area = make_internal_prefix(key[: key.index(":") + 1], "tags")
    return {area + tag: token for tag, token in tags.items()}


def _unless_there(record: Record) -> Change:
    """A change that stores a record where there is none."""
    return lambda there: there or record
