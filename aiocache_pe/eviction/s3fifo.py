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

from collections.abc import Callable
from typing import Generic

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.ghost_entries import GhostEntries, age_of
from aiocache_pe.eviction.linked_list import LinkedList

_SMALL = 0.1  # the share of the small queue
_MOST = 3  # uses above this do not count


class S3Fifo(Generic[N]):
    """Evicts what was tried and not used; a hit costs nothing."""

    __slots__ = ("_ghosts", "_gone", "_main", "_remembered", "_small")

    lock_free = True
    on_hit: Callable[[N], None] | None = None

    def __init__(self) -> None:
        self._small = LinkedList[N]()
        self._main = LinkedList[N]()
        self._ghosts = GhostEntries()
        self._gone = 0  # how many went from the small queue so far
        self._remembered = 0  # how many of the last of these count

    def __len__(self) -> int:
        return self._small.length + self._main.length

    def add(self, node: N) -> None:
        """Into the small queue; into the main one if it went only lately."""
        node.mark = node.uses
        gone = self._ghosts.take(node.key)
        lately = gone is not None and age_of(gone, self._gone) < self._remembered
        (self._main if lately else self._small).append(node)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        self._small.discard(node)
        self._main.discard(node)

    def evict(self) -> N:
        """The first that was not used enough; few rounds, while others go on hitting."""
        small, main = self._small, self._main
        size = len(self)
        patience = 2 * _MOST * size
        while small.length and (small.length >= _SMALL * size or not main.length):
            node = small.pop()
            uses = node.uses
            if uses - node.mark <= 1:
                self._gone += 1
                self._remembered = size
                self._ghosts.add(node.key, self._gone, size)
                return node
            node.mark = uses
            main.append(node)
        while main.length:
            node = main.first
            uses = node.uses
            fresh = min(uses - node.mark, _MOST)
            if fresh <= 0 or patience <= 0:
                break
            patience -= 1
            node.mark = uses - fresh + 1
            main.touch(node)
        return main.pop()
