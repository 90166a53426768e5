"""CLOCK: nearly least recently used, at no price for a hit.

The queue of FIFO, but what was used since the hand last passed is put back instead of
going (F. J. Corbató, "A paging experiment with the Multics system", 1968). A hit only
raises a counter in the node itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic

from aiocache_pe.protocols import N


class Clock(Generic[N]):
    """Evicts the oldest that was not used since it was last looked at."""

    __slots__ = ("_nodes",)

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._nodes: OrderedDict[str, tuple[N, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, node: N) -> None:
        """Behind the hand, as it is used so far."""
        self._nodes[node.key] = (node, node.uses)
        self._nodes.move_to_end(node.key)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        held = self._nodes.get(node.key)
        if held is not None and held[0] is node:
            del self._nodes[node.key]

    def evict(self) -> N:
        """The first one not used since; one round at the most, while others go on hitting."""
        for _ in range(len(self._nodes)):
            key, (node, seen) = self._nodes.popitem(last=False)
            if node.uses == seen:
                return node
            self._nodes[key] = (node, node.uses)
        if not self._nodes:
            raise LookupError("nothing to evict")
        return self._nodes.popitem(last=False)[1][0]
