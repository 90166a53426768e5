"""Bounded map: nodes in memory, within limits on number and size, without expired nodes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Generic, TypeVar

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.runtime.fork import reset_after_fork

T = TypeVar("T")
_EXPIRED_PER_PUT: Final = 4  # more than one, so that the number of expired nodes falls
_MAX_DEFERRED: Final = 1024  # changes; of more, the oldest are dropped


class BoundedMap(Generic[N]):
    """Mapping from keys to nodes that evicts nodes to stay within its bounds.

    Any number of threads may use it. Reading is a plain lookup in ``nodes``, without a lock. A
    hit raises ``node.hits`` and calls ``on_hit``, unless that is ``None``.

    Changes take the lock. A signal handler or a finalizer may run in the thread that holds it,
    and may wait for a thread that changes this map. So no change waits: while the lock is held,
    `put`, `discard`, `resize`, `clear` and hits are noted, and the next change makes them. A
    caller that must know the result uses the methods ``..._locked`` under the lock.

    An exception of a signal handler may end a change at any instruction. The next change then
    builds the policy, the sizes and the expiry buckets again, from the nodes.

    Args:
        policy: chooses the nodes to evict.
        max_entries: greatest number of nodes; ``None`` for no limit.
        max_bytes: greatest sum of the sizes of all nodes; ``None`` for no limit.
        on_evict: called with every evicted node, under the lock.
        expiry_buckets: finds expired nodes. Each `put` removes some of them, and all of them, if
            necessary, before it evicts any other node.
        on_expire: called with every node that `put` removes because it expired, under the lock.

    Attributes:
        lock: lock of all changes, for a change of several steps; not re-entrant.
        nodes: all nodes by their keys, to be read only.
        total_size: sum of the sizes of all nodes, in bytes.
    """

    __slots__ = (
        *("_deferred", "_expiry_buckets", "_is_changing", "_max_bytes", "_max_entries"),
        *("_on_evict", "_on_expire", "_policy", "lock", "nodes", "total_size", "__weakref__"),
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
        self._deferred: deque[Callable[[], object]] = deque(maxlen=_MAX_DEFERRED)
        self._is_changing = False  # still true after a change that an exception has ended
        self.lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Use a lock of the child's own, because a thread of the parent may hold this one."""
        self.lock = threading.Lock()

    @property
    def on_hit(self) -> Callable[[N], None] | None:
        """Function to call at every hit; ``None`` if hits cost nothing."""
        on_hit = self._policy.on_hit
        return on_hit if on_hit is None or self._policy.lock_free else self._report_hit

    def put(self, node: N) -> bool:
        """Add a node or replace the one with its key, and make room for it.

        Returns:
            ``True`` if the map holds the node; ``False`` if the node alone exceeds a bound, or
            while another change is being made.
        """
        return bool(self._change(partial(self.put_locked, node)))

    def resize(self, node: N, size: int) -> None:
        """Change the size of a node, and make room for it; the node itself may be evicted."""
        self._change(partial(self._resize, node, size))

    def discard(self, key: str) -> N | None:
        """Remove and return the node of a key; ``None`` if there is none."""
        return self._change(partial(self.discard_locked, key))

    def clear(self, prefix: str = "") -> int:
        """Remove every node that has a key with this prefix, and return their number."""
        return self._change(partial(self.clear_locked, prefix)) or 0

    def expire(self, now: float, limit: int) -> list[N]:
        """Remove expired nodes.

        Args:
            now: present time, in seconds since the epoch.
            limit: greatest number of nodes to remove.

        Returns:
            The removed nodes; fewer than ``limit`` if no more have expired.
        """
        return self._change(partial(self._expire, now, limit)) or []

    def put_locked(self, node: N) -> bool:
        """Add a node as `put` does; the caller holds the lock."""
        self._begin_change()
        replaced = self.nodes.get(node.key)
        if replaced is not None:
            # It stays in `nodes` until the new node takes its place, because a reader without
            # the lock must find one of the two.
            self._detach(replaced)
        fits = self._fits(node)
        if fits:
            self._make_room(node)
            self.nodes[node.key] = node
            self.total_size += node.size
            self._policy.add(node)
            if self._expiry_buckets is not None:
                self._expiry_buckets.add(node)
        else:
            self.nodes.pop(node.key, None)
        self._is_changing = False
        return fits

    def discard_locked(self, key: str) -> N | None:
        """Remove and return the node of a key as `discard` does; the caller holds the lock."""
        self._begin_change()
        node = self.nodes.pop(key, None)
        if node is not None:
            self._detach(node)
        self._is_changing = False
        return node

    def clear_locked(self, prefix: str) -> int:
        """Remove the nodes under a prefix as `clear` does; the caller holds the lock."""
        keys = [key for key in self.nodes if key.startswith(prefix)]
        for key in keys:
            self.discard_locked(key)
        return len(keys)

    def _change(self, change: Callable[[], T]) -> T | None:
        """Make a change; note it and return ``None`` while another one is being made."""
        lock = self.lock
        if lock.locked():
            self._deferred.append(change)
            return None
        with lock:
            if self._deferred:
                self._make_deferred_changes()
            return change()

    def _make_deferred_changes(self) -> None:
        with suppress(IndexError):
            while True:
                self._deferred.popleft()()

    def _begin_change(self) -> None:
        """Mark the map as being changed, and repair it if the last change was interrupted."""
        if self._is_changing:
            self._policy = self._policy.restart()
            nodes = list(self.nodes.values())
            for node in nodes:
                node.queue = node.previous = node.next = None
                node.policy_state = 0
                self._policy.add(node)
            self.total_size = sum(node.size for node in nodes)
            if self._expiry_buckets is not None:
                self._expiry_buckets.restart(nodes)
        self._is_changing = True

    def _resize(self, node: N, size: int) -> None:
        if self.nodes.get(node.key) is not node:
            return
        self._begin_change()
        self.total_size += size - node.size
        node.size = size
        if not self._fits(node):
            del self.nodes[node.key]
            self._detach(node)
        while self._max_bytes is not None and self.total_size > self._max_bytes:
            self._evict()
        self._is_changing = False

    def _expire(self, now: float, limit: int) -> list[N]:
        removed: list[N] = []
        self._begin_change()
        while len(removed) < limit and (node := self._pop_expired(now)) is not None:
            removed.append(node)
        self._is_changing = False
        return removed

    def _make_room(self, node: N) -> None:
        if self._expiry_buckets is not None:
            self._remove_expired(self._expiry_buckets, node)
        while self._is_full_for(node):
            self._evict()

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
        lock = self.lock
        if lock.locked():
            self._deferred.append(partial(self._note_hit, node))
            return
        with lock:
            self._note_hit(node)

    def _note_hit(self, node: N) -> None:
        if self._policy.on_hit is not None:
            self._begin_change()
            self._policy.on_hit(node)
            self._is_changing = False
