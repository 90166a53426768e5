"""LIRS: what counts is how much else was used between two uses, not how long ago the last was.

Jiang and Zhang, "LIRS: an efficient low inter-reference recency set replacement policy",
SIGMETRICS 2002. Most entries are *low*: they were used twice with little else between.
A stack holds them in order of recency, among them others that were used since the
lowest of them; an entry that is used while it is still in the stack becomes low, and
the low one at the bottom makes way. All that is not low stands in a short queue, and
goes from there. So a loop that is longer than the cache keeps a part of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.ghost_entries import NUMBER, GhostEntries
from aiocache_pe.eviction.linked_list import LinkedList

_LOW = 0.99  # of all entries; the others are in the queue
_GHOSTS = 2  # remembered after they went, for each that is here
_STEPS = 64  # turns in which the cache is used once over; uses in one turn count as simultaneous
_BITS = 13  # of a ghost's number: the turn of its last use; the others tell when it went
_MASK = (1 << _BITS) - 1
_GONE = (1 << NUMBER - _BITS) - 1


class Lirs(Generic[N]):
    """Evicts what was not used twice in a short time; a hit moves its node.

    The stack of the paper is not kept: an entry is in it if it was used after the low entry
    that was not used for the longest. So each has the turn of its last use as its mark, also
    of those that went.
    """

    __slots__ = (
        *("_ghosts", "_gone", "_left", "_low", "_queue", "_staying", "_turn"),
        "on_hit",
    )

    lock_free = False
    on_hit: Callable[[N], None] | None

    def __init__(self) -> None:
        self._low = LinkedList[N]()  # the least recently used first
        self._queue = LinkedList[N]()
        self._ghosts = GhostEntries()
        self._gone = 0  # raised when so many went
        self._staying = 0  # how many go until it is
        self._turn = 0
        self._left = 0  # uses until the next turn
        self.on_hit = self._used

    def __len__(self) -> int:
        return self._low.length + self._queue.length

    def add(self, node: N) -> None:
        """Low if there is room for that, or if it would still be in the stack."""
        low = self._low
        ghost = self._ghosts.take(node.key)
        known = ghost is not None and self._is_known(ghost)
        node.mark = self._now()
        if known or not low.length or low.length < _LOW * len(self):
            self._raise(node)
        else:
            self._queue.append(node)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        self._low.discard(node)
        self._queue.discard(node)

    def evict(self) -> N:
        """The first of the queue, which is remembered if it would be in the stack."""
        if not self._queue.length:
            self._queue.append(self._low.pop())
        node = self._queue.pop()
        if self._is_in_stack(node.mark):
            size = len(self) + 1
            if not self._staying:
                self._gone += 1
                self._staying = 1 + size // _STEPS
            self._staying -= 1
            self._ghosts.add(node.key, self._gone << _BITS | node.mark & _MASK, _GHOSTS * size)
        return node

    def _used(self, node: N) -> None:
        if node.chain is self._low:
            self._low.touch(node)
            node.mark = self._now()
        elif node.chain is self._queue:
            known = self._is_in_stack(node.mark)
            node.mark = self._now()
            if known:
                self._queue.remove(node)
                self._raise(node)
            else:
                self._queue.touch(node)

    def _raise(self, node: N) -> None:
        low = self._low
        low.append(node)
        if low.length > max(1.0, _LOW * len(self)):
            self._queue.append(low.pop())

    def _is_in_stack(self, mark: int) -> bool:
        """Whether a use of this turn is later than that of the low entry used the longest ago."""
        low = self._low
        return bool(low.length) and 0 < (mark - low.first.mark & _MASK) <= _MASK >> 1

    def _is_known(self, ghost: int) -> bool:
        """Whether one that went would be in the stack, and is among the last that went."""
        return self._ago(ghost) < _GHOSTS * (len(self) + 1) and self._is_in_stack(ghost)

    def _ago(self, ghost: int) -> int:
        """About how many went since."""
        return (self._gone - (ghost >> _BITS) & _GONE) * (1 + len(self) // _STEPS)

    def _now(self) -> int:
        """The turn, one number for all uses in it."""
        if not self._left:
            self._turn += 1
            self._left = 1 + len(self) // _STEPS
        self._left -= 1
        return self._turn
