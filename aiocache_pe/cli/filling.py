"""The commands that fill a cache, and their arguments.

They need most of the library, down to the decorators, so they are apart from those that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import click

from aiocache_pe.cli import legacy, options, values, warm
from aiocache_pe.cli.exits import BadFileError
from aiocache_pe.cli.importing import Bad, Entry, import_entries
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.session import run

FORMATS: Mapping[str, Callable[[bytes, str], Iterable[Entry | Bad]]] = {
    "legacy-json": legacy.read,
}
"""What `import` reads, by name."""
_FILE = click.Path(path_type=Path, allow_dash=True)


def _content(file: Path) -> tuple[bytes, str]:
    """What a file holds, and what to call it in errors; ``-`` is the standard input.

    Raises:
        BadFileError: it cannot be read.
    """
    if str(file) == "-":
        return values.standard_input(), "the standard input"
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
@options.common
@options.settings
def warm_(settings: Settings, file: Path, concurrency: int, *, refresh: bool) -> None:
    """Fill the cache from FILE, a call or an entry on each line; - is the standard input.

    A line is JSON: {"call": "module:function", "args": [...], "kwargs": {...}} with a
    function that is decorated with cached, which fills its own cache, or {"key": ...,
    "value": ..., "ttl": ...}. What is there already is not computed.
    """
    calls = warm.read(*_content(file))
    run(
        settings,
        lambda session: warm.warm(session, calls, concurrency, refresh=refresh),
        creates=True,
    )


@click.command("import")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What the file is."
)
@click.argument("file", type=_FILE)
@options.common
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
