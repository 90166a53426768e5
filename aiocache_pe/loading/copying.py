"""A value for each caller, where one object is all there is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.sentinels import MISSING

_FLAT: Final = frozenset((str, int, float, bool, bytes, type(None)))


def copy_value(value: Any) -> Any:
    """A value that is equal and can be changed without changing the first.

    Args:
        value: anything. An immutable one is its own copy; a list of plain values, such as
            an embedding, is copied a hundred times faster than `copy.deepcopy` does.

    Raises:
        Whatever `copy.deepcopy` raises at what cannot be copied.

    Example:
        >>> vector = [0.5, 0.25]
        >>> copy_value(vector) == vector, copy_value(vector) is vector
        (True, False)
    """
    if type(value) is list and _FLAT.issuperset(map(type, value)):
        return value.copy()
    return value if is_immutable(value) else deepcopy(value)


def copy_or_share(value: Any) -> Any:
    """The same; what cannot be copied, a handle say, is meant to be shared."""
    try:
        return copy_value(value)
    except Exception:  # noqa: BLE001 - a class may raise anything where it is copied
        return value


class Outcome:
    """A value that was computed for one caller, and what others may have of it.

    Args:
        value: his own, who may change it as soon as he has it.
        is_stored: whether others find it in the store.
    """

    __slots__ = ("_spare", "is_stored", "value")

    def __init__(self, value: Any, *, is_stored: bool) -> None:
        self.value = value
        self.is_stored = is_stored
        self._spare: Any = MISSING

    def save_copy(self) -> None:
        """Make a copy for others, before anybody could change the value."""
        if not self.is_stored:
            self._spare = copy_or_share(self.value)

    @property
    def copy_source(self) -> Any:
        """What to make copies of for others."""
        return self.value if self._spare is MISSING else self._spare
