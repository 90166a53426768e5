"""Nodes and policies for the tests of the eviction package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.cache import factory
from aiocache_pe.eviction.base import EvictionPolicy


class Node:
    """Smallest implementation of the `Node` protocol."""

    def __init__(self, key: str, size: int = 1) -> None:
        self.key = key
        self.size = size
        self.hits = 0
        self.queue: Any = None
        self.previous: Any = None
        self.next: Any = None
        self.policy_state = 0

    def __repr__(self) -> str:
        return f"Node({self.key!r}, {self.size})"


class ExpiringNode(Node):
    """Node that expires at a time in seconds since the epoch; ``None`` for never."""

    def __init__(self, key: str, expires_at: float | None, size: int = 1) -> None:
        super().__init__(key, size)
        self.expires_at = expires_at


POLICIES: dict[str, Callable[[], EvictionPolicy[Node]]] = factory.POLICIES

OLDEST_FIRST = ("fifo", "lfu", "lru", "s3fifo")
"""Policies that evict the oldest of several nodes without hits."""
