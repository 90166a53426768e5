"""Import of ``cache.json``, the file format of old synchronous cache managers.

The file is one JSON object for all entries. Each key has an object with ``value`` and, where known,
``created_at`` and ``expires_at``, in seconds since 1970 or as ISO 8601, and ``hit_count``. The
object may also be the ``entries`` of another object.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from aiocache_pe.cli import output
from aiocache_pe.cli.exit_codes import BadFileError, PartialFailureError
from aiocache_pe.cli.progress import show_progress
from aiocache_pe.cli.session import Session
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import SerializationError
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.record import Record

_BATCH_SIZE = 64
_FORMAT = (
    'a JSON object from keys to {"value": ..., "created_at": ..., "expires_at": ..., '
    '"hit_count": ...}, or {"entries": {...}} around it'
)
Outcome = Literal["imported", "kept", "expired"]


class ImportedEntry(NamedTuple):
    """An entry of a file; times are seconds since the epoch, and ``None`` if there is none."""

    key: str
    value: Any
    created_at: float | None = None
    expires_at: float | None = None
    hit_count: int = 0


class RejectedEntry(NamedTuple):
    """An entry of a file that is not valid, with the reason for the user."""

    key: str
    reason: str


def parse(content: bytes, name: str) -> Iterator[ImportedEntry | RejectedEntry]:
    """Return the entries of a file; raise `BadFileError` with its ``name`` for another format."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"{name} is not JSON ({error}); it must be {_FORMAT}") from error
    entries = _find_entries(parsed)
    if entries is None:
        raise BadFileError(f"{name} has another format; it must be {_FORMAT}")
    return (_parse_entry(key, entry) for key, entry in entries.items())


async def import_entries(
    session: Session, entries: Iterable[ImportedEntry | RejectedEntry]
) -> None:
    """Store entries, and print their number.

    Expired entries are skipped. An entry that is not known to be newer than the entry in the
    cache is skipped as well, so that a second import of a file changes nothing.
    """
    counts, rejected = Counter[Outcome](), list[RejectedEntry]()
    rest = iter(entries)
    with show_progress("Importing entries"):
        while batch := list(islice(rest, _BATCH_SIZE)):
            imports = [_import(session.namespace, entry) for entry in batch]
            for outcome in await asyncio.gather(*imports):
                if isinstance(outcome, RejectedEntry):
                    rejected.append(outcome)
                else:
                    counts[outcome] += 1
            session.check()
    _print_counts(session, counts, rejected)
    if rejected:
        first = (f"{entry.key!r}: {entry.reason}" for entry in rejected)
        raise PartialFailureError(
            f"{output.count_entries(len(rejected))} skipped, all others are done: "
            f"{output.list_first(first, len(rejected))}"
        )


async def _import(
    namespace: Namespace, entry: ImportedEntry | RejectedEntry
) -> Outcome | RejectedEntry:
    if isinstance(entry, RejectedEntry):
        return entry
    key, now = namespace.prefix + entry.key, namespace.time()
    if entry.expires_at is not None and entry.expires_at <= now:
        return "expired"
    created_at = now if entry.created_at is None else entry.created_at
    try:
        new = await namespace.engine.make_record(Item(key, entry.value))
    except SerializationError as error:
        return RejectedEntry(entry.key, f"cannot be stored: {error}")
    head = replace(new.head, created_at=created_at, expires_at=entry.expires_at)
    record = Record(head, new.payload)

    is_kept = False

    def choose_newer(stored: Record | None) -> Record:
        nonlocal is_kept
        is_kept = stored is not None and stored.head.created_at >= (entry.created_at or 0.0)
        return stored if stored is not None and is_kept else record

    await namespace.update(key, choose_newer)
    if is_kept:
        return "kept"
    if entry.hit_count:
        await namespace.add_usage({key: (entry.hit_count, created_at)})
    return "imported"


def _print_counts(
    session: Session, counts: Counter[Outcome], rejected: list[RejectedEntry]
) -> None:
    if session.json:
        numbers = {name: counts[name] for name in ("imported", "kept", "expired")}
        output.write_json({**numbers, "bad": [entry._asdict() for entry in rejected]})
        return
    output.write_line(f"imported {output.count_entries(counts['imported'])}")
    if counts["kept"]:
        kept = output.count_entries(counts["kept"])
        output.write_line(f"skipped {kept}: the cache has an entry that is not older")
    if counts["expired"]:
        output.write_line(f"skipped {output.count_entries(counts['expired'])}: expired")


def _find_entries(parsed: Any) -> Mapping[str, Any] | None:
    """Return the object from keys to entries, if there is one."""
    if not isinstance(parsed, dict):
        return None
    inner = parsed.get("entries")
    # An entry may have the key "entries"; it then has a value.
    if isinstance(inner, dict) and not _is_entry(inner):
        return inner
    return parsed if not parsed or any(map(_is_entry, parsed.values())) else None


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and "value" in value


def _parse_entry(key: str, entry: Any) -> ImportedEntry | RejectedEntry:
    if not isinstance(entry, dict):
        return RejectedEntry(key, f"must be an object; got {json.dumps(entry):.40}")
    if "value" not in entry:
        return RejectedEntry(key, 'has no "value"')
    try:
        return ImportedEntry(
            check_key(key),
            entry["value"],
            _parse_time("created_at", entry.get("created_at")),
            _parse_time("expires_at", entry.get("expires_at")),
            _parse_count(entry.get("hit_count")),
        )
    except ValueError as error:
        return RejectedEntry(key, str(error))


def _parse_time(name: str, value: Any) -> float | None:
    """Return seconds since the epoch; a text without a time zone is local time."""
    if value is None:
        return None
    with suppress(ValueError, OverflowError):  # a number or year that is too large
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
        if type(value) is str:
            return datetime.fromisoformat(value).astimezone(UTC).timestamp()
    raise ValueError(
        f"{name} must be seconds since 1970, ISO 8601 or null; got {json.dumps(value):.40}"
    )


def _parse_count(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"hit_count must be a number of reads; got {json.dumps(value):.40}")
    return value
