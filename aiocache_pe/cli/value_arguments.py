"""Values as arguments and as output of the command line."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, NoReturn

import click

from aiocache_pe.cli import output
from aiocache_pe.codecs.plain_json import is_plain


def parse(text: str) -> Any:
    """Return the JSON in an argument, or the text itself; ``-`` is the text of standard input.

    Example:
        >>> parse('{"answer": 42}'), parse("hello"), parse("NaN")
        ({'answer': 42}, 'hello', 'NaN')
    """
    if text == "-":
        try:
            text = read_standard_input().decode("utf-8")
        except UnicodeDecodeError as error:
            raise click.UsageError(f"standard input is not UTF-8 text: {error}") from error
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_float)
    except (ValueError, RecursionError):
        return text


def show(key: str, value: Any, *, as_json: bool) -> None:
    """Print a value: text unchanged, plain data as JSON, any other value by its ``repr``.

    As JSON, print an object with ``key``, ``type``, and ``value`` or ``repr``.
    """
    plain = is_plain(value)
    if as_json:
        content = {"value": value} if plain else {"repr": _make_repr(value)}
        output.write_json({"key": key, "type": get_type_name(value), **content})
    elif type(value) is str:
        output.write_body(value)
    elif plain:
        output.write_json(value, indented=output.is_terminal(sys.stdout))
    else:
        output.write_body(f"{get_type_name(value)}: {_make_repr(value)}")


def get_type_name(value: object) -> str:
    """Return the class of a value, with its module unless it is a builtin."""
    cls = type(value)
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    return f"{module}{cls.__qualname__}"


def read_standard_input() -> bytes:
    """Return the contents of standard input."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - started with <&-
        raise click.UsageError("standard input is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise click.UsageError(f"standard input cannot be read: {error}") from error


def _make_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a user's class may raise anything
        return f"<its repr raises {type(error).__name__}>"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is valid in Python, but not in JSON")


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond the range of a float")
    return number
