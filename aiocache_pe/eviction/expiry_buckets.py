"""When what is over: nodes in buckets of time, so that none has to be looked for.

Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987: who is over at about
the same time stands in the same bucket, and a bucket is emptied when all of it is over. The
farther away that is, the wider the bucket, so there are few of them; unlike the paper's,
nodes do not move to narrower ones as their time comes, but stay up to a sixteenth of
their life longer, or a second.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf, isfinite
from typing import Generic

from aiocache_pe.clock import SystemClock
from aiocache_pe.eviction.base import N

_WIDTHS = (1, 64, 4096, 262_144)  # seconds: up to three days
_MANY = 1024  # buckets of a width, about, before the next one is taken
_KINDS = len(_WIDTHS)


class ExpiryBuckets(Generic[N]):
    """Keys by when their nodes are over. Those that never are cost nothing.

    A bucket is a dict of keys, so a node that goes or is replaced leaves nothing behind: a
    list would take a third of its 30 bytes or so a key, but keep a key for each time that it
    was written. Not for several threads at once: its owner has a lock.

    Args:
        gone_at: when a node is over, seconds since the epoch; ``None`` or infinity for
            never. For one node it is always the same.
        time: what time it is, seconds since the epoch; ``None`` when that is only known to
            who asks `over`. The system's is good enough to choose a bucket.
    """

    __slots__ = ("_buckets", "_gone_at", "_order", "_time", "now")

    def __init__(
        self, gone_at: Callable[[N], float | None], time: Callable[[], float] | None
    ) -> None:
        self.now = _beginning if time is None else time
        self._time = SystemClock.time if time is None else time
        self._gone_at = gone_at
        self._buckets: dict[int, dict[str, None]] = {}
        self._order: list[int] = []  # a heap of their names

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, node: N) -> None:
        """Note when a node is over; its key must not be here."""
        end = self._gone_at(node)
        if end is None or not isfinite(end):
            return
        kind, left = 0, (end - self._time()) / _MANY
        while kind < _KINDS - 1 and left > _WIDTHS[kind]:
            kind += 1
        name = _name(end, kind)
        bucket = self._buckets.get(name)
        if bucket is None:
            self._buckets[name] = {node.key: None}
            heapq.heappush(self._order, name)
        else:
            bucket[node.key] = None

    def discard(self, node: N) -> None:
        """Forget a node that was added."""
        end = self._gone_at(node)
        if end is None or not isfinite(end):
            return
        for kind in range(_KINDS):
            bucket = self._buckets.get(_name(end, kind))
            if bucket is not None and node.key in bucket:
                del bucket[node.key]
                if not bucket:
                    bucket.clear()  # the room of all that ever was in it
                return

    def pop_expired(self, now: float) -> str | None:
        """Take out the key of a node that is over; ``None`` when there is none.

        Args:
            now: seconds since the epoch.
        """
        while self._order and self._order[0] <= now * _KINDS:
            bucket = self._buckets[self._order[0]]
            if bucket:
                return bucket.popitem()[0]
            del self._buckets[heapq.heappop(self._order)]
        return None


def _name(end: float, kind: int) -> int:
    """Of the bucket in which a moment is: when it is over, in quarters of a second, and its kind.

    So the names are in the order in which the buckets come to be over.
    """
    width = _WIDTHS[kind]
    return (int(end) // width + 1) * width * _KINDS + kind


def _beginning() -> float:
    """A time at which nothing is over."""
    return -inf
