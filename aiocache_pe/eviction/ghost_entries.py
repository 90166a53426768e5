"""Who went lately: a memory of keys that takes a few bytes for each."""

from __future__ import annotations

from array import array

_LEAST = 64  # places of the smallest table
_ROOM = 1.5  # places for each key at the least, so that few have to make way
_ROW = 4  # places, any of which may be a key's
NUMBER = 22
"""Bits of a number that are kept."""
_MASK = (1 << NUMBER) - 1
_CODE = (1 << 32 - NUMBER) - 1  # the other bits of a place are of the key's hash
_UNUSED = 40  # bits of a hash above those that say in which row it is


class GhostEntries:
    """Remembers keys that went, each with a number that says when.

    A table of 10 bits of a key's hash and 22 of the number, in rows of four places: a key
    comes first in its row, and whoever stood last there is forgotten. So it may forget, a
    little, and takes one key in 256 for another, which was not here lately. Who asks only
    decides by that where a key that comes in is put at first.
    """

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table = array("I", bytes(4 * _LEAST))

    def add(self, key: str, number: int, remembered: int) -> None:
        """A key goes.

        Args:
            key: which.
            number: when, by the policy's own counting; 22 bits of it are kept.
            remembered: how many keys are to be known.
        """
        table = self._table
        while remembered * _ROOM > len(table):
            table = self._table = table * 2  # every key finds itself where it was, and beyond
        code = hash(key)
        row = code % len(table) & -_ROW
        table[row + 3], table[row + 2], table[row + 1] = table[row + 2], table[row + 1], table[row]
        table[row] = (code >> _UNUSED & _CODE) << NUMBER | number & _MASK

    def take(self, key: str) -> int | None:
        """The number with which a key went, in 22 bits; it is forgotten with that."""
        table, code = self._table, hash(key)
        row, wanted = code % len(table) & -_ROW, code >> _UNUSED & _CODE
        for place in range(row, row + _ROW):
            entry = table[place]
            if entry >> NUMBER == wanted and entry:
                table[place] = 0
                return entry & _MASK
        return None


def age_of(then: int, now: int) -> int:
    """How much later one number is than another that was kept in 22 bits."""
    return (now - then) & _MASK
