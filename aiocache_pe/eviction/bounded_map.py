"""Bounded map: nodes in memory, within limits on number and size, without expired nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.runtime.fork import hold_during_fork

_EXPIRED_PER_PUT: Final = 4  # more than one, so that the number of expired nodes falls


class BoundedMap(Generic[N]):
    """Mapping from keys to nodes that evicts nodes to stay within its bounds.

    Any number of threads may use it. Reading is a plain lookup in ``nodes``, without a lock. A
    hit raises ``node.hits`` and calls ``on_hit``, unless that is ``None``. Changes take the lock.

    Args:
        policy: chooses the nodes to evict.
        max_entries: greatest number of nodes; ``None`` for no limit.
        max_bytes: greatest sum of the sizes of all nodes; ``None`` for no limit.
        on_evict: called with every evicted node, under the lock.
        expiry_buckets: finds expired nodes. Each `put` removes some of them, and all of them, if
            necessary, before it evicts any other node.
        on_expire: called with every node that `put` removes because it expired, under the lock.

    Attributes:
        lock: lock of all changes, for a change of several steps.
        nodes: all nodes by their keys, to be read only.
        total_size: sum of the sizes of all nodes, in bytes.
    """

    __slots__ = (
        *("_expiry_buckets", "_max_bytes", "_max_entries", "_on_evict", "_on_expire", "_policy"),
        *("lock", "nodes", "total_size"),
    )

    def __init__(
        self,
        policy: EvictionPolicy[N],
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        on_evict: Callable[[N], object] | None = None,
        expiry_buckets: ExpiryBuckets[N] | None = None,
        on_expire: Callable[[N], object] | None = None,
    ) -> None:
        self.nodes: dict[str, N] = {}
        self.total_size = 0
        self._policy = policy
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._on_evict = on_evict
        self._expiry_buckets = expiry_buckets
        self._on_expire = on_expire
        self.lock = threading.RLock()
        hold_during_fork(self.lock)

    @property
    def on_hit(self) -> Callable[[N], None] | None:
        """Function to call at every hit; ``None`` if hits cost nothing."""
        on_hit = self._policy.on_hit
        return on_hit if on_hit is None or self._policy.lock_free else self._report_hit

    def put(self, node: N) -> bool:
        """Add a node or replace the one with its key, and make room for it.

        Returns:
            ``True`` if the map holds the node; ``False`` if the node alone exceeds a bound.
        """
        with self.lock:
            replaced = self.nodes.get(node.key)
            if replaced is not None:
                # It stays in `nodes` until the new node takes its place, because a reader without
                # the lock must find one of the two.
                self._detach(replaced)
            if not self._fits(node):
                self.nodes.pop(node.key, None)
                return False

            if self._expiry_buckets is not None:
                self._remove_expired(self._expiry_buckets, node)
            while self._is_full_for(node):
                self._evict()

            self.nodes[node.key] = node
            self.total_size += node.size
            self._policy.add(node)
            if self._expiry_buckets is not None:
                self._expiry_buckets.add(node)
            return True

    def resize(self, node: N, size: int) -> None:
        """Change the size of a node, and make room for it; the node itself may be evicted."""
        with self.lock:
            if self.nodes.get(node.key) is not node:
                return
            self.total_size += size - node.size
            node.size = size
            if not self._fits(node):
                self.discard(node.key)
            while self._max_bytes is not None and self.total_size > self._max_bytes:
                self._evict()

    def discard(self, key: str) -> N | None:
        """Remove and return the node of a key; ``None`` if there is none."""
        with self.lock:
            node = self.nodes.pop(key, None)
            if node is not None:
                self._detach(node)
            return node

    def clear(self, prefix: str = "") -> int:
        """Remove every node that has a key with this prefix, and return their number."""
        with self.lock:
            keys = [key for key in self.nodes if key.startswith(prefix)]
            for key in keys:
                self.discard(key)
            return len(keys)

    def expire(self, now: float, limit: int) -> list[N]:
        """Remove expired nodes.

        Args:
            now: present time, in seconds since the epoch.
            limit: greatest number of nodes to remove.

        Returns:
            The removed nodes; fewer than ``limit`` if no more have expired.
        """
        removed: list[N] = []
        with self.lock:
            while len(removed) < limit and (node := self._pop_expired(now)) is not None:
                removed.append(node)
        return removed

    def _detach(self, node: N) -> None:
        self.total_size -= node.size
        self._policy.discard(node)
        if self._expiry_buckets is not None:
            self._expiry_buckets.discard(node)

    def _remove_expired(self, expiry_buckets: ExpiryBuckets[N], incoming: N) -> None:
        """Remove some expired nodes, and more of them while there is no room."""
        now, removed = expiry_buckets.now(), 0
        while removed < _EXPIRED_PER_PUT or self._is_full_for(incoming):
            node = self._pop_expired(now)
            if node is None:
                return
            removed += 1
            if self._on_expire is not None:
                self._on_expire(node)

    def _pop_expired(self, now: float) -> N | None:
        key = None if self._expiry_buckets is None else self._expiry_buckets.pop_expired(now)
        if key is None:
            return None
        node = self.nodes.pop(key)
        self.total_size -= node.size
        self._policy.discard(node)
        return node

    def _fits(self, node: N) -> bool:
        if self._max_bytes is not None and node.size > self._max_bytes:
            return False
        return self._max_entries is None or self._max_entries >= 1

    def _is_full_for(self, node: N) -> bool:
        count = len(self.nodes) - (node.key in self.nodes)
        if self._max_entries is not None and count >= self._max_entries:
            return True
        return self._max_bytes is not None and self.total_size + node.size > self._max_bytes

    def _evict(self) -> None:
        node = self._policy.evict()
        del self.nodes[node.key]
        self.total_size -= node.size
        if self._expiry_buckets is not None:
            self._expiry_buckets.discard(node)
        if self._on_evict is not None:
            self._on_evict(node)

    def _report_hit(self, node: N) -> None:
        with self.lock:
            if self._policy.on_hit is not None:
                self._policy.on_hit(node)
