"""LIRS: what counts is how much else was used between two uses, not how long ago the last was.

Jiang and Zhang, "LIRS: an efficient low inter-reference recency set replacement policy",
SIGMETRICS 2002. Most entries are *low*: they were used twice with little else between.
A stack holds them in order of recency, among them others that were used since the
lowest of them; an entry that is used while it is still in the stack becomes low, and
the low one at the bottom makes way. All that is not low stands in a short queue, and
goes from there. So a loop that is longer than the cache keeps a part of itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic

from aiocache_pe.protocols import N

_QUEUE = 0.01
_GHOSTS = 2.0  # remembered in the stack after they went, for each that is here


class Lirs(Generic[N]):
    """Evicts what was not used twice in a short time; a hit moves its node.

    Args:
        queue: the share of entries that are not low.
    """

    __slots__ = ("_ghosts", "_low", "_queue", "_share", "_stack", "on_hit")

    lock_free = False
    on_hit: Callable[[N], None] | None

    def __init__(self, queue: float = _QUEUE) -> None:
        self._share = queue
        self._low: dict[str, N] = {}
        self._queue: OrderedDict[str, N] = OrderedDict()
        self._ghosts: OrderedDict[str, None] = OrderedDict()  # those of the stack that went
        self._stack: OrderedDict[str, None] = OrderedDict()
        self.on_hit = self._used

    def __len__(self) -> int:
        return len(self._low) + len(self._queue)

    def add(self, node: N) -> None:
        """Low if there is room for that, or if it is still in the stack."""
        key = node.key
        self._forget(key)
        known = key in self._ghosts
        self._ghosts.pop(key, None)
        self._stack[key] = None
        self._stack.move_to_end(key)
        if known or len(self._low) < (1 - self._share) * len(self) or not self._low:
            self._raise(node)
        else:
            self._queue[key] = node

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        key = node.key
        if (self._low.get(key) or self._queue.get(key)) is node:
            self._forget(key)
            self._stack.pop(key, None)
            self._prune()

    def evict(self) -> N:
        """The first of the queue; its place in the stack remembers it."""
        if not self._queue:
            if not self._low:
                raise LookupError("nothing to evict")
            self._lower()
        key, node = self._queue.popitem(last=False)
        if key in self._stack:
            self._ghosts[key] = None
            if len(self._ghosts) > _GHOSTS * (len(self) + 1):
                self._stack.pop(self._ghosts.popitem(last=False)[0])
        return node

    def _used(self, node: N) -> None:
        key = node.key
        if key in self._low:
            self._stack.move_to_end(key)
            self._prune()
        elif key in self._queue:
            known = key in self._stack
            self._stack[key] = None
            self._stack.move_to_end(key)
            if known:  # raised is the node that stands here: the one hit may have been replaced
                self._raise(self._queue.pop(key))
            else:
                self._queue.move_to_end(key)

    def _raise(self, node: N) -> None:
        self._low[node.key] = node
        if len(self._low) > max(1.0, (1 - self._share) * len(self)):
            self._lower()

    def _lower(self) -> None:
        """The low entry at the bottom of the stack becomes one of the queue."""
        self._prune()
        key, _ = self._stack.popitem(last=False)
        self._queue[key] = self._low.pop(key)
        self._prune()

    def _prune(self) -> None:
        """The bottom of the stack is a low entry."""
        while self._stack:
            key = next(iter(self._stack))
            if key in self._low:
                return
            del self._stack[key]
            self._ghosts.pop(key, None)

    def _forget(self, key: str) -> None:
        self._low.pop(key, None)
        self._queue.pop(key, None)
