"""Previous values: a factory may look at the expired value, and keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Parameter
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args, get_origin

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.signatures import get_annotation, get_signature

T = TypeVar("T")
PREVIOUS: Final = "previous"
"""The name of the parameter."""

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Previous(NamedTuple, Generic[T]):
    """The value that a factory is about to replace.

    A factory of ``get_or_set`` gets it if it has a parameter ``previous``. A function decorated
    with `cached` gets it if the parameter has this type; the parameter is not part of the key. The
    argument is ``None`` if there is no earlier value. An expired value is kept for as long as its
    lifetime again, or for ``stale_ttl``.

    Attributes:
        value: the value.
        age: its age in whole seconds.

    Example:
        >>> from aiocache_pe import UNCHANGED, Previous, refresh
        >>> async def fetch(previous: Previous[str] | None = None) -> str:
        ...     return "new" if previous is None else UNCHANGED
        >>> async def main():
        ...     await cache.get_or_set("page", fetch)
        ...     with refresh():
        ...         return await cache.get_or_set("page", fetch)
        >>> run(main())
        'new'
    """

    value: T
    age: int


class Unchanged:
    """The class of `UNCHANGED`, which a factory returns to keep the previous value.

    The value is stored again with a new lifetime. See `Previous`.

    Example:
        >>> from aiocache_pe import UNCHANGED
        >>> UNCHANGED
        UNCHANGED
    """

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __reduce__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final[Any] = Unchanged()


def get_unchanged(previous: Previous[T] | None) -> T:
    """Return the previous value, for a factory that returned `UNCHANGED`.

    Raises:
        ConfigurationError: there is none.
    """
    if previous is None:
        raise ConfigurationError(
            "a factory may return UNCHANGED only if its parameter previous is not None; "
            "return the new value instead"
        )
    return previous.value


def takes_previous(factory: Callable[..., Any]) -> bool:
    """Return whether a factory has a parameter ``previous`` without another default than ``None``.

    Example:
        >>> takes_previous(lambda previous: 1), takes_previous(lambda previous=7: 1)
        (True, False)
    """
    code = getattr(factory, "__code__", None)
    if code is not None and PREVIOUS not in code.co_varnames:
        return False
    try:
        parameter = get_signature(factory).parameters.get(PREVIOUS)
    except (TypeError, ValueError):  # a function in C
        return False
    if parameter is None or parameter.kind not in _NAMED:
        return False
    return parameter.default is None or parameter.default is Parameter.empty


def has_previous_parameter(function: Callable[..., Any]) -> bool:
    """Return whether a function has a parameter ``previous`` of the type `Previous`.

    Raises:
        ConfigurationError: it has no default ``None``.
    """
    annotation = get_annotation(function, PREVIOUS)
    if not any(each is Previous for each in _iter_classes(annotation)):
        return False
    if not takes_previous(function) or get_signature(function).parameters[PREVIOUS].default:
        raise ConfigurationError(
            f"the parameter previous of {function!r} must have the default None, because callers "
            "do not pass it"
        )
    return True


def _iter_classes(annotation: Any) -> Iterator[Any]:
    """Yield the classes of an annotation such as ``Previous[str] | None``."""
    yield get_origin(annotation) or annotation
    for part in get_args(annotation):
        yield get_origin(part) or part
