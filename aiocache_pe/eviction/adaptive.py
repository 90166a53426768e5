"""The default: whichever policy would have had the most hits lately.

No policy is best everywhere: one keeps its part of a loop, one what is popular, one what
was used last. So a few of them play the same requests in miniature, and the one that
wins there decides on the real entries. Choosing among experts by their virtual caches
goes back to Gramacy, Warmuth, Brandt and Ari, "Adaptive caching by refetching", NIPS 2002.
Until the cache is full they play one that is a quarter of it, so that a policy that suits
these requests badly is left before it lets go of anything: to change costs nothing then.

A hit only appends its node to a short buffer, from which the policies learn at the next
change, under the lock. If there were too many since the last change, the oldest are not
learnt, as in the read buffers of Caffeine (https://github.com/ben-manes/caffeine).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic

from aiocache_pe.eviction.base import EvictionPolicy, N
from aiocache_pe.eviction.lirs import Lirs
from aiocache_pe.eviction.lru import Lru
from aiocache_pe.eviction.s3fifo import S3Fifo
from aiocache_pe.eviction.simulation import PolicySimulation
from aiocache_pe.eviction.tinylfu import TinyLfu

_EXPERTS: Sequence[Callable[[], EvictionPolicy[Any]]] = (Lirs, S3Fifo, TinyLfu, Lru)
_BUFFER = 128  # hits remembered between two changes
_SCALE = 1024  # entries of a miniature, at the most
_MARGIN = 0.01  # by how much of all requests the winner must win
_CHANCE = 8  # and by how many hits, for fewer may be chance
_AHEAD = 4  # so much smaller than the cache is what they play until it is full
_FIRST = 16, 128  # entries of a miniature until then, at the least and at the most
_FADING = 0.9  # how much of requests and scores is kept from one epoch of a full cache to the next
_HANDED_ON = 8  # nodes that go from the old policy to the new at each change


class Adaptive(Generic[N]):
    """Evicts as the policy does that did best lately; a hit costs an append.

    Changing the policy moves no entry at once: the new one decides on what comes in, and
    is handed the rest by and by, what the old one thought least of first.
    """

    __slots__ = (
        "_before",
        "_chosen",
        "_entries",
        "_full",
        "_mask",
        "_miniatures",
        "_now",
        "_played",
        "_requests",
        "_used",
        "on_hit",
    )

    lock_free = True
    on_hit: Callable[[N], None] | None

    def __init__(self) -> None:
        self._chosen = 0
        self._now: EvictionPolicy[N] = _EXPERTS[0]()
        self._before: EvictionPolicy[N] | None = None  # holds what is not yet handed on
        self._used: deque[N] = deque(maxlen=_BUFFER)
        self.on_hit = self._used.append
        self._full = False  # whether anything had to go so far
        self._miniatures: list[PolicySimulation] = []  # none while there are few entries
        self._entries = 0  # of a miniature
        self._mask = 0  # the sample: keys whose hash has none of these bits
        self._played = 0  # requests of this epoch
        self._requests = 0.0  # and of those before, the older for less

    def __len__(self) -> int:
        return len(self._now) + (0 if self._before is None else len(self._before))

    def add(self, node: N) -> None:
        """To the policy of now."""
        self._learn()
        if not self._miniatures:
            self._foresee()
        elif not hash(node.key) & self._mask:
            self._play(node.key)
        self._now.add(node)

    def discard(self, node: N) -> None:
        """Forget it, if it is this very node."""
        self._learn()
        self._now.discard(node)
        if self._before is not None:
            self._before.discard(node)

    def evict(self) -> N:
        """What the policy of before still holds goes first."""
        self._learn()
        if not self._full:
            self._full, self._miniatures = True, []
        self._fit()
        return (self._before or self._now).evict()

    def _learn(self) -> None:
        """Tell the policies what was used, and hand some nodes on."""
        for _ in range(len(self._used)):
            node = self._used.popleft()
            if self._now.on_hit is not None:
                self._now.on_hit(node)
            if self._miniatures and not hash(node.key) & self._mask:
                self._play(node.key)
        if self._before is not None:
            for _ in range(min(_HANDED_ON, len(self._before))):
                self._now.add(self._before.evict())
            if not self._before:
                self._before = None

    def _play(self, key: str) -> None:
        """A request for a key of the sample."""
        if not self._full:
            self._foresee()
        for miniature in self._miniatures:
            miniature.request(key, self._entries)
        self._played += 1
        if self._miniatures and self._played >= self._entries:
            self._decide()

    def _decide(self) -> None:
        """At the end of an epoch, leave a policy that others beat by more than chance.

        Of those that only chance tells from the best, the first is taken: S3-FIFO before
        TinyLFU, for its hits cost nothing.
        """
        kept = _FADING if self._full else 1.0
        self._requests = self._requests * kept + self._played
        self._played = 0
        for miniature in self._miniatures:
            miniature.end_epoch(kept)
        scores = [miniature.score for miniature in self._miniatures]
        chance = max(_CHANCE, _MARGIN * self._requests)
        good = max(scores) - chance
        if self._before is None and scores[self._chosen] < good:
            self._chosen = next(i for i, score in enumerate(scores) if score >= good)
            self._before, self._now = self._now, _EXPERTS[self._chosen]()

    def _foresee(self) -> None:
        """While nothing had to go: see who would do best if the cache were full already."""
        size, (least, most) = len(self) // _AHEAD, _FIRST
        if size < least:
            self._miniatures, self._mask = [], 0
            return
        if not self._miniatures:
            self._begin()
        while size // (self._mask + 1) > most:
            self._mask = 2 * self._mask + 1
            for miniature in self._miniatures:
                miniature.thin(self._mask)
        self._entries = max(1, size // (self._mask + 1))

    def _fit(self) -> None:
        """The cache is full, so its size is known: scale the miniatures to it."""
        size = len(self)
        scaled = self._entries * (self._mask + 1)
        if not self._miniatures or not size // 2 < scaled < size * 2:
            while size // (self._mask + 1) > _SCALE:
                self._mask = 2 * self._mask + 1
            while self._mask and size // (self._mask + 1) <= _SCALE // 2:
                self._mask //= 2
            self._begin()
        self._entries = max(1, size // (self._mask + 1))

    def _begin(self) -> None:
        """With new miniatures, of which nothing is known."""
        self._miniatures = [PolicySimulation(expert()) for expert in _EXPERTS]
        self._played, self._requests = 0, 0.0
