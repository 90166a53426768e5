"""LIRS: eviction by the number of other entries that were used between two uses of an entry."""

from __future__ import annotations

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.ghost_entries import NUMBER_BITS, GhostEntries
from aiocache_pe.eviction.linked_list import LinkedList

_LIR_SHARE = 0.99  # of all entries
_GHOSTS_PER_ENTRY = 2
_TURNS = 64  # turns for as many uses as there are entries
_TURN_BITS = 13  # of a ghost's number, for the turn of its last use; the rest: its eviction turn
_TURN_MASK = (1 << _TURN_BITS) - 1
_EVICTION_MASK = (1 << NUMBER_BITS - _TURN_BITS) - 1


class Lirs(EvictionPolicy[N]):
    """Policy that evicts entries without two uses in a short time.

    Jiang and Zhang, "LIRS: an efficient low inter-reference recency set replacement policy",
    SIGMETRICS 2002. Most entries are LIR (low inter-reference recency): little else was used
    between their last two uses. The others are HIR. They wait in a short queue and are evicted
    from there. The stack of the paper contains all LIR entries and those others, evicted ones
    included, that were used later than the first LIR entry. An entry that is used while it is in
    the stack becomes LIR, and the first LIR entry becomes HIR. So a loop over more keys than the
    cache holds keeps a part of them.

    Invariants:

    - ``node.policy_state`` is the turn of the last use. A turn is one number for about a 64th
      part of as many uses as there are entries. Uses in one turn count as simultaneous.
    - The LIR list is in the order of the last use.
    - An entry or ghost is in the stack if its turn is later than that of the first LIR entry.
    - A ghost's number contains its turn and the time of its eviction. It counts for the next
      evictions, twice as many as there are entries.

    A hit moves its node, under the lock. Two alternatives were rejected
    (docs/design/decisions/0031 and 0032):

    - A stack as in the paper. It needs one mapping for the stack, one for HIR entries and one for
      ghosts, 100 bytes for each key. Turns and ghosts cost 0.03 points of hit ratio on average.
    - A queue that adapts to hits on ghosts and HIR entries (DLIRS: Li, SYSTOR 2018). LIRS gains
      0.2 points, but `Adaptive` then changes to S3-FIFO later and loses 0.6 points.
    """

    __slots__ = (
        *("_eviction_turn", "_evictions_left", "_ghosts", "_hir", "_lir", "_turn", "_uses_left"),
        "on_hit",
    )

    lock_free = False

    def __init__(self) -> None:
        self._lir = LinkedList[N]()
        self._hir = LinkedList[N]()
        self._ghosts = GhostEntries()
        self._eviction_turn = 0
        self._evictions_left = 0  # until the next eviction turn
        self._turn = 0
        self._uses_left = 0  # until the next turn
        self.on_hit = self._record_hit

    def __len__(self) -> int:
        return self._lir.length + self._hir.length

    def add(self, node: N) -> None:
        """Add a node as LIR if there is room or if it is still in the stack, else as HIR."""
        lir = self._lir
        ghost = self._ghosts.take(node.key)
        is_known = ghost is not None and self._is_known(ghost)
        node.policy_state = self._count_use()
        if is_known or not lir.length or lir.length < _LIR_SHARE * len(self):
            self._promote(node)
        else:
            self._hir.append(node)

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""
        self._lir.discard(node)
        self._hir.discard(node)

    def evict(self) -> N:
        """Remove and return the first HIR node; its key becomes a ghost if it is in the stack."""
        if not self._hir.length:
            self._hir.append(self._lir.pop_first())
        node = self._hir.pop_first()

        if self._is_in_stack(node.policy_state):
            size = len(self) + 1
            if not self._evictions_left:
                self._eviction_turn += 1
                self._evictions_left = 1 + size // _TURNS
            self._evictions_left -= 1
            number = self._eviction_turn << _TURN_BITS | node.policy_state & _TURN_MASK
            self._ghosts.add(node.key, number, _GHOSTS_PER_ENTRY * size)
        return node

    def _record_hit(self, node: N) -> None:
        if node.queue is self._lir:
            self._lir.move_to_end(node)
            node.policy_state = self._count_use()
        elif node.queue is self._hir:
            is_in_stack = self._is_in_stack(node.policy_state)
            node.policy_state = self._count_use()
            if is_in_stack:
                self._hir.remove(node)
                self._promote(node)
            else:
                self._hir.move_to_end(node)

    def _promote(self, node: N) -> None:
        lir = self._lir
        lir.append(node)
        if lir.length > max(1.0, _LIR_SHARE * len(self)):
            self._hir.append(lir.pop_first())

    def _is_in_stack(self, turn: int) -> bool:
        if not self._lir.length:
            return False
        return 0 < (turn - self._lir.first.policy_state & _TURN_MASK) <= _TURN_MASK >> 1

    def _is_known(self, ghost: int) -> bool:
        size = len(self)
        turns = self._eviction_turn - (ghost >> _TURN_BITS) & _EVICTION_MASK
        evictions = turns * (1 + size // _TURNS)
        return evictions < _GHOSTS_PER_ENTRY * (size + 1) and self._is_in_stack(ghost)

    def _count_use(self) -> int:
        """Count a use and return its turn."""
        if not self._uses_left:
            self._turn += 1
            self._uses_left = 1 + len(self) // _TURNS
        self._uses_left -= 1
        return self._turn
