"""Options that all commands share, before or after the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from aiocache_pe.exceptions import InvalidTTLError
from aiocache_pe.ttl import parse_ttl

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """Values of the common options; ``None`` selects the environment or the default."""

    backend: str | None = None
    directory: str | None = None
    redis_url: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False
    json: bool = False
    yes: bool = False


def parse_backend(text: str) -> str:
    """Return ``file``, ``redis``, or a URL, which the library checks."""
    scheme, _, rest = text.partition("://")
    if scheme in ("memory", "null"):
        raise click.BadParameter(f"a {scheme} store cannot be read from another process")
    if scheme not in ("file", "redis") and not rest:
        visible = text.partition(":")[0][:40]  # it may be a mistyped URL with a password
        raise click.BadParameter(
            f"must be file, redis, or a URL such as file:///path; got {visible!r}"
        )
    return text


def parse_seconds(text: str) -> float | None:
    """Return a time to live in seconds; ``None`` for no expiry. A number is in seconds."""
    try:
        number = float(text)
    except ValueError:
        number = None
    try:
        return parse_ttl(text if number is None else number)
    except InvalidTTLError as error:
        raise click.BadParameter(str(error)) from error


def add_common_options(function: F) -> F:
    """Add the options that select the cache and the form of the output."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the common options to a command, and pass them as the first argument."""
    return add_common_options(click.make_pass_decorator(Settings, ensure=True)(function))


def _save(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Save the value of an option; a value after the command is saved last and takes effect."""
    settings = ctx.find_root().ensure_object(Settings)
    if value not in (None, False):
        setattr(settings, str(param.name), value)


def _option(name: str, **details: Any) -> Callable[[F], F]:
    return click.option(name, expose_value=False, callback=_save, **details)


_COMMON = (
    _option(
        "--directory",
        metavar="DIR",
        help="Directory of the files. Default: AIOCACHE_PE_DIRECTORY, else data/cache.",
    ),
    _option(
        "--backend",
        type=parse_backend,
        metavar="{file,redis}|URL",
        help="The store, or a URL such as file:///path. Default: AIOCACHE_PE_BACKEND, else file.",
    ),
    _option(
        "--redis-url",
        metavar="URL",
        help="The Redis server. Default: REDIS_URL, else redis://localhost:6379/0.",
    ),
    _option(
        "--namespace",
        metavar="NAME",
        help="Namespace of the keys. Default: AIOCACHE_PE_NAMESPACE, else default.",
    ),
    _option(
        "--all-namespaces",
        is_flag=True,
        help="All namespaces, for stats, keys, clear and cleanup.",
    ),
    _option("--json", is_flag=True, help="Print JSON, for scripts."),
)

yes = _option("--yes", is_flag=True, help="Remove without a confirmation.")
TTL_HELP = "Time to live: seconds, 90s, 30m, 1h30m, 7d."
ttl = click.option(
    "--ttl",
    type=parse_seconds,
    metavar="TTL",
    help=TTL_HELP,
)
