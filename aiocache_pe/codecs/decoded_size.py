"""Bounds on the memory of decoded JSON, estimated before the JSON is decoded.

An empty list takes 3 bytes as JSON and 72 bytes in memory, and compression makes a byte of a
hundred lists. So a limit on the bytes does not limit the objects. The estimate counts the
characters that separate them, and is an upper limit for all values but a few odd ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_FREE_BYTES: Final = 32 * 1024 * 1024
"""Memory that each value may take."""
_PLAIN_RATIO: Final = 24  # further memory by byte in the store; rows of a database take 5 to 10
_COMPRESSED_RATIO: Final = 100  # JSON of such rows is compressed to a tenth
_MAX_RATIO: Final = 84  # of a list of empty dicts, the greatest of all

# Memory by character. A string also has its quotes, and each of its bytes may take four.
_DICT, _LIST, _ITEM, _QUOTE, _BYTE = 192, 72, 40, 16, 4
_DEQUE, _DEQUE_TAG = 600, b'{"$deque"'  # an empty deque has room for 64 items
_WINDOW = 1 << 20  # bytes; a scan lets other threads run after each window


class DecodedSizeMeter:
    """Running estimate of the memory that JSON takes when it is decoded.

    Args:
        limit: greatest estimate.
        exact: skip the text within strings, which takes four times as long. Otherwise brackets
            and commas in text are counted as well.
    """

    def __init__(self, limit: int, *, exact: bool) -> None:
        self._limit = limit
        self._exact = exact
        self._size = 0
        self._is_in_string = False
        self._rest = b""

    def add(self, text: bytes) -> bool:
        """Add the next part of the JSON, and return whether the estimate is within the limit."""
        self._size += _BYTE * len(text) + _DEQUE * text.count(_DEQUE_TAG)
        if self._exact:
            text, quotes = self._drop_strings(text)
        else:
            quotes = text.count(b'"')
        self._size += _QUOTE * quotes + _DICT * text.count(b"{") + _LIST * text.count(b"[")
        self._size += _ITEM * text.count(b",")
        return self._size <= self._limit

    def _drop_strings(self, text: bytes) -> tuple[bytes, int]:
        """Return the text outside strings, and the number of quotes."""
        text = self._rest + text
        escapes = len(text) - len(text.rstrip(b"\\"))
        self._rest = text[len(text) - escapes % 2 :]  # half of an escape sequence
        text = text[: len(text) - escapes % 2]
        parts = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[self._is_in_string :: 2])
        self._is_in_string ^= len(parts) % 2 == 0
        return outside, len(parts) - 1


def compute_limit(stored_size: int, *, is_compressed: bool) -> int:
    """Return the greatest memory of a value with a payload of this size in the store."""
    return _FREE_BYTES + stored_size * (_COMPRESSED_RATIO if is_compressed else _PLAIN_RATIO)


def is_within(payload: bytes, limit: int) -> bool:
    """Return whether JSON takes no more memory than a limit when it is decoded."""
    if len(payload) * _MAX_RATIO <= limit:
        return True
    for exact in (False, True):
        meter = DecodedSizeMeter(limit, exact=exact)
        if all(map(meter.add, _iter_windows(payload))):
            return True
    return False


def _iter_windows(payload: bytes) -> Iterable[bytes]:
    for start in range(0, len(payload), _WINDOW):
        yield payload[start : start + _WINDOW]
