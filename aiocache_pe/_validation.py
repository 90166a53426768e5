"""Checks of arguments that are plain functions: an async one cannot give its result at once."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any


def check_plain_function(name: str, function: Callable[..., Any]) -> None:
    """Check that the argument of a parameter is callable and not async.

    Raises:
        TypeError: the argument is not callable, or it is an async function. The coroutine of
            an async function would count as true and would never be awaited.

    Example:
        >>> check_plain_function("ttl", len)
        >>> check_plain_function("ttl", 5)
        Traceback (most recent call last):
        TypeError: ttl must be a function; got int: 5
    """
    if not callable(function):
        raise TypeError(
            f"{name} must be a function; got {type(function).__name__}: {function!r:.80}"
        )
    if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
        raise TypeError(
            f"{name} must be a plain function, because its result is needed at once; "
            f"got an async function: {function!r:.80}"
        )
