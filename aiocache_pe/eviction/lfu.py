"""Least frequently used: what was asked for the fewest times goes, the oldest of them first.

It never forgets what was popular once, so it suits an interest that does not change. Nodes
stand together by how often they had been used when they were last looked at; a hit only
raises the counter, and who turns out to have been used more is put to others, as in the
lazy priority queue of Cao and Irani, "Cost-aware WWW proxy caching algorithms" (1997).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.linked_list import LinkedList


class Lfu(Generic[N]):
    """Evicts by count of uses; a hit costs nothing."""

    __slots__ = ("_by_uses", "_counts", "_length")

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._by_uses: dict[int, LinkedList[N]] = {}  # those used so often, none of them empty
        self._counts: list[int] = []  # a heap of its keys, and of some that it had before
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, node: N) -> None:
        """Among those of its uses, the last to go."""
        self._length += 1
        self._place(node, node.uses)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        if node.chain is not None and node.chain is self._by_uses.get(node.mark):
            self._take(node)
            self._length -= 1

    def evict(self) -> N:
        """The least used; each is looked at once at the most, while others go on hitting."""
        patience = self._length
        while self._counts:
            least = self._counts[0]
            chain = self._by_uses.get(least)
            if chain is None:
                heapq.heappop(self._counts)
                continue
            node = chain.first
            uses = node.uses
            self._take(node)
            if uses == least or patience <= 0:
                self._length -= 1
                return node
            patience -= 1
            self._place(node, uses)
        raise LookupError("nothing to evict")

    def _place(self, node: N, uses: int) -> None:
        chain = self._by_uses.get(uses)
        if chain is None:
            chain = self._by_uses[uses] = LinkedList()
            heapq.heappush(self._counts, uses)
            if len(self._counts) > 2 * len(self._by_uses) + 8:
                self._counts = sorted(self._by_uses)
        node.mark = uses
        chain.append(node)

    def _take(self, node: N) -> None:
        chain = self._by_uses[node.mark]
        chain.remove(node)
        if not chain:
            del self._by_uses[node.mark]
