"""LFU: eviction of the least frequently used entry."""

from __future__ import annotations

import heapq

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.linked_list import LinkedList


class Lfu(EvictionPolicy[N]):
    """Policy that evicts the entry with the fewest hits, and the oldest among equals.

    Invariants:

    - ``node.policy_state`` is the number of hits at the time when the policy last looked at the
      node, and the node is in the queue of that number.
    - No queue is empty, and the heap contains the number of every queue. It may also contain
      numbers of queues that no longer exist.

    The policy never forgets earlier hits, so it suits an interest that does not change.

    A hit only raises the counter of its node. Moving the node at the hit would need the lock.
    Instead, `evict` moves a node if its counter has risen, as in the lazy priority queue of
    Cao and Irani, "Cost-aware WWW proxy caching algorithms", USITS 1997.
    """

    __slots__ = ("_counts", "_length", "_queues")

    def __init__(self) -> None:
        self._queues: dict[int, LinkedList[N]] = {}  # by number of hits
        self._counts: list[int] = []  # heap
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, node: N) -> None:
        """Append a node to the queue of its number of hits."""
        self._length += 1
        self._insert(node, node.hits)

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""
        if node.queue is not None and node.queue is self._queues.get(node.policy_state):
            self._remove(node)
            self._length -= 1

    def evict(self) -> N:
        """Remove and return the node with the fewest hits.

        Hits may continue meanwhile, so the method moves at most as many nodes as there are.
        """
        moves_left = self._length
        while self._counts:
            lowest = self._counts[0]
            queue = self._queues.get(lowest)
            if queue is None:
                heapq.heappop(self._counts)
                continue

            node = queue.first
            hits = node.hits
            self._remove(node)
            if hits == lowest or moves_left <= 0:
                self._length -= 1
                return node
            moves_left -= 1
            self._insert(node, hits)
        raise LookupError("nothing to evict")

    def _insert(self, node: N, hits: int) -> None:
        queue = self._queues.get(hits)
        if queue is None:
            queue = self._queues[hits] = LinkedList()
            heapq.heappush(self._counts, hits)
            if len(self._counts) > 2 * len(self._queues) + 8:
                self._counts = sorted(self._queues)
        node.policy_state = hits
        queue.append(node)

    def _remove(self, node: N) -> None:
        queue = self._queues[node.policy_state]
        queue.remove(node)
        if not queue:
            del self._queues[node.policy_state]
