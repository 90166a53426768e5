"""Checks of arguments: of functions that must not be async, and of the names of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def check_names(owner: str, names: Iterable[str], accepted: Iterable[str]) -> None:
    """Check the names of keyword arguments.

    Raises:
        TypeError: a name is not accepted; the error lists the accepted names.
    """
    for name in names:
        if name not in accepted:
            accepts = ", ".join(accepted)
            raise TypeError(f"{owner} has no setting {name!r}; it accepts {accepts}")
