"""Settlement of a journal: the changes of an outage are made in the first store.

A value of the second store is kept if no process has changed its key, its tags or its namespace in
the first store since the outage began. A store that is `Settleable` decides that by generations.
Over another store, an older record in the first store shows it. Otherwise the key is removed,
because a miss is better than an old value.

Entries are settled before the tags that they carry. The token of a tag that was not deleted during
the outage stays that of the first store, and the entries of the outage get it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from msgspec.structs import replace

from aiocache_pe.backends.base import Backend, Settleable
from aiocache_pe.backends.fallback.journal import Change, Journal, is_tag
from aiocache_pe.clock import Clock
from aiocache_pe.exceptions import NewerRecordError
from aiocache_pe.keys.store_keys import make_internal_prefix
from aiocache_pe.record import Head, Record

_SETTLE_BATCH = 500  # keys that are settled in one step
_PARALLEL_MOVES = 16
_CLOCK_SKEW_SECONDS = 1.0  # between two machines: a record may be that much older than its date
_MARGIN_SECONDS, _DRIFT = (
    0.002,
    0.0002,
)  # of the age of a change; two clocks run at nearly one speed


class Settlement:
    """Makes the changes of a journal in the first store, and empties the second one.

    Args:
        first: the store that was unavailable.
        second: the store that served meanwhile.
        journal: the changes.
        clock: the clock that dates the records.
    """

    def __init__(self, first: Backend, second: Backend, journal: Journal, clock: Clock) -> None:
        self._first, self._second = first, second
        self._journal = journal
        self._clock = clock

    async def settle_patterns(self) -> None:
        """Remove what matches patterns, in steps between which other calls run.

        A key that was changed later is left to that change, because the second store may have a
        newer value of it.
        """
        for pattern, change in self._journal.get_patterns().items():
            latest = change.time

            def is_old(head: Head, latest: float = latest) -> bool:
                is_older = head.created_at <= latest + _CLOCK_SKEW_SECONDS
                is_changed_later = self._journal.has_changed_since(head.key, latest)
                return is_older and not is_changed_later and not is_counter(head.key)

            for store in (self._first, self._second):
                async for heads in store.scan(pattern.prefix, pattern.glob):
                    if old := [head.key for head in heads if is_old(head)]:
                        await store.delete(old, is_old)
            self._journal.mark_settled([(pattern, change)])

    async def settle_keys(self) -> None:
        """Settle some keys; tags follow when all entries are settled."""
        changes = self._journal.get_keys(_SETTLE_BATCH)
        if not changes:
            return
        keys = list(changes)
        results = await self._second.read(keys)
        newer = {key: result for key, result in results.items() if isinstance(result, Record)}
        kept = {key for key in newer if changes[key].is_whole and not is_tag(key)}
        await _for_each(kept, lambda key: self._move(newer[key], changes[key].since))
        tags = {key for key in keys if is_tag(key)}
        await _for_each(tags, lambda key: self._settle_tag(key, changes[key], newer.get(key)))
        if removed := [key for key in keys if key not in kept and key not in tags]:
            await self._first.delete(removed)
        if newer:
            await self._second.delete(list(newer), lambda head: newer[head.key].head == head)
        if later := [key for key, found in results.items() if isinstance(found, NewerRecordError)]:
            await self._second.delete(later)
        self._journal.mark_settled(changes.items())

    async def _move(self, record: Record, since: float) -> None:
        """Store a record of the second store in the first one, or remove the entry there."""
        tags = await self._translate_tags(record.head, since)
        if tags is None:
            await self._first.delete([record.head.key])
        else:
            moved = Record(replace(record.head, tags=tags), record.payload)
            await self._store_unchanged(moved, since)

    async def _store_unchanged(self, record: Record, since: float) -> Record | None:
        """Store a record in the first store if its key is unchanged there; otherwise remove it.

        Args:
            record: a record of the second store.
            since: the beginning of the outage.

        Returns:
            The record that is stored now.
        """
        head, first = record.head, self._first
        own = Record(head, record.payload)

        def choose(present: Record | None) -> Record | None:
            if present is None:
                return own if isinstance(first, Settleable) else None
            if is_tag(head.key) and present.payload == own.payload:
                return present  # with another entry
            return own if present.head.created_at < since else None

        if isinstance(first, Settleable):
            # Another process may have begun the computation before this one noticed the outage.
            begun = min(since, head.created_at - head.cost)
            seconds = (self._clock.time() - begun) * (1 + _DRIFT) + _MARGIN_SECONDS
            return await first.update_unchanged(head.key, seconds, choose)
        return await first.update(head.key, choose)

    async def _translate_tags(self, head: Head, since: float) -> dict[str, str] | None:
        """Return the tags of a record with the tokens of the first store.

        Returns:
            The tags; ``None`` if one of them was deleted since the outage began, or may have been.
        """
        tags: dict[str, str] = {}
        for tag, token in head.tags.items():
            key = make_internal_prefix(head.key[: head.key.index(":") + 1], "tags") + tag
            present = (await self._second.read([key])).get(key)
            if not isinstance(present, Record) or _parse_token(present) != token:
                return None  # the tag was deleted in the second store
            stored = await self._adopt_tag(present, since)
            new_token = None if stored is None else _parse_token(stored)
            if new_token is None:
                return None
            tags[tag] = new_token
        return tags

    async def _adopt_tag(self, record: Record, since: float) -> Record | None:
        """Return the record of a tag in the first store that the entries of the outage may use.

        Args:
            record: the record of the tag in the second store.
            since: the beginning of the outage.
        """
        key = record.head.key
        change = self._journal.get_key(key)
        is_deleted = change is not None and change.is_whole
        present = (await self._first.read([key])).get(key)
        if not isinstance(present, Record) or is_deleted or present.payload == record.payload:
            return await self._store_unchanged(record, since)
        return present if present.head.created_at < since else None

    async def _settle_tag(self, key: str, change: Change, record: Record | None) -> None:
        """Delete a tag in the first store if it was deleted in the second one."""
        if change.is_whole and record is not None:
            await self._store_unchanged(record, change.since)
        elif change.is_whole:
            await self._first.delete([key])


def is_counter(key: str) -> bool:
    """Return whether a store key belongs to a counter."""
    return key.partition(":")[0].endswith("+stats")


def _parse_token(record: Record) -> str | None:
    """Return the token in the record of a tag; ``None`` if it is damaged."""
    try:
        token: Any = json.loads(record.payload) if record.head.codec == "json" else None
    except ValueError:
        return None
    return token if type(token) is str else None


async def _for_each(keys: Iterable[str], work: Callable[[str], Awaitable[None]]) -> None:
    """Await work on each key, a few keys at a time."""
    remaining = iter(keys)

    async def run() -> None:
        for key in remaining:
            await work(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(_PARALLEL_MOVES):
            group.create_task(run())
