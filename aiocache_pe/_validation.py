"""Checks of arguments: of functions that must not be async, and of the names of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any


def check_plain_function(name: str, function: Callable[..., Any]) -> None:
    """Raise `TypeError` unless an argument is callable and not async.

    The coroutine of an async function would count as true and would never be awaited.
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
    """Raise `TypeError`, with the accepted names, if a keyword argument has another name."""
    for name in names:
        if name not in accepted:
            accepts = ", ".join(accepted)
            raise TypeError(f"{owner} has no setting {name!r}; it accepts {accepts}")
