"""Expiry buckets: nodes grouped by the time at which they expire."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable
from math import inf, isfinite
from typing import Generic

from aiocache_pe.clock import SystemClock
from aiocache_pe.eviction.base import N

_WIDTHS = (1, 64, 4096, 262_144)  # seconds of a bucket at each level: up to three days
_BUCKETS_PER_LEVEL = 1024  # about; nodes that expire later use the next level
_LEVELS = len(_WIDTHS)


class ExpiryBuckets(Generic[N]):
    """Index of nodes by their expiry, so that expired nodes are found without a search.

    Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987. Nodes that expire at
    about the same time share a bucket, and a bucket is emptied when all of its nodes have
    expired. The later the expiry, the wider the bucket, so there are few buckets. Unlike in the
    paper, nodes do not move to narrower buckets later. They stay in memory for up to a sixteenth
    of their lifetime longer, or for one second.

    Invariants:

    - A node without a finite expiry is in no bucket and costs nothing.
    - A node that is removed or replaced leaves its bucket at once.
    - The id of a bucket orders the buckets by the time at which they expire.

    A bucket is a dict of keys, 22 to 38 bytes for each. A heap or lists, in which keys
    stay until they expire, were rejected (docs/design/decisions/0033). A list takes 9 bytes a
    key, but keeps a row for each time that the key was written.

    The index has no lock; its owner needs one.

    Args:
        expires_at: returns when a node expires, in seconds since the epoch; ``None`` or infinity
            for never. For one node the result must not change.
        time: returns the present time, in seconds since the epoch. ``None`` if only the callers
            of `pop_expired` know it; the system time is exact enough to choose a bucket.

    Attributes:
        now: returns the present time; minus infinity if ``time`` is ``None``.
    """

    __slots__ = ("_buckets", "_expires_at", "_order", "_time", "now")

    def __init__(
        self, expires_at: Callable[[N], float | None], time: Callable[[], float] | None
    ) -> None:
        self.now = time or (lambda: -inf)
        self._time = time or SystemClock.time
        self._expires_at = expires_at
        self._buckets: dict[int, dict[str, None]] = {}
        self._order: list[int] = []  # heap of the ids of the buckets

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, node: N) -> None:
        """Add a node; its key must be in no bucket."""
        expires_at = self._expires_at(node)
        if expires_at is None or not isfinite(expires_at):
            return

        width = (expires_at - self._time()) / _BUCKETS_PER_LEVEL
        bucket_id = _bucket_id(expires_at, bisect_left(_WIDTHS, width, 0, _LEVELS - 1))
        if bucket_id not in self._buckets:
            self._buckets[bucket_id] = {}
            heapq.heappush(self._order, bucket_id)
        self._buckets[bucket_id][node.key] = None

    def discard(self, node: N) -> None:
        """Remove a node that was added."""
        expires_at = self._expires_at(node)
        if expires_at is None or not isfinite(expires_at):
            return

        for level in range(_LEVELS):
            bucket = self._buckets.get(_bucket_id(expires_at, level))
            if bucket is not None and node.key in bucket:
                del bucket[node.key]
                if not bucket:
                    bucket.clear()  # frees the table, which does not shrink by itself
                return

    def restart(self, nodes: Iterable[N]) -> None:
        """Remove all nodes, and add these."""
        self._buckets.clear()
        self._order.clear()
        for node in nodes:
            self.add(node)

    def pop_expired(self, now: float) -> str | None:
        """Remove a node that expired before ``now``, in seconds since the epoch.

        Returns:
            The key of the node; ``None`` if no bucket has expired.
        """
        while self._order and self._order[0] <= now * _LEVELS:
            bucket = self._buckets[self._order[0]]
            if bucket:
                return bucket.popitem()[0]
            del self._buckets[heapq.heappop(self._order)]
        return None


def _bucket_id(expires_at: float, level: int) -> int:
    """Return the end of a node's bucket, in quarters of a second, plus its level."""
    width = _WIDTHS[level]
    return (int(expires_at) // width + 1) * width * _LEVELS + level
