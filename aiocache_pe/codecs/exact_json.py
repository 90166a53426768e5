"""Plain JSON, for the values that JSON gives back exactly.

Those are dicts with string keys, lists, strings, ints of 64 bits, finite floats, bools
and ``None``, each of exactly that type. Most answers of APIs and models are such, and
they are what must be fast: msgspec does the writing and the reading, and what is
checked before is checked a level at a time with functions written in C.
"""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite
from typing import Any, Final

import msgspec

from aiocache_pe.codecs.exactness import MAX_DEPTH, MAX_NODES
from aiocache_pe.exceptions import CorruptRecordError

_TEXT: Final[frozenset[type]] = frozenset({str})
_SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_PLAIN: Final[frozenset[type]] = _SCALARS | {dict, list}
_LEAST, _MOST = -(2**63), 2**64 - 1

to_json = msgspec.json.Encoder().encode
"""JSON of what is already known to be plain."""

_from_json = msgspec.json.Decoder().decode


class PlainJson:
    """The serializer of plain JSON.

    Example:
        >>> PlainJson().encode({"answer": 42})
        b'{"answer":42}'
        >>> PlainJson().encode((1, 2)) is None
        True
    """

    name = "json"

    def encode(self, value: Any) -> bytes | None:
        """The value as JSON, or ``None`` when JSON would not give it back exactly.

        Args:
            value: anything.

        Returns:
            JSON, or ``None``. A value that holds itself, or is nested more than 100
            deep, is not plain.
        """
        if not is_plain(value):
            return None
        try:
            return to_json(value)
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot hold
            return None

    def decode(self, payload: bytes) -> Any:
        """The value.

        Args:
            payload: JSON.

        Returns:
            A value of its own for each call.

        Raises:
            CorruptRecordError: it is not JSON, or nested too deeply to be read.
        """
        return parse(payload)


def parse(payload: bytes, key: str = "") -> Any:
    """Read JSON; ``key`` is named in the error.

    Raises:
        CorruptRecordError: it is not JSON, or nested too deeply to be read.
    """
    try:
        return _from_json(payload)
    except (ValueError, RecursionError) as error:
        raise CorruptRecordError(f"payload is not readable JSON: {error}", key=key) from error


def is_plain(value: Any) -> bool:
    """Whether JSON holds the value exactly, lone surrogates in strings left aside.

    Returns:
        ``False`` also for what holds itself or is nested too deeply.
    """
    if type(value) not in _PLAIN:
        return False
    level: list[Any] = [[value]]
    seen = 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                if not _TEXT.issuperset(map(type, node)):
                    return False
                items: Collection[Any] = node.values()
            else:
                items = node
            kinds = set(map(type, items))
            if not kinds <= _PLAIN or not numbers_are_plain(items, kinds):
                return False
            if dict in kinds or list in kinds:
                below += [item for item in items if type(item) is dict or type(item) is list]
        if not below:
            return True
        seen += len(below)
        if seen > MAX_NODES:
            return False
        level = below
    return False


def are_plain_scalars(items: Collection[Any]) -> bool:
    """Whether all are scalars that JSON holds exactly, lone surrogates left aside."""
    kinds = set(map(type, items))
    return kinds <= _SCALARS and numbers_are_plain(items, kinds)


def numbers_are_plain(items: Collection[Any], kinds: set[type]) -> bool:
    """Whether the numbers among ``items``, whose types are ``kinds``, are plain.

    JSON has no infinity and no NaN, and readers differ on ints beyond 64 bits.
    """
    if float in kinds:
        if kinds == {float}:
            # Infinity and NaN survive every sum, so a finite sum clears all at once;
            # one that is not may be an overflow, and each has to be asked.
            if not isfinite(sum(items)) and not all(map(isfinite, items)):
                return False
        elif not all(isfinite(item) for item in items if type(item) is float):
            return False
    if int in kinds:
        ints = items if kinds == {int} else [item for item in items if type(item) is int]
        return min(ints) >= _LEAST and max(ints) <= _MOST
    return True
