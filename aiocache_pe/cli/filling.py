"""Commands that fill a cache from a file, and their arguments.

They need most of the library, including the decorators. Therefore they are imported apart from the
other commands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from aiocache_pe.cli import import_legacy, output, value_arguments
from aiocache_pe.cli.exit_codes import BadFileError, PartialFailureError
from aiocache_pe.cli.import_legacy import ImportedEntry, RejectedEntry
from aiocache_pe.cli.progress import show_progress
from aiocache_pe.cli.session import Session, command
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.warming.call_file import parse_calls
from aiocache_pe.warming.warm import warm_cache


def read_calls(file: str) -> list[Any]:
    """Return the calls of a call file; functions are also searched in the current directory."""
    content, name = _read_file(file)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return list(parse_calls(content.decode("utf-8-sig"), name))
    except ConfigurationError as error:
        raise BadFileError(str(error)) from error
    except UnicodeError as error:
        raise BadFileError(f"{name} is not UTF-8 text ({error})") from error


def _read_file(file: str) -> tuple[bytes, str]:
    """Return the contents of a file, and its name for errors; ``-`` is standard input."""
    if file == "-":
        return value_arguments.read_standard_input(), "standard input"
    try:
        return Path(file).read_bytes(), file
    except OSError as error:
        raise BadFileError(f"cannot read {file}: {error.strerror}") from error


@command(
    click.argument(
        "calls", type=read_calls, metavar="[FILE]", required=False, envvar="AIOCACHE_PE_WARM"
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Number of simultaneous calls.",
    ),
    click.option("--refresh", is_flag=True, help="Recompute existing entries."),
    creates=True,
)
async def warm(
    session: Session, calls: list[Any] | None, concurrency: int, *, refresh: bool
) -> None:
    """Fill the cache from the call file FILE.

    FILE may be - for standard input. By default AIOCACHE_PE_WARM names the file. A line is JSON:
    {"call": "module:function", "args": [...], "kwargs": {...}} with a function decorated by
    cached, which fills its own cache, or {"key": ..., "value": ..., "ttl": ...}. Existing
    entries are not computed.
    """
    if calls is None:
        raise click.UsageError("FILE must be given, or AIOCACHE_PE_WARM must name a call file")
    with show_progress("Warming") as update:
        try:
            report = await warm_cache(
                session.cache,
                calls,
                concurrency=concurrency,
                refresh=refresh,
                on_progress=lambda report: update(report.done, report.total),
            )
        except TypeError as error:  # a function that is not decorated
            raise BadFileError(str(error)) from error
    session.check()
    failures = [(call, f"{type(error).__name__}: {error}") for call, error in report.failures]
    if session.json:
        output.write_json(
            {
                "computed": report.computed,
                "present": report.present,
                "failed": report.failed,
                "failures": [{"call": call, "error": error} for call, error in failures],
            }
        )
    else:
        output.write_line(f"computed {report.computed:,}, already present {report.present:,}")
    if report.failed:
        first = output.list_first((f"{call}: {error}" for call, error in failures), report.failed)
        raise PartialFailureError(f"{report.failed:,} failed, all others are done: {first}")


@command(
    click.option(
        "--format",
        "file_format",
        type=click.Choice(["legacy-json"]),
        required=True,
        expose_value=False,
        help="Format of the file.",
    ),
    click.argument(
        "entries", type=lambda file: import_legacy.parse(*_read_file(file)), metavar="FILE"
    ),
    name="import",
    creates=True,
)
async def import_(session: Session, entries: Iterator[ImportedEntry | RejectedEntry]) -> None:
    """Import the entries of FILE, with their times and hit counts.

    FILE may be - for standard input. Expired entries are skipped, and so are entries that are
    not newer than the entry in the cache. The format legacy-json is a JSON object from keys to
    {"value", "created_at", "expires_at", "hit_count"}.
    """
    await import_legacy.import_entries(session, entries)


COMMANDS = (warm, import_)
