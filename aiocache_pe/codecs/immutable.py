"""Test for immutable values, which may be shared among callers."""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from aiocache_pe.codecs.base import PATH_CLASSES

_MAX_ITEMS = 10_000  # a value with more items counts as mutable, which is always safe

_SCALARS: Final[frozenset[type]] = frozenset({
    str, int, float, bool, type(None), bytes, complex, range, Decimal, UUID,
    dt.date, dt.timedelta,
})  # fmt: skip
_CONTAINERS: Final[frozenset[type]] = frozenset({tuple, frozenset})
_MUTABLE: Final[frozenset[type]] = frozenset({dict, list, set, bytearray})
_MOMENTS: Final[frozenset[type]] = frozenset({dt.datetime, dt.time})


def is_immutable(value: Any) -> bool:
    """Return whether no caller can change the value, at any depth.

    An immutable value is shared by all callers. Any other value is decoded again for each of
    them, so no caller sees the changes of another one. In doubt the answer is ``False``.

    Returns:
        ``True`` for exact scalars of the standard library, for enum members, and for tuples and
        frozensets of such values, up to 10,000 items; else ``False``.

    Example:
        >>> is_immutable(("a", 1, frozenset({2.5})))
        True
        >>> is_immutable(("a", [1]))
        False
    """
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind in _MUTABLE:
        return False

    level: list[Any] = [(value,)]
    items_left = _MAX_ITEMS
    while level:
        items_left -= sum(map(len, level))
        if items_left < 0:
            return False
        next_level: list[Any] = []
        for items in level:
            kinds = set(map(type, items))
            if kinds <= _SCALARS:
                continue
            for item in items:
                kind = type(item)
                if kind in _CONTAINERS:
                    next_level.append(item)
                elif kind not in _SCALARS and not _is_other_scalar(item, kind):
                    return False
        level = next_level
    return True


def _is_other_scalar(value: Any, kind: type) -> bool:
    if kind in _MOMENTS:
        # The time zones of the standard library cannot change; other implementations may.
        return value.tzinfo is None or type(value.tzinfo) is dt.timezone
    if isinstance(value, Enum):  # a member exists once, so decoding returns the same object
        return True
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and any(
        kind is getattr(pathlib, name, None) for name in PATH_CLASSES
    )
