"""Values on the command line: what a text means, and how a value is shown."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, NoReturn

import click

from aiocache_pe.cli import output
from aiocache_pe.codecs.plain_json import is_plain


def read(text: str) -> Any:
    """The value that a text stands for; ``-`` is what the standard input holds.

    Returns:
        What it is as JSON, if it is JSON; else the text itself.

    Raises:
        click.UsageError: the standard input holds something else than UTF-8 text.

    Example:
        >>> read('{"answer": 42}'), read("hello"), read("NaN")
        ({'answer': 42}, 'hello', 'NaN')
    """
    if text == "-":
        text = _standard_text()
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def show(key: str, value: Any, *, as_json: bool) -> None:
    """Print a value: a text as it is, what JSON can hold as JSON, the rest by its ``repr``.

    Args:
        key: its key, which JSON names.
        value: the value.
        as_json: print an object with ``key``, ``type``, and ``value`` or ``repr``.
    """
    plain = is_plain(value)
    if as_json:
        held = {"value": value} if plain else {"repr": _repr(value)}
        output.write_json({"key": key, "type": type_name(value), **held})
    elif type(value) is str:
        output.write_body(value)
    elif plain:
        output.write_json(value, indented=output.on_terminal(sys.stdout))
    else:
        output.write_body(f"{type_name(value)}: {_repr(value)}")


def type_name(value: object) -> str:
    """A value's class, with its module unless it is a builtin.

    Example:
        >>> from decimal import Decimal
        >>> type_name(1), type_name(Decimal(1))
        ('int', 'decimal.Decimal')
    """
    kind = type(value)
    where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{where}{kind.__qualname__}"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a user's class may raise what it likes
        return f"<its repr raises {type(error).__name__}>"


def read_standard_input() -> bytes:
    """What the standard input holds.

    Raises:
        click.UsageError: it cannot be read.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - started with <&-
        raise click.UsageError("the standard input is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise click.UsageError(f"the standard input cannot be read: {error}") from error


def _standard_text() -> str:
    try:
        return read_standard_input().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the standard input is no text to read: {error}") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is Python's, not JSON's")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is more than a float can hold")
    return value
