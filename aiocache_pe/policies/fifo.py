"""First in, first out: the oldest goes, whatever its use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic

from aiocache_pe.protocols import N


class Fifo(Generic[N]):
    """Evicts in the order of arrival; a hit costs nothing."""

    __slots__ = ("_nodes",)

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._nodes: OrderedDict[str, N] = OrderedDict()

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, node: N) -> None:
        """Last in the queue."""
        self._nodes[node.key] = node

    def discard(self, node: N) -> None:
        """Out of the queue, if it is this very node that stands there."""
        if self._nodes.get(node.key) is node:
            del self._nodes[node.key]

    def evict(self) -> N:
        """The first of the queue."""
        try:
            return self._nodes.popitem(last=False)[1]
        except KeyError:
            raise LookupError("nothing to evict") from None
