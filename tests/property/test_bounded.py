"""Whatever is put, hit and removed in whatever order: bounds hold and weights add up."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aiocache_pe.bounded import Bounded
from tests.unit.nodes import POLICIES, Node

KEYS = st.sampled_from([f"{area}:{n}" for area in "ab" for n in range(6)])


class BoundedMachine(RuleBasedStateMachine):
    """A bounded mapping beside a plain dict that is told of every eviction."""

    @initialize(
        policy=st.sampled_from(sorted(POLICIES)),
        entries=st.none() | st.integers(0, 8),
        weight=st.none() | st.integers(1, 30),
    )
    def begin(self, policy: str, entries: int | None, weight: int | None) -> None:
        self.entries, self.heaviest = entries, weight
        self.model: dict[str, Node] = {}
        self.bounded = Bounded(
            POLICIES[policy](), max_entries=entries, max_bytes=weight, on_evict=self.evicted
        )

    def evicted(self, node: Node) -> None:
        assert self.model.pop(node.key) is node

    @rule(key=KEYS, size=st.integers(0, 35))
    def put(self, key: str, size: int) -> None:
        node = Node(key, size)
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
            node.uses += 1
            if self.bounded.on_hit is not None:
                self.bounded.on_hit(node)

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        assert self.bounded.discard(key) is self.model.pop(key, None)

    @rule(key=KEYS, same=st.booleans())
    def drop(self, key: str, same: bool) -> None:
        held = self.model.get(key)
        self.bounded.drop(held if same and held is not None else Node(key))
        if same:
            self.model.pop(key, None)

    @rule(area=st.sampled_from(["a:", "b:", "c:", ""]))
    def remove_all(self, area: str) -> None:
        going = [key for key in self.model if key.startswith(area)]
        assert self.bounded.remove_all(area) == len(going)
        for key in going:
            del self.model[key]

    @invariant()
    def it_holds_what_it_should(self) -> None:
        if not hasattr(self, "bounded"):
            return
        assert self.bounded.nodes == self.model
        assert self.bounded.weight == sum(node.size for node in self.model.values())
        assert self.entries is None or len(self.model) <= self.entries
        assert self.heaviest is None or self.bounded.weight <= self.heaviest


TestBounded = BoundedMachine.TestCase
TestBounded.settings = settings(stateful_step_count=60)
