"""Taking entries over from elsewhere, with the times and the counts that they have.

A format is a function that yields each entry of a file; see `filling.FORMATS`.

The ``cache.json`` of old synchronous cache managers: one JSON object for all entries.

Each key stands for an object with ``value`` and, if they are known, ``created_at`` and
``expires_at``, in seconds since 1970 or as ISO 8601, and ``hit_count``. The object may be
wrapped in another one, as its ``entries``.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from aiocache_pe.backends.base import Usage
from aiocache_pe.cli import output
from aiocache_pe.cli.exit_codes import BadFileError, LeftOutError
from aiocache_pe.cli.progress import progress
from aiocache_pe.cli.session import Session
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import SerializationError
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.record import Record

_TOGETHER = 64  # entries that are stored at once
Outcome = Literal["imported", "kept", "expired"]


class ImportedEntry(NamedTuple):
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


class RejectedEntry(NamedTuple):
    """What stands in the place of an entry that means nothing.

    Attributes:
        key: its key.
        reason: why.
    """

    key: str
    reason: str


async def import_entries(
    session: Session, entries: Iterable[ImportedEntry | RejectedEntry]
) -> None:
    """Store entries, and tell how many.

    What is expired is left out, and so is what is not known to be newer than the entry that
    the cache has for the key: importing a file again changes nothing.

    Raises:
        LeftOutError: some meant nothing; all the others are stored.
    """
    space, counts, bad = (
        session.cache.loader.open_namespace(),
        Counter[Outcome](),
        list[RejectedEntry](),
    )
    left = iter(entries)
    async with progress("Importing entries"):
        while batch := list(islice(left, _TOGETHER)):
            for outcome in await asyncio.gather(*[_take_over(space, one) for one in batch]):
                if isinstance(outcome, RejectedEntry):
                    bad.append(outcome)
                else:
                    counts[outcome] += 1
            session.check()
    _tell(session, counts, bad)
    if bad:
        named = output.list_first((f"{one.key!r} {one.reason}" for one in bad), len(bad))
        raise LeftOutError(
            f"{output.count_entries(len(bad))} left out, all others are done: {named}"
        )


async def _take_over(
    space: Namespace, entry: ImportedEntry | RejectedEntry
) -> Outcome | RejectedEntry:
    if isinstance(entry, RejectedEntry):
        return entry
    engine, key = space.engine, space.prefix + entry.key
    now = engine.clock.time()
    if entry.expires_at is not None and entry.expires_at <= now:
        return "expired"
    created_at = now if entry.created_at is None else entry.created_at
    try:
        made = await engine.make_record(Item(key, entry.value))
    except SerializationError as error:
        return RejectedEntry(entry.key, f"cannot be stored: {error}")
    head = replace(made.head, created_at=created_at, expires_at=entry.expires_at)
    record = Record(head, made.payload)

    kept = False

    def unless_newer(there: Record | None) -> Record:
        nonlocal kept
        kept = there is not None and there.head.created_at >= (entry.created_at or 0.0)
        return there if there is not None and kept else record

    await space.update(key, unless_newer)
    if kept:
        return "kept"
    backend = engine.backend
    if entry.hit_count and isinstance(backend, Usage):
        usage = {key: (entry.hit_count, created_at)}
        await space.attempt("usage", backend.add_usage(usage), None)
    return "imported"


def _tell(session: Session, counts: Counter[Outcome], bad: list[RejectedEntry]) -> None:
    if session.json:
        told = {name: counts[name] for name in ("imported", "kept", "expired")}
        output.write_json({**told, "bad": [one._asdict() for one in bad]})
        return
    output.write_line(f"imported {output.count_entries(counts['imported'])}")
    if counts["kept"]:
        output.write_line(
            f"{output.count_entries(counts['kept'])} kept that the cache has as new, or newer"
        )
    if counts["expired"]:
        output.write_line(f"{output.count_entries(counts['expired'])} left out that expired")


ACCEPTED = (
    'accepted is a JSON object from keys to {"value": ..., "created_at": ..., "expires_at": ..., '
    '"hit_count": ...}, or {"entries": {...}} around it'
)


def read(content: bytes, name: str) -> Iterator[ImportedEntry | RejectedEntry]:
    """The entries in a file's content, in its order; errors give the file's ``name``.

    Raises:
        BadFileError: it is no such file; the error says what is accepted.
    """
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"{name} is not JSON ({error}); {ACCEPTED}") from error
    entries = _unwrapped(whole)
    if entries is None:
        raise BadFileError(f"{name} is JSON, but no such cache; {ACCEPTED}")
    return (_entry(key, described) for key, described in entries.items())


def _unwrapped(whole: Any) -> Mapping[str, Any] | None:
    """The object from keys to entries, if there is one."""
    if not isinstance(whole, dict):
        return None
    inner = whole.get("entries")
    # An entry may have that name, and has a value then.
    if isinstance(inner, dict) and not _is_entry(inner):
        return inner
    return whole if not whole or any(map(_is_entry, whole.values())) else None


def _is_entry(described: Any) -> bool:
    return isinstance(described, dict) and "value" in described


def _entry(key: str, described: Any) -> ImportedEntry | RejectedEntry:
    if not isinstance(described, dict):
        return RejectedEntry(key, f"is no object, but {json.dumps(described):.40}")
    if "value" not in described:
        return RejectedEntry(key, 'has no "value"')
    try:
        return ImportedEntry(
            check_key(key),
            described["value"],
            _moment("created_at", described.get("created_at")),
            _moment("expires_at", described.get("expires_at")),
            _count(described.get("hit_count")),
        )
    except ValueError as error:
        return RejectedEntry(key, str(error))


def _moment(name: str, given: Any) -> float | None:
    """Seconds since the epoch; a text without a zone is local time, as Python writes it."""
    if given is None:
        return None
    if type(given) in (int, float) and _is_moment(given):
        return float(given)
    if type(given) is str:
        try:
            return datetime.fromisoformat(given).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            pass
    told = json.dumps(given)
    raise ValueError(f"{name} is seconds since 1970, ISO 8601 or null, not {told:.40}")


def _is_moment(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int that no float can hold
        return False


def _count(given: Any) -> int:
    if given is None:
        return 0
    if type(given) is not int or not 0 <= given < 2**63:
        raise ValueError(f"hit_count is a number of reads, not {json.dumps(given):.40}")
    return given
