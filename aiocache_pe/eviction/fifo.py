"""First in, first out: the oldest goes, whatever its use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.linked_list import LinkedList


class Fifo(Generic[N]):
    """Evicts in the order of arrival; a hit costs nothing."""

    __slots__ = ("_queue",)

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._queue = LinkedList[N]()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, node: N) -> None:
        """Last in the queue."""
        self._queue.append(node)

    def discard(self, node: N) -> None:
        """Out of the queue, if it is this very node that stands there."""
        self._queue.discard(node)

    def evict(self) -> N:
        """The first of the queue."""
        return self._queue.pop()
