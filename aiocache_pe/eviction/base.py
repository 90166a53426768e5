"""The protocols of eviction: a node, and a policy that chooses among nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar


class Node(Protocol):
    """What bounds and eviction policies see of an entry in memory.

    Attributes:
        key: its store key.
        size: what it weighs, in bytes.
        uses: raised by every hit, without a lock; a policy compares it with what it saw.
        chain, before, after: where it stands, for the policy (`policies.chain`); ``None``
            while no policy holds it.
        mark: a number that the policy notes of it.
    """

    key: str
    size: int
    uses: int
    chain: Any
    before: Any
    after: Any
    mark: int


N = TypeVar("N", bound=Node)


class EvictionPolicy(Protocol[N]):
    """Chooses what goes when there is no room. No I/O, no clock; called under a lock."""

    on_hit: Callable[[N], None] | None
    """Called at every hit, by policies that must know; ``None`` keeps hits free."""

    lock_free: bool
    """Whether `on_hit` is one step that any thread may take at any time, without the lock."""

    def __len__(self) -> int:
        """How many nodes it holds."""
        ...

    def add(self, node: N) -> None:
        """A node came in."""

    def discard(self, node: N) -> None:
        """A node was removed by others."""

    def evict(self) -> N:
        """Choose a node, forget it, and return it; `LookupError` when there is none."""
        ...
