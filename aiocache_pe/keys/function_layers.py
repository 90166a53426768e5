"""Layers of a callable: the functions that decorators, partial objects and methods wrap."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any


def list_layers(function: Any) -> list[types.FunctionType]:
    """Return the Python functions that a callable consists of, the innermost one last.

    Example:
        >>> from functools import partial
        >>> [each.__name__ for each in list_layers(partial(list_layers, None))]
        ['list_layers']
    """
    return [each for each in iter_layers(function) if isinstance(each, types.FunctionType)]


def iter_layers(function: Any) -> Iterator[Any]:
    """Yield a callable and the callables that it wraps."""
    seen: list[Any] = []  # a wrapper may wrap itself
    while function is not None and not any(function is each for each in seen):
        seen.append(function)
        yield function
        function = _get_inner(function)


def _get_inner(function: Any) -> Any:
    for name in ("__wrapped__", "__func__", "func", "fget"):
        # `partial`, methods, and properties have a function; other objects only claim to.
        if inspect.getattr_static(function, name, None) is not None:
            return getattr(function, name)
        if isinstance(function, types.FunctionType):
            return None
    # The method of a callable object of a Python class.
    call = inspect.getattr_static(type(function), "__call__", None)
    return call if isinstance(call, types.FunctionType) else None
