"""Simulation of an eviction policy on a sample of the keys."""

from __future__ import annotations

from typing import Any

from aiocache_pe.eviction.base import EvictionPolicy


class GhostNode:
    """Node of a simulation: a key without an entry."""

    __slots__ = ("hits", "key", "next", "policy_state", "previous", "queue")
    size = 1

    def __init__(self, key: str) -> None:
        self.key = key
        self.hits = 0
        self.policy_state = 0
        self.queue: Any = None
        self.previous: Any = None
        self.next: Any = None


class PolicySimulation:
    """Small cache without values that counts the hits a policy would have.

    Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature
    simulations", USENIX ATC 2017: the requests for a sample of the keys, in a cache that is
    smaller by the same factor, have nearly the hit ratio of all requests in the whole cache.

    Attributes:
        score: number of hits in past epochs; older epochs count less.
    """

    __slots__ = ("_hits", "_nodes", "_on_hit", "_policy", "score")

    def __init__(self, policy: EvictionPolicy[GhostNode]) -> None:
        self._policy = policy
        self._on_hit = policy.on_hit
        self._nodes: dict[str, GhostNode] = {}
        self._hits = 0  # in this epoch
        self.score = 0.0

    def request(self, key: str, max_entries: int) -> None:
        """Simulate a request for a key, in a cache of at most so many entries."""
        node = self._nodes.get(key)
        if node is not None:
            self._hits += 1
            node.hits += 1
            if self._on_hit is not None:
                self._on_hit(node)
            return

        while len(self._nodes) >= max_entries:
            del self._nodes[self._policy.evict().key]
        node = self._nodes[key] = GhostNode(key)
        self._policy.add(node)

    def shrink_sample(self, mask: int) -> None:
        """Remove the keys with a hash that has one of the bits of the mask."""
        for key in [key for key in self._nodes if hash(key) & mask]:
            self._policy.discard(self._nodes.pop(key))

    def end_epoch(self, decay: float) -> None:
        """Multiply the score by a factor and add the hits of the epoch."""
        self.score = self.score * decay + self._hits
        self._hits = 0
