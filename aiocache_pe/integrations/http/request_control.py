"""Control of a single request by a header, which is removed before the request is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from aiocache_pe.context import bypass, fresh, refresh
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import parse_duration

HEADER = "x-aiocache-pe"
"""The header of a request that controls the cache. A response has it with its origin."""
_MODES: Mapping[str, Callable[[], Any]] = {"bypass": bypass, "refresh": refresh}
_DURATIONS = ("ttl", "max-age")


class RequestControl(NamedTuple):
    """The control of one request.

    Attributes:
        blocks: make the context managers within which the request is answered.
        ttl: the lifetime of the answer in seconds if it is stored, ``None`` for no end; `DEFAULT`
            for the lifetime of the transport.
    """

    blocks: tuple[Callable[[], Any], ...] = ()
    ttl: float | None | Default = DEFAULT

    def enter(self) -> ExitStack:
        """Return a context manager within which the request is answered."""
        stack = ExitStack()
        for block in self.blocks:
            stack.enter_context(block())
        return stack


NO_CONTROL = RequestControl()


def parse_control(text: str) -> RequestControl:
    """Return the control that the value of the header asks for.

    Raises:
        ConfigurationError: the value is not valid.

    Example:
        >>> parse_control("refresh, ttl=1h").ttl
        3600.0
    """
    directives = dict[str, str]()
    for part in text.split(","):
        name, mark, value = (each.strip().lower() for each in part.partition("="))
        is_valid = name in _DURATIONS if mark else name in _MODES
        if not is_valid or name in directives:
            raise _make_error(text)
        directives[name] = value
    modes = [_MODES[name] for name in directives if name in _MODES]
    if len(modes) > 1 or ("bypass" in directives and len(directives) > 1):
        raise _make_error(text)
    ttl: float | None | Default = DEFAULT
    if "ttl" in directives:
        ttl = _parse_seconds("ttl", directives["ttl"], text)
    blocks: list[Callable[[], Any]] = [*modes]
    if "max-age" in directives:
        seconds = _parse_seconds("max-age", directives["max-age"], text)
        blocks += [] if seconds is None else [partial(fresh, seconds)]
    return RequestControl(tuple(blocks), ttl)


def _parse_seconds(name: str, value: str, text: str) -> float | None:
    try:
        return parse_duration(name, float(value) if _is_number(value) else value)
    except ValueError:
        raise _make_error(text) from None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _make_error(text: str) -> ConfigurationError:
    return ConfigurationError(
        f'the request header {HEADER} must be "bypass", "refresh" or a duration such as "ttl=1h" '
        f'or "max-age=3600", or "refresh" and durations with commas; got {text!r:.80}'
    )
