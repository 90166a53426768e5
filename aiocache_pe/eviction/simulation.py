"""A policy that plays the cache's requests on a small scale, to see how it would do.

Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature
simulations", USENIX ATC 2017: a cache of a sample of the keys, as much smaller as the
sample is, has nearly the hit ratio of the whole.
"""

from __future__ import annotations

from typing import Any

from aiocache_pe.eviction.base import EvictionPolicy


class GhostNode:
    """A node without an entry: a key that would be there."""

    __slots__ = ("after", "before", "chain", "key", "mark", "uses")
    size = 1

    def __init__(self, key: str) -> None:
        self.key = key
        self.uses = 0
        self.mark = 0
        self.chain: Any = None
        self.before: Any = None
        self.after: Any = None


class PolicySimulation:
    """A small cache of marks.

    Args:
        policy: chooses which marks go.

    Attributes:
        score: hits so far, those of long ago for less.
    """

    __slots__ = ("_hits", "_marks", "_on_hit", "_policy", "score")

    def __init__(self, policy: EvictionPolicy[GhostNode]) -> None:
        self._policy = policy
        self._on_hit = policy.on_hit
        self._marks: dict[str, GhostNode] = {}
        self._hits = 0
        self.score = 0.0

    def request(self, key: str, entries: int) -> None:
        """Play one request, in a cache of at most so many entries."""
        mark = self._marks.get(key)
        if mark is not None:
            self._hits += 1
            mark.uses += 1
            if self._on_hit is not None:
                self._on_hit(mark)
            return
        while len(self._marks) >= entries:
            del self._marks[self._policy.evict().key]
        mark = self._marks[key] = GhostNode(key)
        self._policy.add(mark)

    def thin(self, mask: int) -> None:
        """Forget the keys that are no longer in the sample."""
        for key in [key for key in self._marks if hash(key) & mask]:
            self._policy.discard(self._marks.pop(key))

    def end_epoch(self, kept: float) -> None:
        """Bring the score up to date, of which so much is kept."""
        self.score = self.score * kept + self._hits
        self._hits = 0
