"""How often a key was asked for lately, in a few bytes for each, present or not.

Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", ACM
Transactions on Storage 2017: a count-min sketch of small counters, all of which are
halved now and then, so that what was popular once is forgotten.
"""

from __future__ import annotations

_MOST = 15
_LEAST = 1024
_PLACES = 8  # counters for each entry of the cache
_PERIOD = 10  # halved after this many uses for each entry of the cache
_HALVED = bytes(n >> 1 for n in range(256))
_TURN = 0x9E3779B97F4A7C15  # the golden ratio: a place that has little to do with the first


class FrequencySketch:
    """Estimates of frequencies, from 0 to 15, never too low but for the halving."""

    __slots__ = ("_added", "_mask", "_one", "_two")

    def __init__(self) -> None:
        self._one, self._two = bytearray(_LEAST), bytearray(_LEAST)
        self._mask = _LEAST - 1
        self._added = 0

    def add(self, key: str, entries: int) -> None:
        """Count a use, in a cache of so many entries."""
        if entries * _PLACES > self._mask + 1:
            self._grow()
        code = hash(key)
        one, two = code & self._mask, (code * _TURN >> 20) & self._mask
        count = min(self._one[one], self._two[two])
        if count < _MOST:
            self._one[one] = max(self._one[one], count + 1)
            self._two[two] = max(self._two[two], count + 1)
        self._added += 1
        if self._added >= _PERIOD * entries:
            self._added //= 2
            self._one = self._one.translate(_HALVED)
            self._two = self._two.translate(_HALVED)

    def count(self, key: str) -> int:
        """How often a key was used lately."""
        code = hash(key)
        return min(self._one[code & self._mask], self._two[(code * _TURN >> 20) & self._mask])

    def _grow(self) -> None:
        """Double the places; every key finds its count in either of its two."""
        self._one = self._one * 2
        self._two = self._two * 2
        self._mask = 2 * self._mask + 1
