"""Adaptive eviction: the policy that has had the most hits lately decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.lirs import Lirs
from aiocache_pe.eviction.lru import Lru
from aiocache_pe.eviction.s3fifo import S3Fifo
from aiocache_pe.eviction.simulation import PolicySimulation
from aiocache_pe.eviction.tinylfu import TinyLfu

_EXPERTS: Sequence[Callable[[], EvictionPolicy[Any]]] = (Lirs, S3Fifo, TinyLfu, Lru)
_HIT_BUFFER_SIZE = 128
_MAX_SIMULATED_ENTRIES = 1024
_LEAD_SHARE = 0.01  # of the requests: lead in hits that is needed for a change
_LEAD_HITS = 8  # and in any case, because a smaller lead may be chance
_WARMUP_SCALE = 4  # until the cache is full, the simulated cache is smaller by this factor
_WARMUP_ENTRIES = 16, 128  # least and most entries of a simulation until then
_DECAY = 0.9  # of scores and requests, from one epoch of a full cache to the next
_MIGRATION_STEP = 8  # nodes that move to a new policy at each change


class Adaptive(EvictionPolicy[N]):
    """Default policy: simulates four policies and evicts by the best of them.

    No policy is the best for all requests. LIRS keeps a part of a loop, TinyLFU keeps popular
    entries, LRU keeps recent ones, and S3-FIFO wins on web requests. So these experts play a
    sample of the requests in small simulations, and the winner decides on the real entries, as
    in Gramacy, Warmuth, Brandt and Ari, "Adaptive caching by refetching", NIPS 2002.

    Invariants:

    - A node is in the active policy or, after a change of policy, still in the retired one. At
      each change of the cache, some nodes move, least valuable first. The retired policy evicts
      first.
    - The sample consists of the keys with a hash that has none of the bits of ``_sample_mask``.
      Every simulation plays the same requests.
    - Until the first eviction, the simulated cache is a quarter of the present one. A wrong
      policy is then replaced before it evicts anything, and a change costs nothing.

    A hit appends its node to a short buffer without a lock. The policies process the buffer at
    the next change of the cache, under the lock. If the buffer is full, the oldest hits are
    dropped, as in the read buffers of Caffeine (https://github.com/ben-manes/caffeine).

    Rejected alternatives (docs/design/decisions/0031 and 0035):

    - A change at the first regret beyond a limit (CUSUM: Page, 1954). It loses up to 4 points of
      hit ratio where phases alternate. A lead below 1 % loses as well.
    - One policy with a window that adapts; see `TinyLfu`.
    - Simulations of half as many keys. They save 35 bytes an entry at 5,000 entries and cost up
      to 10 points where requests change, because differences over so few keys are often chance.
    """

    __slots__ = (
        *("_active", "_epoch_requests", "_expert", "_has_evicted", "_hit_buffer"),
        *("_past_requests", "_retired", "_sample_mask", "_simulated_entries", "_simulations"),
        "on_hit",
    )

    def __init__(self) -> None:
        self._expert = 0
        self._active: EvictionPolicy[N] = _EXPERTS[0]()
        self._retired: EvictionPolicy[N] | None = None
        self._hit_buffer: deque[N] = deque(maxlen=_HIT_BUFFER_SIZE)
        self.on_hit = self._hit_buffer.append
        self._has_evicted = False
        self._simulations: list[PolicySimulation] = []  # none while there are few entries
        self._simulated_entries = 0
        self._sample_mask = 0
        self._epoch_requests = 0
        self._past_requests = 0.0  # decayed like the scores

    def restart(self) -> Adaptive[N]:
        """See `EvictionPolicy.restart`; the new policy reads the same buffer of hits."""
        policy = type(self)()
        policy._hit_buffer = self._hit_buffer  # noqa: SLF001 - of this class
        policy.on_hit = self.on_hit
        return policy

    def __len__(self) -> int:
        return len(self._active) + (0 if self._retired is None else len(self._retired))

    def add(self, node: N) -> None:
        """Add a node to the active policy."""
        self._catch_up()
        if not self._simulations:
            self._scale_to_warmup()
        elif not hash(node.key) & self._sample_mask:
            self._simulate(node.key)
        self._active.add(node)

    def discard(self, node: N) -> None:
        """Remove a node if the policy holds this very object."""
        self._catch_up()
        self._active.discard(node)
        if self._retired is not None:
            self._retired.discard(node)

    def evict(self) -> N:
        """Remove and return the next node of the retired policy, if any, or of the active one."""
        self._catch_up()
        if not self._has_evicted:
            self._has_evicted, self._simulations = True, []
        self._scale_to_capacity()
        return (self._retired or self._active).evict()

    def _catch_up(self) -> None:
        """Process the buffered hits and move some nodes of a retired policy."""
        for _ in range(len(self._hit_buffer)):
            node = self._hit_buffer.popleft()
            if self._active.on_hit is not None:
                self._active.on_hit(node)
            if self._simulations and not hash(node.key) & self._sample_mask:
                self._simulate(node.key)

        if self._retired is not None:
            for _ in range(min(_MIGRATION_STEP, len(self._retired))):
                self._active.add(self._retired.evict())
            if not self._retired:
                self._retired = None

    def _simulate(self, key: str) -> None:
        if not self._has_evicted:
            self._scale_to_warmup()
        for simulation in self._simulations:
            simulation.request(key, self._simulated_entries)
        self._epoch_requests += 1
        if self._simulations and self._epoch_requests >= self._simulated_entries:
            self._end_epoch()

    def _end_epoch(self) -> None:
        """Change the policy if others lead by more than chance.

        Of the experts that only chance separates from the best, the first in `_EXPERTS` is taken:
        S3-FIFO before TinyLFU, because its hits cost nothing.
        """
        decay = _DECAY if self._has_evicted else 1.0
        self._past_requests = self._past_requests * decay + self._epoch_requests
        self._epoch_requests = 0
        for simulation in self._simulations:
            simulation.end_epoch(decay)

        scores = [simulation.score for simulation in self._simulations]
        threshold = max(scores) - max(_LEAD_HITS, _LEAD_SHARE * self._past_requests)
        if self._retired is None and scores[self._expert] < threshold:
            self._expert = next(i for i, score in enumerate(scores) if score >= threshold)
            self._retired, self._active = self._active, _EXPERTS[self._expert]()

    def _scale_to_warmup(self) -> None:
        """Scale the simulations to a quarter of the present cache, before the first eviction."""
        size, (least, most) = len(self) // _WARMUP_SCALE, _WARMUP_ENTRIES
        if size < least:
            self._simulations, self._sample_mask = [], 0
            return

        if not self._simulations:
            self._restart_simulations()
        while size // (self._sample_mask + 1) > most:
            self._sample_mask = 2 * self._sample_mask + 1
            for simulation in self._simulations:
                simulation.shrink_sample(self._sample_mask)
        self._simulated_entries = max(1, size // (self._sample_mask + 1))

    def _scale_to_capacity(self) -> None:
        """Scale the simulations to the full cache; restart them if its size has changed much."""
        size = len(self)
        scaled = self._simulated_entries * (self._sample_mask + 1)
        if not self._simulations or not size // 2 < scaled < size * 2:
            self._sample_mask = 0
            while size // (self._sample_mask + 1) > _MAX_SIMULATED_ENTRIES:
                self._sample_mask = 2 * self._sample_mask + 1
            self._restart_simulations()
        self._simulated_entries = max(1, size // (self._sample_mask + 1))

    def _restart_simulations(self) -> None:
        self._simulations = [PolicySimulation(expert()) for expert in _EXPERTS]
        self._epoch_requests, self._past_requests = 0, 0.0
