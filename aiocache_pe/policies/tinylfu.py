"""W-TinyLFU: what is new must have been asked for more often than what it displaces.

Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", ACM
Transactions on Storage 2017. What is new waits in a window, least recently used first;
who leaves the window is compared with who would leave the rest, by how often either was
asked for lately, as a `Sketch` remembers it also of those who are not here. The rest is
a segmented LRU (Karedla, Love and Wherry, 1994): on trial, and protected once used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic

from aiocache_pe.policies.sketch import Sketch
from aiocache_pe.protocols import N

_WINDOW = 0.01
_PROTECTED = 0.8  # of what is not the window


class TinyLfu(Generic[N]):
    """Evicts the less popular of two; a hit moves its node and counts.

    Args:
        window: the share of the window: little suits lasting interest, much passing one.
    """

    __slots__ = ("_protected", "_share", "_sketch", "_trial", "_window", "on_hit")

    lock_free = False
    on_hit: Callable[[N], None] | None

    def __init__(self, window: float = _WINDOW) -> None:
        self._share = window
        self._sketch = Sketch()
        self._window: OrderedDict[str, N] = OrderedDict()
        self._trial: OrderedDict[str, N] = OrderedDict()
        self._protected: OrderedDict[str, N] = OrderedDict()
        self.on_hit = self._used

    def __len__(self) -> int:
        return len(self._window) + len(self._trial) + len(self._protected)

    def add(self, node: N) -> None:
        """Into the window, most recent; who is pushed out of it is on trial."""
        self._forget(node.key)
        self._window[node.key] = node
        size = len(self)
        self._sketch.add(node.key, size)
        while len(self._window) > max(1.0, self._share * size):
            key, leaving = self._window.popitem(last=False)
            self._trial[key] = leaving

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        if self._held(node.key) is node:
            self._forget(node.key)

    def evict(self) -> N:
        """The less popular of the one that leaves the window and the one that would go."""
        count = self._sketch.count
        while len(self._window) > 1 and len(self._window) >= self._share * len(self):
            key, node = self._window.popitem(last=False)
            rest = self._trial or self._protected
            if not rest:
                return node
            other = next(iter(rest))
            if count(key) <= count(other):
                return node
            self._trial[key] = node
            return rest.pop(other)
        for queue in (self._trial, self._protected, self._window):
            if queue:
                return queue.popitem(last=False)[1]
        raise LookupError("nothing to evict")

    def _used(self, node: N) -> None:
        key = node.key
        self._sketch.add(key, len(self))
        if key in self._window:
            self._window.move_to_end(key)
        elif key in self._protected:
            self._protected.move_to_end(key)
        elif key in self._trial:
            self._protected[key] = self._trial.pop(key)
            if len(self._protected) > _PROTECTED * (len(self) - len(self._window)):
                key, node = self._protected.popitem(last=False)
                self._trial[key] = node

    def _held(self, key: str) -> N | None:
        return self._window.get(key) or self._trial.get(key) or self._protected.get(key)

    def _forget(self, key: str) -> None:
        for queue in (self._window, self._trial, self._protected):
            queue.pop(key, None)
