"""Doubly linked list with links that are attributes of its nodes."""

from __future__ import annotations

from typing import Any, Generic

from aiocache_pe.eviction.base import N


class LinkedList(Generic[N]):
    """Queue that any node can leave, or move to the end of, in constant time.

    Invariants:

    - The links form a ring. The list itself is the link between its last and its first node.
    - A node is in one list at a time, and ``node.queue`` is that list.
    - A node that left has no links, so reference counting frees it at once.

    An ordered mapping takes about 100 bytes for each node; two links take 16. Moving a node is
    a few assignments, without a lookup and without an allocation. Two alternatives were
    rejected (docs/design/decisions/0032):

    - Lazy queues, in which a hit appends the node once more. They take half of the space, but a
      replaced node stays in the queue together with its payload.
    - Structs that the garbage collector does not track. They are 16 bytes smaller, but the links
      form cycles, and a hit takes 0.08 us more.
    """

    __slots__ = ("length", "next", "previous")

    def __init__(self) -> None:
        self.next: Any = self
        self.previous: Any = self
        self.length = 0

    def __len__(self) -> int:
        return self.length

    @property
    def first(self) -> N:
        """First node, the one that was appended or moved before all others; there must be one."""
        return self.next  # type: ignore[no-any-return]

    def append(self, node: N) -> None:
        """Append a node that is in no list."""
        last = self.previous
        node.queue = node.next = self
        node.previous = last
        self.previous = last.next = node
        self.length += 1

    def remove(self, node: N) -> None:
        """Remove a node that is in this list."""
        before, after = node.previous, node.next
        before.next = after
        after.previous = before
        node.queue = node.previous = node.next = None
        self.length -= 1

    def discard(self, node: N) -> None:
        """Remove a node if it is in this list."""
        if node.queue is self:
            self.remove(node)

    def move_to_end(self, node: N) -> None:
        """Move a node to the end if it is in this list."""
        if node.queue is self and node.next is not self:
            before, after, last = node.previous, node.next, self.previous
            before.next = after
            after.previous = before
            node.previous = last
            node.next = self
            self.previous = last.next = node

    def pop_first(self) -> N:
        """Remove and return the first node.

        Raises:
            LookupError: the list is empty.
        """
        if not self.length:
            raise LookupError("nothing to evict")
        node = self.first
        self.remove(node)
        return node
