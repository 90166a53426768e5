"""Protocols of eviction: a node, and a policy that chooses among nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar


class Node(Protocol):
    """Entry in memory, as the bounded map and the policies see it.

    Attributes:
        key: store key.
        size: size in bytes.
        hits: number of hits. Every hit raises it without a lock, and a policy compares it with
            the number that it saw before.
        queue: `LinkedList` of the policy that holds the node; ``None`` while no policy holds it.
        previous: link to the node before this one in ``queue``.
        next: link to the node after this one in ``queue``.
        policy_state: number that the policy keeps in the node.
    """

    key: str
    size: int
    hits: int
    queue: Any
    previous: Any
    next: Any
    policy_state: int


N = TypeVar("N", bound=Node)


class EvictionPolicy(Protocol[N]):
    """Choice of the entry to evict. A policy does no I/O and is called under a lock."""

    __slots__ = ()

    on_hit: Callable[[N], None] | None = None
    """Function to call at every hit; ``None`` for a policy that only reads ``Node.hits``."""

    lock_free: bool = True
    """Whether any thread may call `on_hit` at any time without the lock."""

    def restart(self) -> EvictionPolicy[N]:
        """Return an empty policy of this kind; a lock-free `on_hit` works for it, too."""
        return type(self)()

    def __len__(self) -> int:
        """Return the number of nodes that the policy holds."""

    def add(self, node: N) -> None:
        """Add a node that no policy holds."""

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""

    def evict(self) -> N:
        """Remove and return the node to evict.

        Raises:
            LookupError: the policy holds no node.
        """
