"""LRU: eviction of the least recently used entry."""

from __future__ import annotations

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.fifo import Fifo


class Lru(Fifo[N]):
    """Policy that evicts the entry that has had no hit for the longest time.

    Invariant: the queue is in the order of the last hit, or of arrival for a node without hits.
    A hit moves its node to the end of the queue, under the lock.

    LRU is the best policy where interest passes. A loop over more keys than the cache holds
    gets no hit at all.
    """

    __slots__ = ("on_hit",)

    lock_free = False

    def __init__(self) -> None:
        super().__init__()
        self.on_hit = self._queue.move_to_end
