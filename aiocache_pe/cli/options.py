"""Options that all commands share, before the command's name or after it."""

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
    """What the common options say; ``None`` where the environment or the default counts."""

    backend: str | None = None
    directory: str | None = None
    redis_url: str | None = None
    namespace: str | None = None
    json: bool = False
    yes: bool = False


def store_name(text: str) -> str:
    """``file``, ``redis``, or a URL, which the library checks."""
    scheme, _, rest = text.partition("://")
    if scheme in ("memory", "null"):
        raise click.BadParameter(f"nobody can look into a {scheme} store of another process")
    if scheme not in ("file", "redis") and not rest:
        shown = text.partition(":")[0][:40]  # it may be a URL with a password, mistyped
        raise click.BadParameter(f"{shown!r} is no store; accepted: file, file:///path, redis")
    return text


def seconds(text: str) -> float | None:
    """A time to live, where a bare number is seconds; ``None`` is for ever."""
    try:
        number = float(text)
    except ValueError:
        number = None
    try:
        return parse_ttl(text if number is None else number)
    except InvalidTTLError as error:
        raise click.BadParameter(str(error)) from error


def add_common_options(function: F) -> F:
    """Give a command the options that say which cache is meant and how to answer."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


def _note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep what was given; what stands after the command's name is noted last and counts."""
    settings = ctx.find_root().ensure_object(Settings)
    if value not in (None, False):
        setattr(settings, str(param.name), value)


def _option(name: str, **details: Any) -> Callable[[F], F]:
    return click.option(name, expose_value=False, callback=_note, **details)


_COMMON = (
    _option(
        "--directory",
        metavar="DIR",
        help="Where the files are. Default: AIOCACHE_PE_DIRECTORY, else data/cache.",
    ),
    _option(
        "--backend",
        type=store_name,
        metavar="{file,redis}|URL",
        help="The store; also file:///path. Default: AIOCACHE_PE_BACKEND, else file.",
    ),
    _option(
        "--redis-url",
        metavar="URL",
        help="The Redis server. Default: REDIS_URL, else redis://localhost:6379/0.",
    ),
    _option(
        "--namespace",
        metavar="NAME",
        help="Whose keys. Default: AIOCACHE_PE_NAMESPACE, else default.",
    ),
    _option("--json", is_flag=True, help="Answer with JSON, for scripts."),
)

yes = _option("--yes", is_flag=True, help="Do not ask before removing.")
ttl = click.option(
    "--ttl", type=seconds, metavar="TTL", help="How long it lives: seconds, 90s, 30m, 1h30m, 7d."
)
settings = click.make_pass_decorator(Settings, ensure=True)
