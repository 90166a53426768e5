"""FIFO: eviction of the oldest entry."""

from __future__ import annotations

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.linked_list import LinkedList


class Fifo(EvictionPolicy[N]):
    """Policy that evicts in the order of arrival.

    Invariant: the queue is in the order of arrival. Hits change nothing and cost nothing, so a
    store without bounds uses this policy, too.
    """

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue = LinkedList[N]()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, node: N) -> None:
        """Append a node to the queue."""
        self._queue.append(node)

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""
        self._queue.discard(node)

    def evict(self) -> N:
        """Remove and return the first node of the queue."""
        return self._queue.pop_first()
