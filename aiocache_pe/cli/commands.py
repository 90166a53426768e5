"""Commands that inspect or clean a cache: their arguments, work, and output as text and JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from aiocache_pe.backends.base import Check
from aiocache_pe.cache.factory import find_legacy_file
from aiocache_pe.cli import options, output, value_arguments
from aiocache_pe.cli.exit_codes import AbsentError, DeclinedError, StoreFailedError
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.progress import show_progress
from aiocache_pe.cli.session import Session, command, run
from aiocache_pe.engine.stats import CacheEntry, CacheStats
from aiocache_pe.keys.code_digest import find_version
from aiocache_pe.record import Head
from aiocache_pe.sentinels import MISSING

_COUNTERS = ("sets", "deletes", "evictions", "expirations", "errors", "unstorable")
_KEY = click.argument("key")


@command(spans=True)
async def stats(session: Session) -> None:
    """Show the counters of all processes that used the cache."""
    total = 0
    for number, view in enumerate(await session.list_views()):
        if number and not session.json:
            output.write_line("")
        counts = await session.run(view.get_stats())
        total += counts.total_entries
        _write_stats(session, view.loader.namespace.name, counts)
    if not total:
        await session.report_other_namespaces()


def _write_stats(session: Session, name: str, counts: CacheStats) -> None:
    if session.json:
        content = {"namespace": name, **asdict(counts)}
        output.write_json({**content, "hit_rate": counts.hit_rate})
        return
    output.write_table(
        [
            ("cache", session.place),
            ("namespace", name),
            ("hits", f"{counts.hits:,}"),
            ("misses", f"{counts.misses:,}"),
            ("hit rate", f"{counts.hit_rate:.1%}"),
            *((name, f"{getattr(counts, name):,}") for name in _COUNTERS),
            ("time saved", output.format_duration(counts.seconds_saved)),
            *_iter_savings(counts),
            ("entries", f"{counts.total_entries:,}"),
            ("size", output.format_size(counts.total_size_bytes)),
        ]
    )


@command()
async def namespaces(session: Session) -> None:
    """List the namespaces that have entries, with the number and the size of these."""
    rows: list[tuple[str, int, int]] = []
    for name in await session.run(session.cache.namespaces()):
        counts = await session.run(session.cache.namespace(name).get_stats())
        rows.append((name, counts.total_entries, counts.total_size_bytes))
    if session.json:
        output.write_json(
            [{"namespace": name, "entries": count, "size": size} for name, count, size in rows]
        )
    elif rows:
        output.write_table(
            (output.escape(name), f"{output.count_entries(count)}, {output.format_size(size)}")
            for name, count, size in rows
        )


@click.command()
@options.yes
@options.common
def clear(settings: Settings) -> None:
    """Remove all entries of the namespace, after a confirmation."""
    if not settings.yes:
        _confirm(settings)
    run(settings, _clear)


@command(spans=True)
async def cleanup(session: Session) -> None:
    """Remove expired entries, and entries beyond the bounds.

    The remains of crashed processes are removed as well.
    """
    with show_progress("Removing expired entries"):
        views = await session.list_views()
        removed = sum([await session.run(view.cleanup_expired()) for view in views])
    _print_removed(session, removed)


@command(_KEY)
async def get(session: Session, key: str) -> None:
    """Print the value of KEY. This counts as a read."""
    value = await session.run(session.cache.get(key, MISSING))
    if value is MISSING:
        raise AbsentError(key)
    value_arguments.show(key, value, as_json=session.json)


@command(
    _KEY, click.argument("value", type=value_arguments.parse), options.ttl, name="set", creates=True
)
async def put(session: Session, key: str, value: Any, ttl: float | None) -> None:
    """Store VALUE under KEY.

    A VALUE that parses as JSON is stored as JSON, and any other VALUE as text. A VALUE of - is
    read from standard input. Write -- before a VALUE or KEY that begins with a hyphen.
    """
    await session.run(session.cache.set(key, value, ttl))
    if session.json:
        output.write_json({"key": key, "stored": True})


@command(_KEY)
async def delete(session: Session, key: str) -> None:
    """Remove the entry of KEY."""
    if not await session.run(session.cache.delete(key)):
        raise AbsentError(key)
    if session.json:
        output.write_json({"key": key, "deleted": True})


@command(click.argument("pattern", default="*"), spans=True)
async def keys(session: Session, pattern: str) -> None:
    """List the keys that match PATTERN, one per line.

    PATTERN is a glob: *, ? and [abc]. With --json each line is a JSON string, which keeps keys
    with line breaks apart. With --all-namespaces the namespace is in front of each key.
    """
    has_found = False
    for view in await session.list_views():
        async for key in view.keys(pattern):
            has_found = True
            name = view.loader.namespace.name
            if session.json:
                output.write_json({"namespace": name, "key": key} if session.spans else key)
            else:
                output.write_line(f"{name}\t{key}" if session.spans else key)
        session.check()
    if not has_found:
        await session.report_other_namespaces()


@command(_KEY)
async def inspect(session: Session, key: str) -> None:
    """Show the metadata of the entry of KEY. This does not count as a read."""
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
        "version": find_version(key),
        "file": session.namespace.location(store_key),
        "unreadable": unreadable or None,
    }
    if session.json:
        output.write_json({"key": key, "namespace": session.namespace.name, **facts})
    else:
        output.write_table(
            [("key", key), ("namespace", session.namespace.name), *_format_facts(facts)]
        )


@command()
async def doctor(session: Session) -> None:
    """Check the store; the exit code is 3 if a check fails."""
    checks = [*await session.namespace.examine(), *_check_legacy_file(session)]
    if all(check.level != "failure" for check in checks):
        checks += await _check_results(session)
    if session.json:
        output.write_json([check._asdict() for check in checks])
    elif checks:
        output.write_table([(f"{check.level:7}  {check.name}", check.detail) for check in checks])
    else:
        output.write_line("this store has no checks")
    failed = [check.name for check in checks if check.level == "failure"]
    if failed:
        raise StoreFailedError(f"failed checks: {', '.join(failed)}")


async def _check_results(session: Session) -> list[Check]:
    """Return a warning if functions compute results that cannot be stored."""
    count = (await session.cache.get_stats()).unstorable
    if not count:
        return []
    advice = "the log of the application names the functions, the types and the remedies"
    return [Check("results", "warning", f"{count:,} results could not be stored; {advice}")]


COMMANDS = (stats, namespaces, clear, cleanup, get, put, delete, keys, inspect, doctor)


def _confirm(settings: Settings) -> None:
    if not (output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)):
        raise click.UsageError(
            "clear asks for a confirmation, and there is no terminal; add --yes to confirm"
        )

    async def describe(session: Session) -> str:
        views = await session.list_views()
        counts = [await session.run(view.get_stats()) for view in views]
        entries = output.count_entries(sum(each.total_entries for each in counts))
        place = f"namespace {session.namespace.name!r}"
        if session.spans:
            place = f"{len(views)} namespace{'s' if len(views) != 1 else ''}"
        return f"{entries} of {place} in {session.place}"

    # Between two runs of the event loop: inside one, Ctrl-C would take effect only after Enter.
    if not click.confirm(f"Remove {run(settings, describe)}?", err=True):
        raise DeclinedError("nothing was removed")


async def _clear(session: Session) -> None:
    with show_progress("Removing entries"):
        views = await session.list_views()
        removed = sum([await session.run(view.clear()) for view in views])
    _print_removed(session, removed)
    if not removed:
        await session.report_other_namespaces()


def _check_legacy_file(session: Session) -> Iterator[Check]:
    found = find_legacy_file(session.place)
    if found is not None:
        yield Check("old cache", "warning", f"{found[0]} is not used; {found[1]}")


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
        ("version", facts["version"]),
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
