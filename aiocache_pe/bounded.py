"""A mapping in memory that stays within its bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic

from aiocache_pe.forks import held_at_fork
from aiocache_pe.protocols import EvictionPolicy, N


class Bounded(Generic[N]):
    """Nodes by key, no more than allowed, safe for any number of threads.

    Reading is a plain look into ``nodes``, without a lock; a hit raises ``node.uses``,
    and calls ``on_hit`` only for a policy that wants to know. Changes take the lock.

    Args:
        policy: chooses what goes.
        max_entries: how many nodes at most; ``None`` for any number.
        max_bytes: what they may weigh together; ``None`` for any weight.
        on_evict: called, under the lock, with every node that had to go.
    """

    __slots__ = ("_lock", "_max_bytes", "_max_entries", "_on_evict", "_policy", "nodes", "weight")

    def __init__(
        self,
        policy: EvictionPolicy[N],
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        on_evict: Callable[[N], object] | None = None,
    ) -> None:
        self.nodes: dict[str, N] = {}
        self.weight = 0
        self._policy = policy
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._on_evict = on_evict
        self._lock = threading.RLock()
        held_at_fork(self._lock)

    @property
    def on_hit(self) -> Callable[[N], None] | None:
        """What to call at every hit; ``None`` when hits are free."""
        on_hit = self._policy.on_hit
        return on_hit if on_hit is None or self._policy.lock_free else self._hit

    @property
    def lock(self) -> threading.RLock:
        """The lock of all changes, for a change of several steps."""
        return self._lock

    def put(self, node: N) -> bool:
        """Take a node in, in the place of one with its key, and make room for it.

        Returns:
            Whether it is in; not when it alone is heavier than all may be.
        """
        with self._lock:
            before = self.nodes.get(node.key)
            if before is not None:
                # It stays in `nodes` till the new one takes its place: who looks without the
                # lock sees the one or the other, and never that there is none.
                self.weight -= before.size
                self._policy.discard(before)
            if not self._may_hold(node):
                self.nodes.pop(node.key, None)
                return False
            while self._is_full_for(node):
                self._evict()
            self.nodes[node.key] = node
            self.weight += node.size
            self._policy.add(node)
            return True

    def discard(self, key: str) -> N | None:
        """Remove and return the node of a key, if there is one."""
        with self._lock:
            node = self.nodes.pop(key, None)
            if node is not None:
                self.weight -= node.size
                self._policy.discard(node)
            return node

    def drop(self, node: N) -> None:
        """Remove this very node, not one that has taken its place."""
        with self._lock:
            if self.nodes.get(node.key) is node:
                self.discard(node.key)

    def remove_all(self, prefix: str = "") -> int:
        """Remove every node whose key begins with ``prefix``; returns how many."""
        with self._lock:
            keys = [key for key in self.nodes if key.startswith(prefix)]
            for key in keys:
                self.discard(key)
            return len(keys)

    def _may_hold(self, node: N) -> bool:
        if self._max_bytes is not None and node.size > self._max_bytes:
            return False
        return self._max_entries is None or self._max_entries >= 1

    def _is_full_for(self, node: N) -> bool:
        others = len(self.nodes) - (node.key in self.nodes)
        if self._max_entries is not None and others >= self._max_entries:
            return True
        return self._max_bytes is not None and self.weight + node.size > self._max_bytes

    def _evict(self) -> None:
        node = self._policy.evict()
        del self.nodes[node.key]
        self.weight -= node.size
        if self._on_evict is not None:
            self._on_evict(node)

    def _hit(self, node: N) -> None:
        with self._lock:
            if self._policy.on_hit is not None:
                self._policy.on_hit(node)
