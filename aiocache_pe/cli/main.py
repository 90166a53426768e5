"""The program ``aiocache-pe``: its flags and its exit."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from aiocache_pe._version import __version__
from aiocache_pe.cli import commands, exit_codes, options, output

_EPILOG = """\b
A flag and the command of the same name are equivalent. One command line does one action.
\b
Exit codes:
  0    success
  1    no such entry, the confirmation was declined, or a part failed
  2    invalid command line or file, or a confirmation without a terminal
  3    the store or a setting does not work, or there is no cache
  130  Ctrl-C
  141  the reader of the output closed the pipe, as head does
"""

_FILLING = "aiocache_pe.cli.filling"


class Program(click.Group):
    """Group of commands that reports an error as one line, with an exit code of `exit_codes`.

    The commands that fill a cache are imported when one of them, or the list, is needed.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        self._add_filling_commands()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name; ``None`` if there is none."""
        if cmd_name not in self.commands:  # click suggests similar commands, so it needs all
            self._add_filling_commands()
        return super().get_command(ctx, cmd_name)

    def _add_filling_commands(self) -> None:
        for command in importlib.import_module(_FILLING).COMMANDS:
            self.add_command(command)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run with ``args``, by default those of the process, and exit with an exit code."""
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
@click.option("--clear", is_flag=True, help="Remove all entries, after a confirmation.")
@click.option(
    "--cleanup", is_flag=True, help="Remove expired entries, and entries beyond the bounds."
)
@click.option(
    "--warm",
    multiple=True,
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Fill the cache from a call file, by default that of AIOCACHE_PE_WARM.",
)
@click.option("--get", multiple=True, metavar="KEY", help="Print a value.")
@click.option(
    "--set",
    multiple=True,
    nargs=2,
    metavar="KEY VALUE",
    help="Store JSON or text; - is standard input.",
)
@click.option("--ttl", metavar="TTL", help=options.TTL_HELP)
@click.option("--delete", multiple=True, metavar="KEY", help="Remove an entry.")
@options.add_common_options
@options.yes
@click.pass_context
def program(ctx: click.Context, /, **flags: Any) -> None:
    """Inspect, fill and clean a cache of aiocache_pe."""
    actions = _list_actions(flags)
    if ctx.invoked_subcommand is not None:
        actions.append((ctx.invoked_subcommand, ()))
    if len(actions) > 1:
        names = " and ".join(name for name, _ in actions)
        raise click.UsageError(f"only one action is possible at a time; got {names}")
    name, arguments = actions[0] if actions else ("", ())
    has_ttl = flags["ttl"] is not None
    if has_ttl and name != "--set":
        raise click.UsageError("--ttl is valid only with --set, or after the command set")
    if not actions:
        click.echo(ctx.get_help())
    if not name.startswith("--"):
        return  # click calls the command that was named
    command = program.get_command(ctx, name[2:])
    lifetime = ["--ttl", flags["ttl"]] if has_ttl else []
    if command is not None:
        with command.make_context(name[2:], [*lifetime, "--", *arguments], parent=ctx) as inner:
            command.invoke(inner)


def _list_actions(flags: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the flags of actions with their arguments, once for each time a flag was given."""
    actions: list[tuple[str, tuple[str, ...]]] = [
        (f"--{name}", ()) for name in ("stats", "clear", "cleanup") if flags[name]
    ]
    actions += [("--warm", (file,) if file else ()) for file in flags["warm"]]
    for name in ("get", "delete"):
        actions += [(f"--{name}", (argument,)) for argument in flags[name]]
    return actions + [("--set", pair) for pair in flags["set"]]


for _command in commands.COMMANDS:
    program.add_command(_command)


def main() -> None:
    """Run the program; the entry point of ``aiocache-pe`` and ``python -m aiocache_pe``."""
    program.main()
