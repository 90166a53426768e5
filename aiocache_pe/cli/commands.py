"""Commands that inspect or clean a cache, and their arguments."""

from __future__ import annotations

import sys

import click

from aiocache_pe.cli import operations, options, output, value_arguments
from aiocache_pe.cli.exit_codes import DeclinedError
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.output import is_terminal
from aiocache_pe.cli.session import run


@click.command()
@options.add_common_options
@options.settings
def stats(settings: Settings) -> None:
    """Show the counters of all processes that used the cache."""
    run(settings, operations.show_stats)


@click.command()
@options.add_common_options
@options.yes
@options.settings
def clear(settings: Settings) -> None:
    """Remove all entries of the namespace, after a confirmation."""
    if not settings.yes:
        _confirm(settings)
    run(settings, operations.clear)


@click.command()
@options.add_common_options
@options.settings
def cleanup(settings: Settings) -> None:
    """Remove expired entries, and entries beyond the bounds.

    The remains of crashed processes are removed as well.
    """
    run(settings, operations.remove_expired)


@click.command()
@click.argument("key")
@options.add_common_options
@options.settings
def get(settings: Settings, key: str) -> None:
    """Print the value of KEY. This counts as a read."""
    run(settings, lambda session: operations.get(session, key))


@click.command("set")
@click.argument("key")
@click.argument("value")
@options.ttl
@options.add_common_options
@options.settings
def put(settings: Settings, key: str, value: str, ttl: float | None) -> None:
    """Store VALUE under KEY.

    A VALUE that parses as JSON is stored as JSON, and any other VALUE as text. A VALUE of - is
    read from standard input. Write -- before a VALUE or KEY that begins with a hyphen.
    """
    parsed = value_arguments.parse(value)
    run(settings, lambda session: operations.put(session, key, parsed, ttl), creates=True)


@click.command()
@click.argument("key")
@options.add_common_options
@options.settings
def delete(settings: Settings, key: str) -> None:
    """Remove the entry of KEY."""
    run(settings, lambda session: operations.delete(session, key))


@click.command()
@click.argument("pattern", default="*")
@options.add_common_options
@options.settings
def keys(settings: Settings, pattern: str) -> None:
    """List the keys that match PATTERN, one per line.

    PATTERN is a glob: *, ? and [abc]. With --json each line is a JSON string, which keeps keys
    with line breaks apart.
    """
    run(settings, lambda session: operations.list_keys(session, pattern))


@click.command()
@click.argument("key")
@options.add_common_options
@options.settings
def inspect(settings: Settings, key: str) -> None:
    """Show the metadata of the entry of KEY. This does not count as a read."""
    run(settings, lambda session: operations.inspect(session, key))


@click.command()
@options.add_common_options
@options.settings
def doctor(settings: Settings) -> None:
    """Check the store; the exit code is 3 if a check fails."""
    run(settings, operations.examine)


COMMANDS = (stats, clear, cleanup, get, put, delete, keys, inspect, doctor)


def _confirm(settings: Settings) -> None:
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise click.UsageError(
            "clear asks for a confirmation, and there is no terminal; add --yes to confirm"
        )
    # Between two runs of the event loop: inside one, Ctrl-C would take effect only after Enter.
    count, place = run(settings, operations.count_entries)
    if not click.confirm(f"Remove {output.count_entries(count)} of {place}?", err=True):
        raise DeclinedError("nothing was removed")
