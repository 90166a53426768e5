"""``aiocache-pe``: the program, its flags, and how it ends."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from aiocache_pe._version import __version__
from aiocache_pe.cli import commands, exit_codes, options, output

_EPILOG = """\b
A flag and the command of its name do the same; one at a time.
\b
Exit codes:
  0    done
  1    no such entry, the question was answered with no, or not all was done
  2    the command line, or a file it names, means nothing, or nobody can answer
  3    the store or a setting does not work, or there is no cache
  130  Ctrl-C
  141  whoever read the output left, as head does
"""

_FILLING = "aiocache_pe.cli.filling"


class Program(click.Group):
    """A group of commands whose errors are one line, with the exit codes of `exits`.

    The commands that fill a cache are imported when one of them is asked for.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        self._complete()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; ``None`` if there is none."""
        if cmd_name not in self.commands:  # also if there is none: click says which are like it
            self._complete()
        return super().get_command(ctx, cmd_name)

    def _complete(self) -> None:
        for command in importlib.import_module(_FILLING).COMMANDS:
            self.add_command(command)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run with ``args``, by default those of the process, and leave with an exit code."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs) or exit_codes.DONE
        except click.ClickException as error:
            hint = " (see --help)" if isinstance(error, click.UsageError) else ""
            output.write_error(f"Error: {' '.join(error.format_message().split())}{hint}")
            code = error.exit_code
        except click.Abort:
            code = exit_codes.INTERRUPTED
        sys.exit(code)


@click.group(
    "aiocache-pe",
    cls=Program,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.option("--stats", is_flag=True, help="Show the counters.")
@click.option("--clear", is_flag=True, help="Remove all entries; asks first.")
@click.option("--cleanup", is_flag=True, help="Remove what is expired, or exceeds the bounds.")
@click.option("--warm", multiple=True, metavar="FILE", help="Fill the cache from a file of calls.")
@click.option("--get", multiple=True, metavar="KEY", help="Print a value.")
@click.option(
    "--set", multiple=True, nargs=2, metavar="KEY VALUE", help="Store JSON, or text; - is stdin."
)
@options.ttl
@click.option("--delete", multiple=True, metavar="KEY", help="Remove an entry.")
@options.add_common_options
@options.yes
@click.pass_context
def program(ctx: click.Context, /, **given: Any) -> None:
    """Look into a cache of aiocache_pe, and tidy it."""
    asked = _asked(given)
    if ctx.invoked_subcommand is not None:
        asked.append((ctx.invoked_subcommand, ()))
    if len(asked) > 1:
        names = " and ".join(name for name, _ in asked)
        raise click.UsageError(f"one action at a time, not {names}")
    name, arguments = asked[0] if asked else ("", ())
    timed = ctx.get_parameter_source("ttl") is ParameterSource.COMMANDLINE
    if timed and name != "--set":
        raise click.UsageError("--ttl goes with --set, or after the command set")
    if not asked:
        click.echo(ctx.get_help())
    command = program.get_command(ctx, name[2:]) if name.startswith("--") else None
    if command is None:
        return  # click goes on to the command that was named
    match name, arguments:
        case "--warm", (file,):
            ctx.invoke(command, file=Path(file))
        case "--set", (key, value):
            ctx.invoke(command, key=key, value=value, ttl=given["ttl"])
        case _, (key,):
            ctx.invoke(command, key=key)
        case _:
            ctx.invoke(command)


def _asked(given: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """The flags that ask for something, as often as they were given, with their arguments."""
    asked: list[tuple[str, tuple[str, ...]]] = [
        (f"--{name}", ()) for name in ("stats", "clear", "cleanup") if given[name]
    ]
    asked += [("--warm", (file,)) for file in given["warm"]]
    asked += [("--get", (key,)) for key in given["get"]]
    asked += [("--set", pair) for pair in given["set"]]
    asked += [("--delete", (key,)) for key in given["delete"]]
    return asked


for _command in commands.COMMANDS:
    program.add_command(_command)


def main() -> None:
    """The entry point of ``aiocache-pe`` and ``python -m aiocache_pe``."""
    program.main()
