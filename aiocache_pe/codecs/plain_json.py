"""Plain JSON, for the values that JSON gives back exactly.

Those are dicts with string keys, lists, strings, ints of 64 bits, finite floats, bools
and ``None``, each of exactly that type. Most answers of APIs and models are such, and
they are what must be fast: msgspec does the writing and the reading, and what is
checked before is checked without recursion, long lists with functions written in C.

Bytes as they are, without base64.
"""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite
from typing import Any, Final

import msgspec

from aiocache_pe.codecs.base import MAX_DEPTH, MAX_NODES
from aiocache_pe.exceptions import CorruptRecordError

_SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_PLAIN: Final[frozenset[type]] = _SCALARS | {dict, list}
_LEAST, _MOST = -(2**63), 2**64 - 1
FEW = 24
"""Items up to which a plain loop is faster than sets of types."""

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
        except (UnicodeEncodeError, RecursionError):
            # A lone surrogate, which UTF-8 cannot hold; or a caller deep in its own calls.
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
        return parse("", payload)


def parse(key: str, payload: bytes) -> Any:
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
    if type(value) is not dict and type(value) is not list:
        return _sift((value,), [])
    # Depth first, so that a value that holds itself soon shows as one without a bottom.
    pending: list[list[Any]] = [[value]]
    seen = 0
    while pending:
        if not pending[-1]:
            pending.pop()
            continue
        node = pending[-1].pop()
        below: list[Any] = []
        if type(node) is dict:
            for key in node:
                if type(key) is not str:
                    return False
            plain = _sift(node.values(), below)
        else:
            plain = _sift(node, below)
        seen += 1
        if not plain or seen > MAX_NODES:
            return False
        if below:
            if len(pending) == MAX_DEPTH:
                return False
            pending.append(below)
    return True


def _sift(items: Collection[Any], containers: list[Any]) -> bool:
    """Whether all items are plain, each taken by itself; those to look into are collected."""
    if len(items) > FEW:
        kinds = set(map(type, items))
        if dict in kinds or list in kinds:
            containers += [item for item in items if type(item) is dict or type(item) is list]
        return kinds <= _PLAIN and _numbers_are_plain(items, kinds)
    for item in items:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is dict or kind is list:
            containers.append(item)
        elif kind is int:
            if not _LEAST <= item <= _MOST:
                return False
        elif kind is not float or not isfinite(item):
            return False
    return True


def are_plain_scalars(items: Collection[Any]) -> bool:
    """Whether all are scalars that JSON holds exactly, lone surrogates left aside."""
    kinds = set(map(type, items))
    return kinds <= _SCALARS and _numbers_are_plain(items, kinds)


def _numbers_are_plain(items: Collection[Any], kinds: set[type]) -> bool:
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


class RawBytes:
    """The serializer of ``bytes`` themselves; bytes within a value are tagged JSON's matter.

    Example:
        >>> RawBytes().encode(b"GIF89a")
        b'GIF89a'
    """

    name = "bytes"

    def encode(self, value: Any) -> bytes | None:
        """The bytes, or ``None`` when the value is of another type."""
        return value if type(value) is bytes else None

    def decode(self, payload: bytes) -> Any:
        """The bytes; also where a store hands out another buffer type."""
        return bytes(payload)
