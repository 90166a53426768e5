"""Least recently used: what was not asked for the longest goes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic

from aiocache_pe.protocols import N


class Lru(Generic[N]):
    """Evicts the least recently used; every hit moves its node, under the lock."""

    __slots__ = ("_nodes", "on_hit")

    on_hit: Callable[[N], None] | None

    def __init__(self) -> None:
        self._nodes: OrderedDict[str, N] = OrderedDict()
        self.on_hit = self._touch

    def add(self, node: N) -> None:
        """Most recent."""
        self._nodes[node.key] = node
        self._nodes.move_to_end(node.key)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        if self._nodes.get(node.key) is node:
            del self._nodes[node.key]

    def evict(self) -> N:
        """The least recent."""
        try:
            return self._nodes.popitem(last=False)[1]
        except KeyError:
            raise LookupError("nothing to evict") from None

    def _touch(self, node: N) -> None:
        if node.key in self._nodes:
            self._nodes.move_to_end(node.key)
