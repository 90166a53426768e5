"""W-TinyLFU: what is new must have been asked for more often than what it displaces.

Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", ACM
Transactions on Storage 2017. What is new waits in a window, least recently used first;
who leaves the window is compared with who would leave the rest, by how often either was
asked for lately, as a `FrequencySketch` remembers it also of those who are not here. The rest is
a segmented LRU (Karedla, Love and Wherry, 1994): on trial, and protected once used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from aiocache_pe.eviction.base import N
from aiocache_pe.eviction.frequency_sketch import FrequencySketch
from aiocache_pe.eviction.linked_list import LinkedList

_WINDOW = 0.01  # of all: little suits lasting interest, much passing one
_PROTECTED = 0.8  # of what is not the window


class TinyLfu(Generic[N]):
    """Evicts the less popular of two; a hit moves its node and counts."""

    __slots__ = ("_protected", "_sketch", "_trial", "_window", "on_hit")

    lock_free = False
    on_hit: Callable[[N], None] | None

    def __init__(self) -> None:
        self._sketch = FrequencySketch()
        self._window = LinkedList[N]()
        self._trial = LinkedList[N]()
        self._protected = LinkedList[N]()
        self.on_hit = self._used

    def __len__(self) -> int:
        return self._window.length + self._trial.length + self._protected.length

    def add(self, node: N) -> None:
        """Into the window, most recent; who is pushed out of it is on trial."""
        window = self._window
        window.append(node)
        size = len(self)
        self._sketch.add(node.key, size)
        while window.length > max(1.0, _WINDOW * size):
            self._trial.append(window.pop())

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        for chain in (self._window, self._trial, self._protected):
            chain.discard(node)

    def evict(self) -> N:
        """The less popular of the one that leaves the window and the one that would go."""
        window, rest = self._window, self._trial or self._protected
        if window.length > 1 and window.length >= _WINDOW * len(self):
            node = window.pop()
            if not rest:
                return node
            other = rest.first
            if self._sketch.count(node.key) <= self._sketch.count(other.key):
                return node
            rest.remove(other)
            self._trial.append(node)
            return other
        return (rest or window).pop()

    def _used(self, node: N) -> None:
        self._sketch.add(node.key, len(self))
        trial, protected = self._trial, self._protected
        if node.chain is trial:
            trial.remove(node)
            protected.append(node)
            if protected.length > _PROTECTED * (trial.length + protected.length):
                trial.append(protected.pop())
        else:
            self._window.touch(node)
            protected.touch(node)
