"""S3-FIFO: three queues in which nothing moves at a hit.

Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction",
SOSP 2023. What is new waits in a small queue, a tenth of the whole; most of it is never
asked for again and goes from there, soon. What was used in it moves on to the main
queue, in which a use saves from going once more. Who comes back soon after it went, as
the ghosts remember, enters the main queue at once.

A hit only raises the node's counter. The counts of the paper, from 0 to 3, are the
difference between it and what it was when the policy last looked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic

from aiocache_pe.policies.ghosts import Ghosts
from aiocache_pe.protocols import N

_SMALL = 0.1  # the share of the small queue
_MOST = 3  # uses above this do not count


class S3Fifo(Generic[N]):
    """Evicts what was tried and not used; a hit costs nothing."""

    __slots__ = ("_ghosts", "_main", "_small")

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._small: OrderedDict[str, tuple[N, int]] = OrderedDict()  # with uses seen
        self._main: OrderedDict[str, tuple[N, int]] = OrderedDict()
        self._ghosts = Ghosts()

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def add(self, node: N) -> None:
        """Into the small queue; into the main one if it went only lately."""
        self._forget(node.key)
        queue = self._main if self._ghosts.take(node.key) else self._small
        queue[node.key] = (node, node.uses)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        held = self._small.get(node.key) or self._main.get(node.key)
        if held is not None and held[0] is node:
            self._forget(node.key)

    def evict(self) -> N:
        """The first that was not used enough; few rounds, while others go on hitting."""
        size = len(self)
        patience = 2 * _MOST * size
        while self._small and (len(self._small) >= _SMALL * size or not self._main):
            key, (node, seen) = self._small.popitem(last=False)
            if node.uses - seen <= 1:
                self._ghosts.add(key, size)
                return node
            self._main[key] = (node, node.uses)
        while self._main:
            key, (node, seen) = self._main.popitem(last=False)
            uses = min(node.uses - seen, _MOST)
            if uses <= 0 or patience <= 0:
                return node
            patience -= 1
            self._main[key] = (node, node.uses - uses + 1)
        raise LookupError("nothing to evict")

    def _forget(self, key: str) -> None:
        self._small.pop(key, None)
        self._main.pop(key, None)
