"""Least frequently used: what was asked for the fewest times goes, the oldest of them first.

It never forgets what was popular once, so it suits an interest that does not change. A
heap holds for each node how often it had been used when it was last looked at; a hit
only raises the counter, and who turns out to have been used more is put back, as in the
lazy priority queue of Cao and Irani, "Cost-aware WWW proxy caching algorithms" (1997).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic

from aiocache_pe.protocols import N


class Lfu(Generic[N]):
    """Evicts by count of uses; a hit costs nothing."""

    __slots__ = ("_heap", "_nodes", "_turn")

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, N]] = []  # uses, turn, node; some of them gone
        self._nodes: dict[str, N] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, node: N) -> None:
        """Among those of its uses, the last to go."""
        self._nodes[node.key] = node
        heapq.heappush(self._heap, self._placed(node))

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node; its place in the heap goes when it is met."""
        if self._nodes.get(node.key) is node:
            del self._nodes[node.key]
            if len(self._heap) > 2 * len(self._nodes) + 8:
                self._heap = [place for place in self._heap if self._is_here(place[2])]
                heapq.heapify(self._heap)

    def evict(self) -> N:
        """The least used; each is looked at once at the most, while others go on hitting."""
        patience = len(self._nodes)
        while self._heap:
            uses, _, node = self._heap[0]
            if not self._is_here(node):
                heapq.heappop(self._heap)
            elif uses != node.uses and patience > 0:
                patience -= 1
                heapq.heapreplace(self._heap, self._placed(node))
            else:
                heapq.heappop(self._heap)
                del self._nodes[node.key]
                return node
        raise LookupError("nothing to evict")

    def _placed(self, node: N) -> tuple[int, int, N]:
        self._turn += 1
        return node.uses, self._turn, node

    def _is_here(self, node: N) -> bool:
        return self._nodes.get(node.key) is node
