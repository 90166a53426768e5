"""Ghosts: keys of evicted entries, in a few bytes each."""

from __future__ import annotations

from array import array

NUMBER_BITS = 22
"""Bits that `GhostEntries` keeps of a number."""

_NUMBER_MASK = (1 << NUMBER_BITS) - 1
_HASH_MASK = (1 << 32 - NUMBER_BITS) - 1  # the other bits of a slot
_HASH_SHIFT = 40  # the bits below choose the row
_ROW_LENGTH = 4
_MIN_SLOTS = 64
_SLOTS_PER_KEY = 1.5  # at least, so that few keys are displaced early


class GhostEntries:
    """Table of evicted keys, each with a number that says when it was evicted.

    A slot has 32 bits: 10 bits of the hash of a key, and 22 bits of its number. Four slots are
    a row. A new key becomes the first of its row and displaces the last.

    Invariant: when the table doubles, every key is found in both copies of its row.

    The table may forget a key early, and it takes one key in 256 for another one. Both only
    change the queue in which a new entry starts. A mapping of keys would be exact and take
    about 100 bytes for each.
    """

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table = array("I", bytes(4 * _MIN_SLOTS))

    def add(self, key: str, number: int, capacity: int) -> None:
        """Add the key of an evicted entry.

        Args:
            key: store key.
            number: time of the eviction, in the policy's own count; 22 bits of it are kept.
            capacity: number of keys to remember.
        """
        table = self._table
        while capacity * _SLOTS_PER_KEY > len(table):
            table = self._table = table * 2

        code = hash(key)
        row = code % len(table) & -_ROW_LENGTH
        table[row + 3], table[row + 2], table[row + 1] = table[row + 2], table[row + 1], table[row]
        table[row] = (code >> _HASH_SHIFT & _HASH_MASK) << NUMBER_BITS | number & _NUMBER_MASK

    def take(self, key: str) -> int | None:
        """Remove a key and return its number in 22 bits; ``None`` for an unknown key."""
        table, code = self._table, hash(key)
        row, fingerprint = code % len(table) & -_ROW_LENGTH, code >> _HASH_SHIFT & _HASH_MASK
        for index in range(row, row + _ROW_LENGTH):
            slot = table[index]
            if slot >> NUMBER_BITS == fingerprint and slot:
                table[index] = 0
                return slot & _NUMBER_MASK
        return None


def compute_age(then: int, now: int) -> int:
    """Return the difference between a number and an earlier one of which 22 bits are known."""
    return (now - then) & _NUMBER_MASK
