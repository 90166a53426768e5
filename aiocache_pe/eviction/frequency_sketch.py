"""Frequency sketch: estimates of how often keys were requested lately."""

from __future__ import annotations

_MAX_COUNT = 15
_MIN_COUNTERS = 1024
_COUNTERS_PER_ENTRY = 8
_SAMPLE_FACTOR = 10  # all counters are halved after this many requests for each entry
_HALVES = bytes(n >> 1 for n in range(256))
_SECOND_HASH = 0x9E3779B97F4A7C15  # golden ratio: makes the second index independent of the first


class FrequencySketch:
    """Popularity of keys, present in the cache or not, as numbers from 0 to 15.

    Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", ACM
    Transactions on Storage 2017. The sketch is a count-min sketch of small counters: two rows,
    in each of which the hash of a key chooses one counter. The lower of both is the estimate.
    All counters are halved periodically, so earlier popularity fades.

    Invariants:

    - An estimate is never too low, apart from the halving. It may be too high.
    - When the rows double, a key finds its count in both copies of its counter.

    A counter takes a byte, although 15 needs only four bits, so that ``bytes.translate`` halves
    a whole row in C.
    """

    __slots__ = ("_first_row", "_mask", "_requests", "_second_row")

    def __init__(self) -> None:
        self._first_row, self._second_row = bytearray(_MIN_COUNTERS), bytearray(_MIN_COUNTERS)
        self._mask = _MIN_COUNTERS - 1
        self._requests = 0

    def increment(self, key: str, entries: int) -> None:
        """Count a request for a key, in a cache of so many entries."""
        if entries * _COUNTERS_PER_ENTRY > self._mask + 1:
            self._grow()

        code = hash(key)
        first, second = code & self._mask, (code * _SECOND_HASH >> 20) & self._mask
        count = min(self._first_row[first], self._second_row[second])
        if count < _MAX_COUNT:
            self._first_row[first] = max(self._first_row[first], count + 1)
            self._second_row[second] = max(self._second_row[second], count + 1)

        self._requests += 1
        if self._requests >= _SAMPLE_FACTOR * entries:
            self._requests //= 2
            self._first_row = self._first_row.translate(_HALVES)
            self._second_row = self._second_row.translate(_HALVES)

    def estimate(self, key: str) -> int:
        """Return the estimated number of recent requests for a key, at most 15."""
        code = hash(key)
        return min(
            self._first_row[code & self._mask],
            self._second_row[(code * _SECOND_HASH >> 20) & self._mask],
        )

    def _grow(self) -> None:
        self._first_row = self._first_row * 2
        self._second_row = self._second_row * 2
        self._mask = 2 * self._mask + 1
