"""CLOCK: nearly least recently used, at no price for a hit.

The queue of FIFO, but what was used since the hand last passed is put back instead of
going (F. J. Corbató, "A paging experiment with the Multics system", 1968). A hit only
raises a counter in the node itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.linked_list import LinkedList


class Clock(Generic[N]):
    """Evicts the oldest that was not used since it was last looked at."""

    __slots__ = ("_queue",)

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._queue = LinkedList[N]()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, node: N) -> None:
        """Behind the hand, as it is used so far."""
        node.mark = node.uses
        self._queue.append(node)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        self._queue.discard(node)

    def evict(self) -> N:
        """The first one not used since; one round at the most, while others go on hitting."""
        for _ in range(len(self._queue)):
            node = self._queue.first
            uses = node.uses
            if uses == node.mark:
                break
            node.mark = uses
            self._queue.touch(node)
        return self._queue.pop()
