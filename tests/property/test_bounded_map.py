"""Whatever is put, hit, over and removed in whatever order: bounds hold, weights add up."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aiocache_pe.cache.factory import POLICIES
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.testing import FakeClock
from tests.support.nodes import Ending

KEYS = st.sampled_from([f"{area}:{n}" for area in "ab" for n in range(6)])


TTLS = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 3.0, 60.0, 2e3, 1e5, 5e6])
LATE = 3 * 86_400 + 2  # seconds after which even what lived for months is gone


class BoundedMachine(RuleBasedStateMachine):
    """A bounded mapping beside a plain dict that is told of all that goes by itself."""

    @initialize(
        policy=st.sampled_from(sorted(POLICIES)),
        entries=st.none() | st.integers(0, 8),
        weight=st.none() | st.integers(1, 30),
    )
    def begin(self, policy: str, entries: int | None, weight: int | None) -> None:
        self.entries, self.heaviest = entries, weight
        self.model: dict[str, Ending] = {}
        self.clock = FakeClock()
        self.calendar = ExpiryBuckets[Ending](lambda node: node.end, self.clock.time)
        self.bounded = BoundedMap[Ending](
            POLICIES[policy](),
            max_entries=entries,
            max_bytes=weight,
            on_evict=self.evicted,
            expiry_buckets=self.calendar,
            on_expire=self.expired,
        )

    def evicted(self, node: Ending) -> None:
        assert self.model.pop(node.key) is node

    def expired(self, node: Ending) -> None:
        self.evicted(node)
        assert node.end is not None
        assert node.end <= self.clock.time()

    @rule(seconds=st.sampled_from([0.2, 1.0, 30.0, 4e3, 1e6]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(most=st.integers(0, 3))
    def expire(self, most: int) -> None:
        gone = self.bounded.expire(self.clock.time(), most)
        assert len(gone) <= most
        for node in gone:
            self.expired(node)

    @rule()
    def expire_all(self) -> None:
        now = self.clock.time()
        for node in self.bounded.expire(now, 1000):
            self.expired(node)
        ends = [node.end for node in self.model.values() if node.end is not None]
        assert all(end + LATE > now for end in ends)

    @rule(key=KEYS, size=st.integers(0, 35), ttl=TTLS)
    def put(self, key: str, size: int, ttl: float | None) -> None:
        node = Ending(key, None if ttl is None else self.clock.time() + ttl, size)
        self.model.pop(key, None)
        fits = (self.entries is None or self.entries > 0) and (
            self.heaviest is None or size <= self.heaviest
        )
        assert self.bounded.put(node) is fits
        if fits:
            self.model[key] = node

    @rule(key=KEYS)
    def hit(self, key: str) -> None:
        node = self.bounded.nodes.get(key)
        if node is not None:
            node.hits += 1
            if self.bounded.on_hit is not None:
                self.bounded.on_hit(node)

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        assert self.bounded.discard(key) is self.model.pop(key, None)

    @rule(area=st.sampled_from(["a:", "b:", "c:", ""]))
    def remove_all(self, area: str) -> None:
        going = [key for key in self.model if key.startswith(area)]
        assert self.bounded.clear(area) == len(going)
        for key in going:
            del self.model[key]

    @invariant()
    def it_holds_what_it_should(self) -> None:
        if not hasattr(self, "bounded"):
            return
        assert self.bounded.nodes == self.model
        assert len(self.calendar) == sum(node.end is not None for node in self.model.values())
        assert self.bounded.total_size == sum(node.size for node in self.model.values())
        assert self.entries is None or len(self.model) <= self.entries
        assert self.heaviest is None or self.bounded.total_size <= self.heaviest


TestBounded = BoundedMachine.TestCase
TestBounded.settings = settings(stateful_step_count=60)
