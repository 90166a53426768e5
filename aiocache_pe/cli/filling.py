"""Commands that fill a cache from a file, and their arguments.

They need most of the library, including the decorators. Therefore they are imported apart from the
other commands.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from aiocache_pe.cli import import_legacy, options, output, value_arguments
from aiocache_pe.cli.exit_codes import BadFileError, PartialFailureError
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.progress import show_progress
from aiocache_pe.cli.session import Session, run
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.warming.call_file import parse_calls
from aiocache_pe.warming.warm import WarmReport, warm_cache

_FILE = click.Path(path_type=Path, allow_dash=True)


@click.command("warm")
@click.argument("file", type=_FILE)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Number of simultaneous calls.",
)
@click.option("--refresh", is_flag=True, help="Recompute existing entries.")
@options.add_common_options
@options.settings
def warm(settings: Settings, file: Path, concurrency: int, *, refresh: bool) -> None:
    """Fill the cache from the call file FILE.

    FILE may be - for standard input. A line is JSON: {"call": "module:function", "args":
    [...], "kwargs": {...}} with a function decorated by cached, which fills its own cache, or
    {"key": ..., "value": ..., "ttl": ...}. Existing entries are not computed.
    """
    calls = read_calls(*_read_file(file))
    run(
        settings,
        lambda session: warm_and_report(session, calls, concurrency, refresh=refresh),
        creates=True,
    )


@click.command("import")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["legacy-json"]),
    required=True,
    help="Format of the file.",
)
@click.argument("file", type=_FILE)
@options.add_common_options
@options.settings
def import_(settings: Settings, file_format: str, file: Path) -> None:
    """Import the entries of FILE, with their times and hit counts.

    FILE may be - for standard input. Expired entries are skipped, and so are entries that are
    not newer than the entry in the cache. The format legacy-json is a JSON object from keys to
    {"value", "created_at", "expires_at", "hit_count"}.
    """
    entries = import_legacy.parse(*_read_file(file))
    run(
        settings,
        lambda session: import_legacy.import_entries(session, entries),
        creates=True,
    )


COMMANDS = (warm, import_)


def read_calls(content: bytes, name: str) -> list[Any]:
    """Return the calls of a call file; functions are also searched in the current directory.

    Raises:
        BadFileError: the file is not text, or a line is not valid; the error has its ``name``.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return list(parse_calls(content.decode("utf-8-sig"), name))
    except ConfigurationError as error:
        raise BadFileError(str(error)) from error
    except UnicodeError as error:
        raise BadFileError(f"{name} is not UTF-8 text ({error})") from error


async def warm_and_report(
    session: Session, calls: list[Any], concurrency: int, *, refresh: bool
) -> None:
    """Compute and store missing entries, and print the numbers of calls.

    Raises:
        PartialFailureError: some calls failed; all others are done.
    """
    async with show_progress("Warming") as progress:

        def update(report: WarmReport) -> None:
            progress.done, progress.total = report.done, report.total

        try:
            report = await warm_cache(
                session.cache, calls, concurrency=concurrency, refresh=refresh, on_progress=update
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


def _read_file(file: Path) -> tuple[bytes, str]:
    """Return the contents of a file, and its name for errors; ``-`` is standard input.

    Raises:
        BadFileError: the file cannot be read.
    """
    if str(file) == "-":
        return value_arguments.read_standard_input(), "standard input"
    try:
        return file.read_bytes(), str(file)
    except OSError as error:
        raise BadFileError(f"cannot read {file}: {error.strerror}") from error
