"""Nodes in a row, linked through themselves.

An ordered mapping would take about 100 bytes for each node; two links take 16, wherever a
node stands. To move one is a few assignments, and nothing is looked up or allocated.
"""

from __future__ import annotations

from typing import Any, Generic

from aiocache_pe.eviction.base import N


class LinkedList(Generic[N]):
    """A queue whose nodes can leave it, or go to its end, from wherever they stand.

    The links are a ring, and the chain itself is the link between its last and its first
    node. A node is in one chain at a time, and knows in which.
    """

    __slots__ = ("after", "before", "length")

    def __init__(self) -> None:
        self.after: Any = self
        self.before: Any = self
        self.length = 0

    def __len__(self) -> int:
        return self.length

    @property
    def first(self) -> N:
        """The node that is longest in its place; there must be one."""
        return self.after  # type: ignore[no-any-return]

    def append(self, node: N) -> None:
        """Put a node, which is in no chain, behind the last one."""
        last = self.before
        node.chain = self
        node.before = last
        node.after = self
        self.before = last.after = node
        self.length += 1

    def remove(self, node: N) -> None:
        """Take out a node that is in this chain."""
        before, after = node.before, node.after
        before.after = after
        after.before = before
        node.chain = node.before = node.after = None
        self.length -= 1

    def discard(self, node: N) -> None:
        """Take out a node if it is in this chain."""
        if node.chain is self:
            self.remove(node)

    def touch(self, node: N) -> None:
        """Put a node last if it is in this chain."""
        if node.chain is self:
            after = node.after
            if after is not self:
                before, last = node.before, self.before
                before.after = after
                after.before = before
                node.before = last
                node.after = self
                self.before = last.after = node

    def pop(self) -> N:
        """Take out the first node.

        Raises:
            LookupError: there is none.
        """
        if not self.length:
            raise LookupError("nothing to evict")
        node = self.after
        self.remove(node)
        return node  # type: ignore[no-any-return]
