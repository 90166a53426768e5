"""The commands and their arguments. The flags of the same names call these."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import click

from aiocache_pe.cli import actions, legacy, options, values, warm
from aiocache_pe.cli.exits import DeclinedError
from aiocache_pe.cli.importing import Bad, Entry, import_entries
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.output import on_terminal
from aiocache_pe.cli.session import run

FORMATS: Mapping[str, Callable[[Path], Iterable[Entry | Bad]]] = {"legacy-json": legacy.read}
"""What `import` reads, by name."""


@click.command()
@options.common
@options.settings
def stats(settings: Settings) -> None:
    """Show the counters, of all processes that used the cache."""
    run(settings, actions.stats)


@click.command()
@options.common
@options.yes
@options.settings
def clear(settings: Settings) -> None:
    """Remove all entries of the namespace; asks first."""
    if not settings.yes:
        _confirm(settings)
    run(settings, actions.clear)


@click.command()
@options.common
@options.settings
def cleanup(settings: Settings) -> None:
    """Remove what is expired, and what dead processes left."""
    run(settings, actions.cleanup)


@click.command()
@click.argument("key")
@options.common
@options.settings
def get(settings: Settings, key: str) -> None:
    """Print the value of KEY. This counts as a read."""
    run(settings, lambda session: actions.get(session, key))


@click.command("set")
@click.argument("key")
@click.argument("value")
@options.ttl
@options.common
@options.settings
def put(settings: Settings, key: str, value: str, ttl: float | None) -> None:
    """Store VALUE under KEY.

    A VALUE that parses as JSON is stored as such, any other as text; - is what the
    standard input holds. Before one that begins with a hyphen, write --.
    """
    stored = values.read(value)
    run(settings, lambda session: actions.put(session, key, stored, ttl), creates=True)


@click.command()
@click.argument("key")
@options.common
@options.settings
def delete(settings: Settings, key: str) -> None:
    """Remove the entry under KEY."""
    run(settings, lambda session: actions.delete(session, key))


@click.command()
@click.argument("pattern", default="*")
@options.common
@options.settings
def keys(settings: Settings, pattern: str) -> None:
    """List the keys that match PATTERN, one per line.

    PATTERN is a glob: *, ? and [abc]. With --json every line is a JSON string, so that
    keys which hold line breaks can be told apart.
    """
    run(settings, lambda session: actions.keys(session, pattern))


@click.command()
@click.argument("key")
@options.common
@options.settings
def inspect(settings: Settings, key: str) -> None:
    """Show what is known of the entry under KEY. This does not count as a read."""
    run(settings, lambda session: actions.inspect(session, key))


@click.command("warm")
@click.argument("file", type=click.Path(path_type=Path))
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
    """Fill the cache from FILE, a call or an entry on each line.

    A line is JSON: {"call": "module:function", "args": [...], "kwargs": {...}} with a
    function that is decorated with cached, which fills its own cache, or {"key": ...,
    "value": ..., "ttl": ...}. What is there already is not computed.
    """
    calls = warm.read(file)
    run(
        settings,
        lambda session: warm.warm(session, calls, concurrency, refresh=refresh),
        creates=True,
    )


@click.command("import")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What the file is."
)
@click.argument("file", type=click.Path(path_type=Path))
@options.common
@options.settings
def import_(settings: Settings, form: str, file: Path) -> None:
    """Take over the entries of FILE, with their times and their counts of reads.

    What is expired is left out, and what is not newer than what the cache has. The format
    legacy-json is one JSON object from keys to {"value", "created_at", "expires_at",
    "hit_count"}.
    """
    entries = FORMATS[form](file)
    run(settings, lambda session: import_entries(session, entries), creates=True)


@click.command()
@options.common
@options.settings
def doctor(settings: Settings) -> None:
    """Look whether the store is fit; ends with 3 if it is not."""
    run(settings, actions.doctor)


def _confirm(settings: Settings) -> None:
    if not (on_terminal(sys.stdin) and on_terminal(sys.stderr)):
        raise click.UsageError("clear asks first, and here is no terminal to answer; give --yes")
    # Asked between two runs of the event loop: inside one, Ctrl-C would wait for Enter.
    entries, of_what = run(settings, actions.count)
    shown = "1 entry" if entries == 1 else f"{entries:,} entries"
    if not click.confirm(f"Remove {shown} of {of_what}?", err=True):
        raise DeclinedError("nothing was removed")
