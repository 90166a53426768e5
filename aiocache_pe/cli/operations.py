"""What the commands do, each in one place for both of its spellings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from aiocache_pe.backends.base import Examinable, Located
from aiocache_pe.cli import output, value_arguments
from aiocache_pe.cli.exit_codes import AbsentError, StoreFailedError
from aiocache_pe.cli.progress import progress
from aiocache_pe.cli.session import Session
from aiocache_pe.engine.stats import CacheEntry, CacheStats
from aiocache_pe.keys.store_keys import make_namespace_prefix
from aiocache_pe.record import Record
from aiocache_pe.sentinels import MISSING

_COUNTERS = ("sets", "deletes", "evictions", "expirations", "errors")


async def get(session: Session, key: str) -> None:
    """Print a value; this counts as a read."""
    value = await session.ask(session.cache.get(key, MISSING))
    if value is MISSING:
        raise AbsentError(key)
    value_arguments.show(key, value, as_json=session.json)


async def put(session: Session, key: str, value: Any, ttl: float | None) -> None:
    """Store a value."""
    await session.ask(session.cache.set(key, value, ttl))
    if session.json:
        output.write_json({"key": key, "stored": True})


async def delete(session: Session, key: str) -> None:
    """Remove an entry."""
    if not await session.ask(session.cache.delete(key)):
        raise AbsentError(key)
    if session.json:
        output.write_json({"key": key, "deleted": True})


async def keys(session: Session, pattern: str) -> None:
    """Print the keys that match, as they are found; this does not count as reading them."""
    async for key in session.cache.keys(pattern):
        if session.json:
            output.write_json(key)
        else:
            output.write_line(key)
    session.check()


async def count(session: Session) -> tuple[int, str]:
    """How many entries there are, and of what."""
    stats = await session.ask(session.cache.get_stats())
    return stats.total_entries, f"namespace {session.namespace!r} in {session.place}"


async def clear(session: Session) -> None:
    """Remove everything in the namespace."""
    async with progress("Removing entries"):
        removed = await session.ask(session.cache.clear())
    _tell_removed(session, removed)


async def remove_expired(session: Session) -> None:
    """Remove what is expired, and what dead processes left."""
    async with progress("Removing expired entries"):
        removed = await session.ask(session.cache.cleanup_expired())
    _tell_removed(session, removed)


async def stats(session: Session) -> None:
    """Print the counters, of all processes that used the cache."""
    found = await session.ask(session.cache.get_stats())
    counters = {name: getattr(found, name) for name in _COUNTERS}
    if session.json:
        output.write_json(
            {
                "namespace": session.namespace,
                "hits": found.hits,
                "misses": found.misses,
                "hit_rate": found.hit_rate,
                **counters,
                "seconds_saved": found.seconds_saved,
                "input_tokens_saved": found.input_tokens_saved,
                "output_tokens_saved": found.output_tokens_saved,
                "money_saved": found.money_saved,
                "total_entries": found.total_entries,
                "total_size_bytes": found.total_size_bytes,
            }
        )
        return
    output.write_table(
        [
            ("cache", session.place),
            ("namespace", session.namespace),
            ("hits", f"{found.hits:,}"),
            ("misses", f"{found.misses:,}"),
            ("hit rate", f"{found.hit_rate:.1%}"),
            *((name, f"{number:,}") for name, number in counters.items()),
            ("time saved", output.format_duration(found.seconds_saved)),
            *_saved(found),
            ("entries", f"{found.total_entries:,}"),
            ("size", output.format_size(found.total_size_bytes)),
        ]
    )


def _saved(found: CacheStats) -> Iterator[tuple[str, str]]:
    """What else was saved, where models were asked and prices are known."""
    sent, answered = found.input_tokens_saved, found.output_tokens_saved
    if sent or answered:
        yield "tokens saved", f"{sent:,} in, {answered:,} out"
    if found.money_saved:
        yield "money saved", output.format_money(found.money_saved)


async def inspect(session: Session, key: str) -> None:
    """Print what is known of an entry; this does not count as reading it."""
    left = await session.ask(session.cache.get_ttl(key))
    if left is None:
        raise AbsentError(key)
    entry = await session.cache.entry(key)
    # A class that only the application knows cannot be read here; the rest is still told.
    unreadable = session.trouble() if entry is None else ""
    store_key = make_namespace_prefix(session.namespace) + key
    record = (await session.store.read([store_key])).get(store_key)
    if not isinstance(record, Record):  # it went away just now
        raise AbsentError(key)
    facts = _facts(record, entry, left) | {
        "file": session.store.location(store_key) if isinstance(session.store, Located) else None,
        "unreadable": unreadable or None,
    }
    if session.json:
        output.write_json({"key": key, "namespace": session.namespace, **facts})
    else:
        output.write_table([("key", key), ("namespace", session.namespace), *_told(facts)])


async def doctor(session: Session) -> None:
    """Tell how fit the store is.

    Raises:
        StoreFailedError: something that it cannot do without is wrong.
    """
    store = session.store
    checks = await store.examine() if isinstance(store, Examinable) else ()
    if session.json:
        output.write_json([check._asdict() for check in checks])
    elif checks:
        output.write_table([(f"{check.level:7}  {check.name}", check.detail) for check in checks])
    else:
        output.write_line("this store cannot tell how it is")
    failed = [check.name for check in checks if check.level == "failure"]
    if failed:
        raise StoreFailedError(f"not fit: {', '.join(failed)}")


def _facts(record: Record, entry: CacheEntry | None, left: float) -> dict[str, Any]:
    head = record.head
    return {
        "type": None if entry is None else value_arguments.type_name(entry.value),
        "created_at": head.created_at,
        "expires_at": head.expires_at,
        "ttl": None if math.isinf(left) else left,
        "last_access": None if entry is None else entry.last_access,
        "hit_count": None if entry is None else entry.hit_count,
        "size_bytes": None if entry is None else entry.size_bytes,
        "tags": sorted(head.tags),
        "codec": head.codec,
    }


def _told(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts in words; what is not known is left out."""
    expires = "never"
    if facts["expires_at"] is not None:
        expires = (
            f"{output.format_time(facts['expires_at'])}, in {output.format_duration(facts['ttl'])}"
        )
    told: list[tuple[str, str | None]] = [
        ("type", facts["type"]),
        ("unreadable", facts["unreadable"]),
        ("created", output.format_time(facts["created_at"])),
        ("expires", expires),
    ]
    if facts["last_access"] is not None:
        told += [
            ("last access", output.format_time(facts["last_access"])),
            ("hits", f"{facts['hit_count']:,}"),
            ("size", output.format_size(facts["size_bytes"])),
        ]
    told += [
        ("tags", ", ".join(facts["tags"]) or None),
        ("codec", facts["codec"]),
        ("file", facts["file"]),
    ]
    return [(name, value) for name, value in told if value is not None]


def _tell_removed(session: Session, removed: int) -> None:
    if session.json:
        output.write_json({"removed": removed})
    else:
        output.write_line(f"removed {output.count_entries(removed)}")
