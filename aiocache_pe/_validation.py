"""Functions whose answer is needed at once, so that they cannot be async."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any


def check_plain(name: str, function: Callable[..., Any]) -> None:
    """Refuse what is no function, or an async one.

    Args:
        name: what it is called where it was given.
        function: what was given.

    Raises:
        TypeError: it is one of these. The coroutine of an async one would count as true,
            and nobody would await it.

    Example:
        >>> check_plain("ttl", len)
        >>> check_plain("ttl", 5)
        Traceback (most recent call last):
        TypeError: ttl is a function, not int: 5
    """
    if not callable(function):
        raise TypeError(f"{name} is a function, not {type(function).__name__}: {function!r:.80}")
    if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
        raise TypeError(
            f"{name} is a plain function, as its answer is needed at once, not an async one: "
            f"{function!r:.80}"
        )
