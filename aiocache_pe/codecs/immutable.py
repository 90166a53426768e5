"""Which values may be handed to many callers as they are.

A value that cannot be changed is shared between all who read it; any other is decoded
afresh for each, so that no caller can change what the next one gets. So the answer
must err on one side only: a mutable value is never called immutable.
"""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

_MAX_ITEMS = 10_000
"""Items looked at in one value; what is larger is decoded afresh, which is always right."""

_SCALARS: Final[frozenset[type]] = frozenset({
    str, int, float, bool, type(None), bytes, complex, range, Decimal, UUID,
    dt.date, dt.timedelta,
})  # fmt: skip
_CONTAINERS: Final[frozenset[type]] = frozenset({tuple, frozenset})
_MUTABLE: Final[frozenset[type]] = frozenset({dict, list, set, bytearray})
_MOMENTS: Final[frozenset[type]] = frozenset({dt.datetime, dt.time})
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")


def is_immutable(value: Any) -> bool:
    """Whether nobody can change the value, all the way down.

    Args:
        value: anything.

    Returns:
        ``True`` for exact scalars of the standard library, for enum members, and for
        tuples and frozensets of such, up to 10,000 items; else ``False``.

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
    left = _MAX_ITEMS
    while level:
        left -= sum(map(len, level))
        if left < 0:
            return False
        below: list[Any] = []
        for items in level:
            kinds = set(map(type, items))
            if kinds <= _SCALARS:
                continue
            for item in items:
                kind = type(item)
                if kind in _CONTAINERS:
                    below.append(item)
                elif kind not in _SCALARS and not _is_other_scalar(item, kind):
                    return False
        level = below
    return True


def _is_other_scalar(value: Any, kind: type) -> bool:
    if kind in _MOMENTS:
        # A timezone of the standard library cannot change; anybody else's tzinfo may.
        return value.tzinfo is None or type(value.tzinfo) is dt.timezone
    if isinstance(value, Enum):  # a member exists once, decoding would give the same one
        return True
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and any(kind is getattr(pathlib, name, None) for name in _PATHS)
