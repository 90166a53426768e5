"""S3-FIFO: eviction with three queues in which a hit moves nothing."""

from __future__ import annotations

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.ghost_entries import GhostEntries, compute_age
from aiocache_pe.eviction.linked_list import LinkedList

_SMALL_SHARE = 0.1  # part of all entries that the small queue may hold
_MAX_COUNT = 3  # hits above this number do not count


class S3Fifo(EvictionPolicy[N]):
    """Policy that evicts new entries without a second hit before all others.

    Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP
    2023. A new entry waits in a small queue, a tenth of the whole. Most new entries get no
    further hit and are evicted from there soon. The others move on to the main queue, in which
    a hit prevents one eviction. The keys that left the small queue are remembered as ghosts. A new
    entry with the key of a ghost enters the main queue at once.

    Invariants:

    - ``node.policy_state`` is the number of hits up to which the policy has counted.
    - Only the keys of the last ``_ghost_count`` evictions from the small queue are ghosts.

    A hit only raises the counter of its node. The count of the paper, from 0 to 3, is the
    difference between that counter and ``policy_state``. The ghosts are a table of a few bytes
    for each key, not a queue of keys as in the paper; see `GhostEntries`.
    """

    __slots__ = ("_evictions", "_ghost_count", "_ghosts", "_main", "_small")

    def __init__(self) -> None:
        self._small = LinkedList[N]()
        self._main = LinkedList[N]()
        self._ghosts = GhostEntries()
        self._evictions = 0  # from the small queue, in total
        self._ghost_count = 0

    def __len__(self) -> int:
        return self._small.length + self._main.length

    def add(self, node: N) -> None:
        """Append a node to the small queue, or to the main queue if its key is a ghost."""
        node.policy_state = node.hits
        then, now = self._ghosts.take(node.key), self._evictions
        is_ghost = then is not None and compute_age(then, now) < self._ghost_count
        (self._main if is_ghost else self._small).append(node)

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""
        self._small.discard(node)
        self._main.discard(node)

    def evict(self) -> N:
        """Remove and return the first node without enough hits.

        Hits may continue meanwhile, so the number of nodes that it moves is limited.
        """
        small, main = self._small, self._main
        size = len(self)
        moves_left = 2 * _MAX_COUNT * size

        while small.length and (small.length >= _SMALL_SHARE * size or not main.length):
            node = small.pop_first()
            hits = node.hits
            if hits - node.policy_state <= 1:
                self._evictions += 1
                self._ghost_count = size
                self._ghosts.add(node.key, self._evictions, size)
                return node
            node.policy_state = hits
            main.append(node)

        while main.length:
            node = main.first
            hits = node.hits
            count = min(hits - node.policy_state, _MAX_COUNT)
            if count <= 0 or moves_left <= 0:
                break
            moves_left -= 1
            node.policy_state = hits - count + 1
            main.move_to_end(node)
        return main.pop_first()
