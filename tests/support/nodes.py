"""What bounds and policies are tested with: nodes, and the policies there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiocache_pe.cache.factory import POLICIES as ALL
from aiocache_pe.eviction.base import EvictionPolicy


class Node:
    """The least that is a node."""

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


class Ending(Node):
    """A node with an end."""

    def __init__(self, key: str, end: float | None, size: int = 1) -> None:
        super().__init__(key, size)
        self.end = end


POLICIES: dict[str, Callable[[], EvictionPolicy[Node]]] = ALL
OLDEST_FIRST = ("fifo", "lfu", "lru", "s3fifo")
"""Those that let the oldest go, of what nobody used."""
