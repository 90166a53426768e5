"""A value for each caller, where one object is all there is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from aiocache_pe.codecs.immutable import is_immutable

_FLAT: Final = frozenset((str, int, float, bool, bytes, type(None)))


def copy_of(value: Any) -> Any:
    """A value that is equal and can be changed without changing the first.

    Args:
        value: anything. An immutable one is its own copy; a list of plain values, such as
            an embedding, is copied a hundred times faster than `copy.deepcopy` does.

    Raises:
        Whatever `copy.deepcopy` raises at what cannot be copied.

    Example:
        >>> vector = [0.5, 0.25]
        >>> copy_of(vector) == vector, copy_of(vector) is vector
        (True, False)
    """
    if type(value) is list and _FLAT.issuperset(map(type, value)):
        return value.copy()
    return value if is_immutable(value) else deepcopy(value)


def copy_or_same(value: Any) -> Any:
    """The same; what cannot be copied, a handle say, is meant to be shared."""
    try:
        return copy_of(value)
    except Exception:  # noqa: BLE001 - a class may raise anything where it is copied
        return value
