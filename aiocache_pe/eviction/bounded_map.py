"""A mapping in memory that stays within its bounds, and lets go of what is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.runtime.fork import hold_during_fork

_STEPS: Final = 4  # nodes that are over go with each that comes, so their number falls


class BoundedMap(Generic[N]):
    """Nodes by key, no more than allowed, safe for any number of threads.

    Reading is a plain look into ``nodes``, without a lock; a hit raises ``node.uses``,
    and calls ``on_hit`` only for a policy that wants to know. Changes take the lock.

    Args:
        policy: chooses what goes.
        max_entries: how many nodes at most; ``None`` for any number.
        max_bytes: what they may weigh together; ``None`` for any weight.
        on_evict: called, under the lock, with every node that had to go.
        calendar: knows when nodes are over. Some of these go at each change, and more where
            room is needed, before any that is not over.
        on_expire: called, under the lock, with every node that went so.
    """

    __slots__ = (
        *("_lock", "_max_bytes", "_max_entries", "_on_evict", "_policy"),
        *("_calendar", "_on_expire", "nodes", "weight"),
    )

    def __init__(
        self,
        policy: EvictionPolicy[N],
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        on_evict: Callable[[N], object] | None = None,
        calendar: ExpiryBuckets[N] | None = None,
        on_expire: Callable[[N], object] | None = None,
    ) -> None:
        self.nodes: dict[str, N] = {}
        self.weight = 0
        self._policy = policy
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._on_evict = on_evict
        self._calendar = calendar
        self._on_expire = on_expire
        self._lock = threading.RLock()
        hold_during_fork(self._lock)

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
                self._forget(before)
            if not self._may_hold(node):
                self.nodes.pop(node.key, None)
                return False
            if self._calendar is not None:
                self._let_go(self._calendar, node)
            while self._is_full_for(node):
                self._evict()
            self.nodes[node.key] = node
            self.weight += node.size
            self._policy.add(node)
            if self._calendar is not None:
                self._calendar.add(node)
            return True

    def discard(self, key: str) -> N | None:
        """Remove and return the node of a key, if there is one."""
        with self._lock:
            node = self.nodes.pop(key, None)
            if node is not None:
                self._forget(node)
            return node

    def remove_all(self, prefix: str = "") -> int:
        """Remove every node whose key begins with ``prefix``; returns how many."""
        with self._lock:
            keys = [key for key in self.nodes if key.startswith(prefix)]
            for key in keys:
                self.discard(key)
            return len(keys)

    def expire(self, now: float, most: int) -> list[N]:
        """Remove nodes that are over.

        Args:
            now: seconds since the epoch.
            most: how many to remove.

        Returns:
            Those that went; fewer than ``most`` when there are no more.
        """
        gone: list[N] = []
        with self._lock:
            while len(gone) < most and (node := self._expired(now)) is not None:
                gone.append(node)
        return gone

    def _forget(self, node: N) -> None:
        """A node leaves, or is about to be replaced."""
        self.weight -= node.size
        self._policy.discard(node)
        if self._calendar is not None:
            self._calendar.discard(node)

    def _let_go(self, calendar: ExpiryBuckets[N], coming: N) -> None:
        """Some of what is over; all of it if need be, before anything else has to go."""
        now, steps = calendar.now(), 0
        while steps < _STEPS or self._is_full_for(coming):
            node = self._expired(now)
            if node is None:
                return
            steps += 1
            if self._on_expire is not None:
                self._on_expire(node)

    def _expired(self, now: float) -> N | None:
        """A node that was over and is removed now."""
        key = None if self._calendar is None else self._calendar.pop_expired(now)
        if key is None:
            return None
        node = self.nodes.pop(key)
        self.weight -= node.size
        self._policy.discard(node)
        return node

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
        if self._calendar is not None:
            self._calendar.discard(node)
        if self._on_evict is not None:
            self._on_evict(node)

    def _hit(self, node: N) -> None:
        with self._lock:
            if self._policy.on_hit is not None:
                self._policy.on_hit(node)
