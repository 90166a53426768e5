"""The commands that look into a cache or tidy it, and their arguments."""

from __future__ import annotations

import sys

import click

from aiocache_pe.cli import operations, options, output, value_arguments
from aiocache_pe.cli.exit_codes import DeclinedError
from aiocache_pe.cli.options import Settings
from aiocache_pe.cli.output import on_terminal
from aiocache_pe.cli.session import run


@click.command()
@options.add_common_options
@options.settings
def stats(settings: Settings) -> None:
    """Show the counters, of all processes that used the cache."""
    run(settings, operations.stats)


@click.command()
@options.add_common_options
@options.yes
@options.settings
def clear(settings: Settings) -> None:
    """Remove all entries of the namespace; asks first."""
    if not settings.yes:
        _confirm(settings)
    run(settings, operations.clear)


@click.command()
@options.add_common_options
@options.settings
def cleanup(settings: Settings) -> None:
    """Remove what is expired, what exceeds the bounds, and what dead processes left."""
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

    A VALUE that parses as JSON is stored as such, any other as text; - is what the
    standard input holds. Before one that begins with a hyphen, write --.
    """
    stored = value_arguments.read(value)
    run(settings, lambda session: operations.put(session, key, stored, ttl), creates=True)


@click.command()
@click.argument("key")
@options.add_common_options
@options.settings
def delete(settings: Settings, key: str) -> None:
    """Remove the entry under KEY."""
    run(settings, lambda session: operations.delete(session, key))


@click.command()
@click.argument("pattern", default="*")
@options.add_common_options
@options.settings
def keys(settings: Settings, pattern: str) -> None:
    """List the keys that match PATTERN, one per line.

    PATTERN is a glob: *, ? and [abc]. With --json every line is a JSON string, so that
    keys which hold line breaks can be told apart.
    """
    run(settings, lambda session: operations.keys(session, pattern))


@click.command()
@click.argument("key")
@options.add_common_options
@options.settings
def inspect(settings: Settings, key: str) -> None:
    """Show what is known of the entry under KEY. This does not count as a read."""
    run(settings, lambda session: operations.inspect(session, key))


@click.command()
@options.add_common_options
@options.settings
def doctor(settings: Settings) -> None:
    """Look whether the store is fit; ends with 3 if it is not."""
    run(settings, operations.doctor)


COMMANDS = (stats, clear, cleanup, get, put, delete, keys, inspect, doctor)


def _confirm(settings: Settings) -> None:
    if not (on_terminal(sys.stdin) and on_terminal(sys.stderr)):
        raise click.UsageError("clear asks first, and here is no terminal to answer; give --yes")
    # Asked between two runs of the event loop: inside one, Ctrl-C would wait for Enter.
    count, of_what = run(settings, operations.count)
    if not click.confirm(f"Remove {output.count_entries(count)} of {of_what}?", err=True):
        raise DeclinedError("nothing was removed")
