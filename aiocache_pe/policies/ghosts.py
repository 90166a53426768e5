"""Who went lately: a memory of keys that takes a few bytes for each."""

from __future__ import annotations

from array import array

_LEAST = 64  # places of the smallest table
_ROOM = 4  # places for each key, so that few fall into the same
_MASK = (1 << 32) - 1


class Ghosts:
    """Remembers the last keys that went, as many as the cache holds entries.

    A table of 32 bits of a key's hash and the number of its going; of two keys that fall
    into one place the later counts. So it may forget, a little, and is right otherwise
    but for one key in four thousand million.
    """

    __slots__ = ("_gone", "_remembered", "_table")

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _LEAST))
        self._gone = 0  # how many went so far
        self._remembered = 0  # how many of the last of these count

    def add(self, key: str, remembered: int) -> None:
        """A key goes; the last ``remembered`` are to be known."""
        self._remembered = remembered
        while remembered * _ROOM > len(self._table):
            self._table = self._table * 2  # every key finds itself in either of its two places
        self._gone += 1
        code = hash(key)
        self._table[code % len(self._table)] = (code & _MASK) << 32 | self._gone & _MASK

    def take(self, key: str) -> bool:
        """Whether a key went lately; it is forgotten with that."""
        code = hash(key)
        place = code % len(self._table)
        entry = self._table[place]
        if entry >> 32 != code & _MASK or not entry:
            return False
        self._table[place] = 0
        return (self._gone - entry) & _MASK < self._remembered
