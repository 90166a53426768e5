"""Serializers of plain JSON and of raw bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from math import isfinite
from typing import Any, Final

import msgspec

from aiocache_pe.codecs.base import MAX_CONTAINERS, MAX_DEPTH
from aiocache_pe.exceptions import CorruptRecordError, LargePayloadError

MIN_INT, MAX_INT = -(2**63), 2**64 - 1
"""Range of the ints that all readers of JSON restore exactly."""

PIECE_BYTES = 256 * 1024
"""Size of JSON in bytes up to which it is decoded at once, in some 20 ms if it is hostile."""

_MAX_SPLIT_DEPTH = 8  # levels
_MAX_SMALL_PIECES, _MIN_PIECE_BYTES = 400_000, 8  # a piece takes 60 bytes until it is decoded
_HAS_PARTS = re.compile(rb"[\[{\"]")
LOOP_LIMIT = 24
"""Number of items up to which a loop is faster than a set of their types."""

_SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_PLAIN: Final[frozenset[type]] = _SCALARS | {dict, list}

to_json = msgspec.json.Encoder().encode
"""Write a value as JSON; it must be plain."""

_from_json = msgspec.json.Decoder().decode
_split_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_split_dict = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class PlainJson:
    """Serializer of the values that JSON restores exactly.

    These are dicts with string keys, lists, strings, ints of 64 bits, finite floats, bools and
    ``None``, each of exactly that type. Most answers of APIs and models consist of them, so this
    serializer is optimized for speed. msgspec writes and reads, and the check before it uses no
    recursion and checks long lists with functions written in C.

    Example:
        >>> PlainJson().encode({"answer": 42})
        b'{"answer":42}'
        >>> PlainJson().encode((1, 2)) is None
        True
    """

    name = "json"

    def encode(self, value: Any) -> bytes | None:
        """Return a value as JSON; ``None`` if JSON would not restore it exactly.

        JSON cannot hold a value that contains itself or is nested more than 100 levels deep.
        """
        if not is_plain(value):
            return None
        try:
            return to_json(value)
        except (UnicodeEncodeError, RecursionError):
            # A lone surrogate has no UTF-8, and the caller may be deep in its own calls.
            return None

    def decode(self, payload: bytes) -> Any:
        """Return the value of JSON, a new object at each call; see `parse_large_json`."""
        return parse_large_json(payload)


def parse_json(key: str, payload: bytes) -> Any:
    """Return the value of JSON; the store key is for the error message.

    Raises:
        CorruptRecordError: the payload is not JSON, or is nested too deeply.
        LargePayloadError: the payload has more than `PIECE_BYTES`.
    """
    if len(payload) > PIECE_BYTES:
        raise LargePayloadError(f"payload has {len(payload)} bytes", key=key)
    try:
        return _from_json(payload)
    except Exception as error:  # RecursionError and MemoryError besides those of msgspec
        raise CorruptRecordError(f"payload is not readable JSON: {error}", key=key) from error


def parse_large_json(payload: bytes) -> Any:
    """Return the value of JSON of any size; other threads run after each piece of it.

    Raises:
        CorruptRecordError: the payload is not JSON, or is nested too deeply.
    """
    try:
        return _parse_pieces(payload, 0)
    except Exception as error:
        raise CorruptRecordError(f"payload is not readable JSON: {error}") from error


def _parse_pieces(text: bytes, depth: int) -> Any:
    begin, values = text[:1], list[Any]()
    if len(text) <= PIECE_BYTES or depth == _MAX_SPLIT_DEPTH or begin not in (b"[", b"{"):
        return _from_json(text)
    if begin == b"[" and not _HAS_PARTS.search(text, 1) and text[-1:] == b"]":
        for piece in _cut_numbers(text[1:-1]):
            values += _from_json(piece)
        return values
    if max(_MAX_SMALL_PIECES, len(text) // _MIN_PIECE_BYTES) < text.count(b","):
        return _from_json(text)
    if begin == b"{":
        parts = _split_dict(text).items()
        return {name: _parse_pieces(bytes(part), depth + 1) for name, part in parts}

    rest = _split_list(text)
    rest.reverse()
    while rest:
        batch, size = [bytes(rest.pop())], 0
        while rest and (size := size + len(batch[-1])) < PIECE_BYTES:
            batch.append(bytes(rest.pop()))
        if len(batch[-1]) > PIECE_BYTES:
            last = _parse_pieces(batch.pop(), depth + 1)
            values += [*_from_json(b"[%b]" % b",".join(batch)), last]
        else:
            values += _from_json(b"[%b]" % b",".join(batch))
    return values


def _cut_numbers(items: bytes) -> Iterator[bytes]:
    """Yield lists of the items in turn, each as JSON of some `PIECE_BYTES`."""
    start = 0
    while (end := items.find(b",", start + PIECE_BYTES)) >= 0:
        yield b"[%b]" % items[start:end]
        start = end + 1
    if not items[start:].strip():
        raise ValueError("a list must not end with a comma")
    yield b"[%b]" % items[start:]


def is_plain(value: Any) -> bool:
    """Return whether JSON restores a value exactly; lone surrogates in strings are not checked.

    A value that contains itself or is nested too deeply is not plain.
    """
    if type(value) is not dict and type(value) is not list:
        return _check_items((value,), [])

    # Depth first, so that a value that contains itself soon reaches the greatest depth.
    pending: list[list[Any]] = [[value]]
    containers = 0
    while pending:
        if not pending[-1]:
            pending.pop()
            continue
        node = pending[-1].pop()
        children: list[Any] = []
        if type(node) is dict:
            for key in node:
                if type(key) is not str:
                    return False
            items_are_plain = _check_items(node.values(), children)
        else:
            items_are_plain = _check_items(node, children)
        containers += 1
        if not items_are_plain or containers > MAX_CONTAINERS:
            return False
        if children:
            if len(pending) == MAX_DEPTH:
                return False
            pending.append(children)
    return True


def _check_items(items: Collection[Any], containers: list[Any]) -> bool:
    """Return whether each item by itself is plain; add dicts and lists to ``containers``."""
    if len(items) > LOOP_LIMIT:
        kinds = set(map(type, items))
        if dict in kinds or list in kinds:
            containers += [item for item in items if type(item) is dict or type(item) is list]
        return kinds <= _PLAIN and _has_plain_numbers(items, kinds)

    for item in items:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is dict or kind is list:
            containers.append(item)
        elif kind is int:
            if not MIN_INT <= item <= MAX_INT:
                return False
        elif kind is not float or not isfinite(item):
            return False
    return True


def has_only_plain_scalars(items: Collection[Any]) -> bool:
    """Return whether JSON restores all items and all are scalars; surrogates are not checked."""
    kinds = set(map(type, items))
    return kinds <= _SCALARS and _has_plain_numbers(items, kinds)


def _has_plain_numbers(items: Collection[Any], kinds: set[type]) -> bool:
    # JSON has no infinity and no NaN, and its readers differ on larger ints.
    if float in kinds:
        if kinds == {float}:
            # Infinity and NaN survive every sum, so a finite sum clears all floats at once. An
            # infinite sum may be an overflow.
            if not isfinite(sum(items)) and not all(map(isfinite, items)):
                return False
        elif not all(isfinite(item) for item in items if type(item) is float):
            return False
    if int in kinds:
        ints = items if kinds == {int} else [item for item in items if type(item) is int]
        return min(ints) >= MIN_INT and max(ints) <= MAX_INT
    return True


class RawBytes:
    """Serializer of ``bytes``, without base64; `TaggedJson` writes bytes within a value.

    Example:
        >>> RawBytes().encode(b"GIF89a")
        b'GIF89a'
    """

    name = "bytes"

    def encode(self, value: Any) -> bytes | None:
        """Return the bytes themselves; ``None`` for a value of another type."""
        return value if type(value) is bytes else None

    def decode(self, payload: bytes) -> Any:
        """Return the payload as ``bytes``; some stores return another type of buffer."""
        return bytes(payload)
