"""The commands that fill a cache, and their arguments.

They need most of the library, down to the decorators, so they are apart from those that do not.

Filling a cache from a file of calls; see `aiocache_pe.warming.warm`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from aiocache_pe.cli import importing, options, output, value_arguments
from aiocache_pe.cli.exit_codes import BadFileError, LeftOutError
from aiocache_pe.cli.importing import ImportedEntry, RejectedEntry, import_entries
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.progress import progress
from aiocache_pe.cli.session import Session, run
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.warming.call_file import parse_calls
from aiocache_pe.warming.warm import WarmReport, warm_cache


def read(content: bytes, name: str) -> list[Any]:
    """The calls in a file's content; functions are looked for in the current directory too.

    Raises:
        BadFileError: it is no text, or a line means nothing; the error gives the ``name``.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return list(parse_calls(content.decode("utf-8-sig"), name))
    except ConfigurationError as error:
        raise BadFileError(str(error)) from error
    except UnicodeError as error:
        raise BadFileError(f"{name} is not UTF-8 text ({error})") from error


async def warm(session: Session, calls: list[Any], concurrency: int, *, refresh: bool) -> None:
    """Compute and store what is not there yet, and tell how many that was.

    Raises:
        LeftOutError: some calls failed; all the others are done.
    """
    async with progress("Warming") as bar:

        def tell(report: WarmReport) -> None:
            bar.done, bar.total = report.done, report.total

        try:
            report = await warm_cache(
                session.cache, calls, concurrency=concurrency, refresh=refresh, on_progress=tell
            )
        except TypeError as error:  # a function that is not a cached one
            raise BadFileError(str(error)) from error
    session.check()
    _tell(session, report)
    if report.failed:
        failures = (f"{words}: {_told(error)}" for words, error in report.failures)
        named = output.list_first(failures, report.failed)
        raise LeftOutError(f"{report.failed:,} failed, all others are done: {named}")


def _tell(session: Session, report: WarmReport) -> None:
    if session.json:
        failures = [{"call": words, "error": _told(error)} for words, error in report.failures]
        output.write_json(
            {
                "computed": report.computed,
                "present": report.present,
                "failed": report.failed,
                "failures": failures,
            }
        )
    else:
        output.write_line(f"computed {report.computed:,}, present already {report.present:,}")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


FORMATS: Mapping[str, Callable[[bytes, str], Iterable[ImportedEntry | RejectedEntry]]] = {
    "legacy-json": importing.read,
}
"""What `import` reads, by name."""
_FILE = click.Path(path_type=Path, allow_dash=True)


def _content(file: Path) -> tuple[bytes, str]:
    """What a file holds, and what to call it in errors; ``-`` is the standard input.

    Raises:
        BadFileError: it cannot be read.
    """
    if str(file) == "-":
        return value_arguments.read_standard_input(), "the standard input"
    try:
        return file.read_bytes(), str(file)
    except OSError as error:
        raise BadFileError(f"cannot read {file}: {error.strerror}") from error


@click.command("warm")
@click.argument("file", type=_FILE)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="How many calls at a time.",
)
@click.option("--refresh", is_flag=True, help="Compute anew also what is there.")
@options.add_common_options
@options.settings
def warm_(settings: Settings, file: Path, concurrency: int, *, refresh: bool) -> None:
    """Fill the cache from FILE, a call or an entry on each line; - is the standard input.

    A line is JSON: {"call": "module:function", "args": [...], "kwargs": {...}} with a
    function that is decorated with cached, which fills its own cache, or {"key": ...,
    "value": ..., "ttl": ...}. What is there already is not computed.
    """
    calls = read(*_content(file))
    run(
        settings,
        lambda session: warm(session, calls, concurrency, refresh=refresh),
        creates=True,
    )


@click.command("import")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What the file is."
)
@click.argument("file", type=_FILE)
@options.add_common_options
@options.settings
def import_(settings: Settings, form: str, file: Path) -> None:
    """Take over the entries of FILE, with their times and their counts of reads; - is stdin.

    What is expired is left out, and what is not newer than what the cache has. The format
    legacy-json is one JSON object from keys to {"value", "created_at", "expires_at",
    "hit_count"}.
    """
    entries = FORMATS[form](*_content(file))
    run(settings, lambda session: import_entries(session, entries), creates=True)


COMMANDS = (warm_, import_)
