"""Memory of values that are held as objects."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from enum import Enum
from sys import getsizeof
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

from aiocache_pe.runtime.interrupts import raise_interrupt

_MAX_MEASURED = 10_000  # objects of one level; of more, a sample is measured
_ROUNDING = 8  # bytes; the allocator rounds the size of each object up to a multiple of 16
_SHARED: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, Enum)
_LEAVES: Final[frozenset[type]] = frozenset({str, bytes, int, float, complex, bool, type(None)})


def measure(value: Any) -> int:
    """Return the memory in bytes of a value and of all objects that it holds.

    An object that is held twice counts once. Classes, functions and members of enums do not count.
    The size of a large value is estimated from a sample.

    Example:
        >>> measure(("a text",) * 1000) < measure("a text") + 9000
        True
    """
    if type(value) in _LEAVES:
        return getsizeof(value) + _ROUNDING
    size, scale = 0.0, 1.0
    seen: dict[int, Any] = {}  # keeps the objects alive, so their ids stay unique
    level: list[Any] = [value]
    while level:
        if len(level) > _MAX_MEASURED:
            sample = level[:: len(level) // _MAX_MEASURED + 1]
            scale *= len(level) / len(sample)
            level = sample
        found = {id(part): part for part in level if id(part) not in seen}
        seen |= found
        parts = list(found.values())
        if _LEAVES.issuperset(map(type, parts)):
            return int(size + scale * (sum(map(getsizeof, parts)) + _ROUNDING * len(parts)))
        parts = [part for part in parts if not isinstance(part, _SHARED)]
        size += scale * (sum(map(_measure_one, parts)) + _ROUNDING * len(parts))
        level = _get_parts(parts)
    return int(size)


def measure_texts(texts: Mapping[str, str]) -> int:
    """Return the memory in bytes of a dict of strings, such as the tags of an entry."""
    return getsizeof(texts) + sum(map(getsizeof, (*texts, *texts.values())))


def _measure_one(value: Any) -> int:
    try:
        # A view of an array or of bytes keeps the whole alive; at least its own part counts.
        return max(getsizeof(value), getattr(value, "nbytes", 0))
    except Exception as error:  # noqa: BLE001 - a class of the application may raise anything
        raise_interrupt(error)
        return object.__sizeof__(value)


def _get_parts(values: Sequence[Any]) -> list[Any]:
    parts = gc.get_referents(*values)
    for value in values:
        if not gc.is_tracked(value):  # a struct of msgspec may be unknown to the collector
            parts += [
                getattr(value, name, None) for name in getattr(value, "__struct_fields__", ())
            ]
    return parts
