"""Order of ``@cached`` and the decorators with which web frameworks register a function.

Such a decorator registers the function that it receives and returns the same one. Above it,
``@cached`` would make another function, which no request calls.
"""

from __future__ import annotations

import ast
import sys
from types import FunctionType
from typing import Any

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.source_trees import list_decorators

_FRAMEWORKS = frozenset(("fastapi", "starlette", "flask", "quart", "sanic", "bottle"))


def check_order(function: Any, decorator: str) -> None:
    """Raise `ConfigurationError` if a web framework has already registered a function.

    The decorators are read in the source of the function. An application that is no variable of
    the module is not recognized.

    Args:
        function: the function that is decorated.
        decorator: the name of the decorator, with its ``@``.
    """
    if _FRAMEWORKS.isdisjoint(sys.modules) or type(function) is not FunctionType:
        return
    names = [ast.unparse(each) for each in list_decorators(function.__code__)]
    own = [at for at, name in enumerate(names) if decorator[1:] in name.partition("(")[0]]
    for name in names[own[-1] + 1 :] if own else ():
        target = name.partition("(")[0]
        if _is_framework(_find_owner(target, function.__globals__)):
            raise ConfigurationError(
                f"{decorator} must be below @{target}, next to the function; above it, "
                f"{function.__qualname__} is registered without the cache, and no request uses it"
            )


def _find_owner(target: str, names: dict[str, Any]) -> Any:
    """Return the object that has the method of a decorator, such as ``app`` in ``app.get``."""
    first, *attributes = target.split(".")[:-1] or [""]
    owner = names.get(first)
    for attribute in attributes:
        owner = getattr(owner, attribute, None)
    return owner


def _is_framework(owner: Any) -> bool:
    return any(base.__module__.partition(".")[0] in _FRAMEWORKS for base in type(owner).__mro__)
