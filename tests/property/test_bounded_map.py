"""The bounded map: random operations keep its bounds, its contents and its total size."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aiocache_pe.cache.factory import POLICIES
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.testing import FakeClock
from tests.support.nodes import ExpiringNode

KEYS = st.sampled_from([f"{area}:{n}" for area in "ab" for n in range(6)])


TTLS = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 3.0, 60.0, 2e3, 1e5, 5e6])
MAX_DELAY = 3 * 86_400 + 2  # seconds after its expiry until an entry is removed


class BoundedMachine(RuleBasedStateMachine):
    """Bounded map beside a plain dict, from which evicted and expired nodes are removed as well."""

    @initialize(
        policy=st.sampled_from(sorted(POLICIES)),
        entries=st.none() | st.integers(0, 8),
        size=st.none() | st.integers(1, 30),
    )
    def begin(self, policy: str, entries: int | None, size: int | None) -> None:
        self.max_entries, self.max_bytes = entries, size
        self.model: dict[str, ExpiringNode] = {}
        self.clock = FakeClock()
        self.expiry_buckets = ExpiryBuckets[ExpiringNode](
            lambda node: node.expires_at, self.clock.time
        )
        self.bounded = BoundedMap[ExpiringNode](
            POLICIES[policy](),
            max_entries=entries,
            max_bytes=size,
            on_evict=self.remove_evicted,
            expiry_buckets=self.expiry_buckets,
            on_expire=self.remove_expired,
        )

    def remove_evicted(self, node: ExpiringNode) -> None:
        assert self.model.pop(node.key) is node

    def remove_expired(self, node: ExpiringNode) -> None:
        self.remove_evicted(node)
        assert node.expires_at is not None
        assert node.expires_at <= self.clock.time()

    @rule(seconds=st.sampled_from([0.2, 1.0, 30.0, 4e3, 1e6]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(limit=st.integers(0, 3))
    def expire(self, limit: int) -> None:
        removed = self.bounded.expire(self.clock.time(), limit)
        assert len(removed) <= limit
        for node in removed:
            self.remove_expired(node)

    @rule()
    def expire_all(self) -> None:
        now = self.clock.time()
        for node in self.bounded.expire(now, 1000):
            self.remove_expired(node)
        ends = [node.expires_at for node in self.model.values() if node.expires_at is not None]
        assert all(end + MAX_DELAY > now for end in ends)

    @rule(key=KEYS, size=st.integers(0, 35), ttl=TTLS)
    def put(self, key: str, size: int, ttl: float | None) -> None:
        node = ExpiringNode(key, None if ttl is None else self.clock.time() + ttl, size)
        self.model.pop(key, None)
        fits = (self.max_entries is None or self.max_entries > 0) and (
            self.max_bytes is None or size <= self.max_bytes
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
    def clear(self, area: str) -> None:
        matching = [key for key in self.model if key.startswith(area)]
        assert self.bounded.clear(area) == len(matching)
        for key in matching:
            del self.model[key]

    @invariant()
    def contents_and_bounds_agree(self) -> None:
        if not hasattr(self, "bounded"):
            return
        assert self.bounded.nodes == self.model
        assert len(self.expiry_buckets) == sum(
            node.expires_at is not None for node in self.model.values()
        )
        assert self.bounded.total_size == sum(node.size for node in self.model.values())
        assert self.max_entries is None or len(self.model) <= self.max_entries
        assert self.max_bytes is None or self.bounded.total_size <= self.max_bytes


TestBounded = BoundedMachine.TestCase
TestBounded.settings = settings(stateful_step_count=60)
