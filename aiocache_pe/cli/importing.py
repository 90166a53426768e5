"""Taking entries over from elsewhere, with the times and the counts that they have.

A format is a function that reads a file as `Entry` after `Entry`; see `filling.FORMATS`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from aiocache_pe.backends.base import Usage
from aiocache_pe.cli import human, output
from aiocache_pe.cli.exits import LeftOutError
from aiocache_pe.cli.progress import progress
from aiocache_pe.cli.session import Session
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Space
from aiocache_pe.exceptions import SerializationError
from aiocache_pe.record import Record

_TOGETHER = 64  # entries that are stored at once
Outcome = Literal["imported", "kept", "expired"]


class Entry(NamedTuple):
    """An entry of a file, before it is one of the cache.

    Attributes:
        key: its key.
        value: its value.
        created_at: when it was made, seconds since the epoch; ``None`` if that is not told.
        expires_at: when it expires, seconds since the epoch; ``None`` for never.
        hit_count: how often it was read.
    """

    key: str
    value: Any
    created_at: float | None = None
    expires_at: float | None = None
    hit_count: int = 0


class Bad(NamedTuple):
    """What stands in the place of an entry that means nothing.

    Attributes:
        key: its key.
        reason: why.
    """

    key: str
    reason: str


async def import_entries(session: Session, entries: Iterable[Entry | Bad]) -> None:
    """Store entries, and tell how many.

    What is expired is left out, and so is what is not known to be newer than the entry that
    the cache has for the key: importing a file again changes nothing.

    Raises:
        LeftOutError: some meant nothing; all the others are stored.
    """
    space, counts, bad = session.cache.loader.opened(), Counter[Outcome](), list[Bad]()
    left = iter(entries)
    async with progress("Importing entries"):
        while batch := list(islice(left, _TOGETHER)):
            for outcome in await asyncio.gather(*[_take_over(space, one) for one in batch]):
                if isinstance(outcome, Bad):
                    bad.append(outcome)
                else:
                    counts[outcome] += 1
            session.check()
    _tell(session, counts, bad)
    if bad:
        named = human.first((f"{one.key!r} {one.reason}" for one in bad), len(bad))
        raise LeftOutError(f"{human.entries(len(bad))} left out, all others are done: {named}")


async def _take_over(space: Space, entry: Entry | Bad) -> Outcome | Bad:
    if isinstance(entry, Bad):
        return entry
    engine, key = space.engine, space.prefix + entry.key
    now = engine.clock.time()
    if entry.expires_at is not None and entry.expires_at <= now:
        return "expired"
    created_at = now if entry.created_at is None else entry.created_at
    try:
        made = await engine.record_for(Item(key, entry.value))
    except SerializationError as error:
        return Bad(entry.key, f"cannot be stored: {error}")
    head = replace(made.head, created_at=created_at, expires_at=entry.expires_at)
    record = Record(head, made.payload)

    kept = False

    def unless_newer(there: Record | None) -> Record:
        nonlocal kept
        kept = there is not None and there.head.created_at >= (entry.created_at or 0.0)
        return there if there is not None and kept else record

    await space.change(key, unless_newer)
    if kept:
        return "kept"
    backend = engine.backend
    if entry.hit_count and isinstance(backend, Usage):
        usage = {key: (entry.hit_count, created_at)}
        await space.survive("usage", backend.add_usage(usage), None)
    return "imported"


def _tell(session: Session, counts: Counter[Outcome], bad: list[Bad]) -> None:
    if session.json:
        told = {name: counts[name] for name in ("imported", "kept", "expired")}
        output.as_json({**told, "bad": [one._asdict() for one in bad]})
        return
    output.line(f"imported {human.entries(counts['imported'])}")
    if counts["kept"]:
        output.line(f"{human.entries(counts['kept'])} kept that the cache has as new, or newer")
    if counts["expired"]:
        output.line(f"{human.entries(counts['expired'])} left out that expired")
