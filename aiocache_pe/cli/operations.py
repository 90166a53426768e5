"""Operations of the commands, with their output as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from aiocache_pe.cli import output, value_arguments
from aiocache_pe.cli.exit_codes import AbsentError, StoreFailedError
from aiocache_pe.cli.progress import show_progress
from aiocache_pe.cli.session import Session
from aiocache_pe.engine.stats import CacheEntry, CacheStats
from aiocache_pe.record import Head
from aiocache_pe.sentinels import MISSING

_COUNTERS = ("sets", "deletes", "evictions", "expirations", "errors")


async def get(session: Session, key: str) -> None:
    """Print a value; this counts as a read."""
    value = await session.run(session.cache.get(key, MISSING))
    if value is MISSING:
        raise AbsentError(key)
    value_arguments.show(key, value, as_json=session.json)


async def put(session: Session, key: str, value: Any, ttl: float | None) -> None:
    """Store a value."""
    await session.run(session.cache.set(key, value, ttl))
    if session.json:
        output.write_json({"key": key, "stored": True})


async def delete(session: Session, key: str) -> None:
    """Remove an entry."""
    if not await session.run(session.cache.delete(key)):
        raise AbsentError(key)
    if session.json:
        output.write_json({"key": key, "deleted": True})


async def list_keys(session: Session, pattern: str) -> None:
    """Print the keys that match a pattern, as they are found; this does not count as a read."""
    async for key in session.cache.keys(pattern):
        if session.json:
            output.write_json(key)
        else:
            output.write_line(key)
    session.check()


async def count_entries(session: Session) -> tuple[int, str]:
    """Return the number of entries, and a description of their namespace."""
    stats = await session.run(session.cache.get_stats())
    return stats.total_entries, f"namespace {session.namespace.name!r} in {session.place}"


async def clear(session: Session) -> None:
    """Remove all entries in the namespace."""
    async with show_progress("Removing entries"):
        removed = await session.run(session.cache.clear())
    _print_removed(session, removed)


async def remove_expired(session: Session) -> None:
    """Remove expired entries, and the remains of crashed processes."""
    async with show_progress("Removing expired entries"):
        removed = await session.run(session.cache.cleanup_expired())
    _print_removed(session, removed)


async def show_stats(session: Session) -> None:
    """Print the counters of all processes that used the cache."""
    stats = await session.run(session.cache.get_stats())
    counters = {name: getattr(stats, name) for name in _COUNTERS}
    if session.json:
        output.write_json(
            {
                "namespace": session.namespace.name,
                "hits": stats.hits,
                "misses": stats.misses,
                "hit_rate": stats.hit_rate,
                **counters,
                "seconds_saved": stats.seconds_saved,
                "input_tokens_saved": stats.input_tokens_saved,
                "output_tokens_saved": stats.output_tokens_saved,
                "money_saved": stats.money_saved,
                "total_entries": stats.total_entries,
                "total_size_bytes": stats.total_size_bytes,
            }
        )
        return
    output.write_table(
        [
            ("cache", session.place),
            ("namespace", session.namespace.name),
            ("hits", f"{stats.hits:,}"),
            ("misses", f"{stats.misses:,}"),
            ("hit rate", f"{stats.hit_rate:.1%}"),
            *((name, f"{number:,}") for name, number in counters.items()),
            ("time saved", output.format_duration(stats.seconds_saved)),
            *_iter_savings(stats),
            ("entries", f"{stats.total_entries:,}"),
            ("size", output.format_size(stats.total_size_bytes)),
        ]
    )


async def inspect(session: Session, key: str) -> None:
    """Print the metadata of an entry; this does not count as a read."""
    ttl = await session.run(session.cache.get_ttl(key))
    if ttl is None:
        raise AbsentError(key)
    entry = await session.cache.entry(key)
    # A class that only the application knows cannot be decoded here; all other facts are printed.
    unreadable = session.describe_failures() if entry is None else ""
    store_key = session.namespace.prefix + key
    head = await session.namespace.get_head(store_key)
    if head is None:  # it was removed since `get_ttl`
        session.check()
        raise AbsentError(key)
    facts = _list_facts(head, entry, ttl) | {
        "file": session.namespace.location(store_key),
        "unreadable": unreadable or None,
    }
    if session.json:
        output.write_json({"key": key, "namespace": session.namespace.name, **facts})
    else:
        output.write_table(
            [("key", key), ("namespace", session.namespace.name), *_format_facts(facts)]
        )


async def examine(session: Session) -> None:
    """Print the results of the store's checks.

    Raises:
        StoreFailedError: a check failed.
    """
    checks = await session.namespace.examine()
    if session.json:
        output.write_json([check._asdict() for check in checks])
    elif checks:
        output.write_table([(f"{check.level:7}  {check.name}", check.detail) for check in checks])
    else:
        output.write_line("this store has no checks")
    failed = [check.name for check in checks if check.level == "failure"]
    if failed:
        raise StoreFailedError(f"failed checks: {', '.join(failed)}")


def _print_removed(session: Session, removed: int) -> None:
    if session.json:
        output.write_json({"removed": removed})
    else:
        output.write_line(f"removed {output.count_entries(removed)}")


def _iter_savings(stats: CacheStats) -> Iterator[tuple[str, str]]:
    """Yield the rows for tokens and money, if there are any."""
    sent, generated = stats.input_tokens_saved, stats.output_tokens_saved
    if sent or generated:
        yield "tokens saved", f"{sent:,} in, {generated:,} out"
    if stats.money_saved:
        yield "money saved", output.format_money(stats.money_saved)


def _list_facts(head: Head, entry: CacheEntry | None, ttl: float) -> dict[str, Any]:
    return {
        "type": None if entry is None else value_arguments.get_type_name(entry.value),
        "created_at": head.created_at,
        "expires_at": head.expires_at,
        "ttl": None if math.isinf(ttl) else ttl,
        "last_access": None if entry is None else entry.last_access,
        "hit_count": None if entry is None else entry.hit_count,
        "size_bytes": None if entry is None else entry.size_bytes,
        "tags": sorted(head.tags),
        "codec": head.codec,
    }


def _format_facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of a table; unknown facts are left out."""
    expires = "never"
    if facts["expires_at"] is not None:
        expires = (
            f"{output.format_time(facts['expires_at'])}, in {output.format_duration(facts['ttl'])}"
        )
    rows: list[tuple[str, str | None]] = [
        ("type", facts["type"]),
        ("unreadable", facts["unreadable"]),
        ("created", output.format_time(facts["created_at"])),
        ("expires", expires),
    ]
    if facts["last_access"] is not None:
        rows += [
            ("last access", output.format_time(facts["last_access"])),
            ("hits", f"{facts['hit_count']:,}"),
            ("size", output.format_size(facts["size_bytes"])),
        ]
    rows += [
        ("tags", ", ".join(facts["tags"]) or None),
        ("codec", facts["codec"]),
        ("file", facts["file"]),
    ]
    return [(name, value) for name, value in rows if value is not None]
