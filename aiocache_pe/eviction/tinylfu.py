"""W-TinyLFU: eviction that admits a new entry only if it is more popular than its victim."""

from __future__ import annotations

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.frequency_sketch import FrequencySketch
from aiocache_pe.eviction.linked_list import LinkedList

_WINDOW_SHARE = 0.01  # of all entries
_PROTECTED_SHARE = 0.8  # of the entries outside of the window


class TinyLfu(EvictionPolicy[N]):
    """Policy that compares the entry leaving the window with the next victim of the main space.

    Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", ACM
    Transactions on Storage 2017. A new entry waits in the window, an LRU queue. When it leaves
    the window, it competes with the entry that the main space would evict. The less popular of
    both, by `FrequencySketch`, is evicted. The main space is a segmented LRU (Karedla, Love and
    Wherry, 1994): entries on probation, and entries that got a hit there and are protected.

    Invariants:

    - A node is in exactly one of the three queues, each in LRU order.
    - A hit promotes a node on probation. If too many are protected, the first of them returns to
      probation.

    A small window suits interest that lasts, and a large one suits interest that passes. A
    window that adapts its size, as in Caffeine, was rejected: the library theine has one, and it
    lost 11 to 24 points of hit ratio to LRU where interest passes
    (docs/design/decisions/0031). `Adaptive` changes to LRU instead.
    """

    __slots__ = ("_probation", "_protected", "_sketch", "_window", "on_hit")

    lock_free = False

    def __init__(self) -> None:
        self._sketch = FrequencySketch()
        self._window = LinkedList[N]()
        self._probation = LinkedList[N]()
        self._protected = LinkedList[N]()
        self.on_hit = self._record_hit

    def __len__(self) -> int:
        return self._window.length + self._probation.length + self._protected.length

    def add(self, node: N) -> None:
        """Append a node to the window; nodes beyond its size move to probation."""
        window = self._window
        window.append(node)
        size = len(self)
        self._sketch.increment(node.key, size)
        while window.length > max(1.0, _WINDOW_SHARE * size):
            self._probation.append(window.pop_first())

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""
        for queue in (self._window, self._probation, self._protected):
            queue.discard(node)

    def evict(self) -> N:
        """Remove and return the less popular of the window's candidate and the next victim."""
        window, main = self._window, self._probation or self._protected
        if window.length > 1 and window.length >= _WINDOW_SHARE * len(self):
            candidate = window.pop_first()
            if not main:
                return candidate
            victim = main.first
            if self._sketch.estimate(candidate.key) <= self._sketch.estimate(victim.key):
                return candidate
            main.remove(victim)
            self._probation.append(candidate)
            return victim
        return (main or window).pop_first()

    def _record_hit(self, node: N) -> None:
        self._sketch.increment(node.key, len(self))
        probation, protected = self._probation, self._protected
        if node.queue is probation:
            probation.remove(node)
            protected.append(node)
            if protected.length > _PROTECTED_SHARE * (probation.length + protected.length):
                probation.append(protected.pop_first())
        else:
            self._window.move_to_end(node)
            protected.move_to_end(node)
