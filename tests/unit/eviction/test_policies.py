"""Eviction policies: who goes first, told by examples; and what all of them promise."""

from __future__ import annotations

import pytest

from aiocache_pe.eviction.base import EvictionPolicy
from tests.support.nodes import POLICIES, Node


def used(policy: EvictionPolicy[Node], node: Node) -> None:
    """A hit."""
    node.hits += 1
    if policy.on_hit is not None:
        policy.on_hit(node)


def order(policy: EvictionPolicy[Node]) -> str:
    keys = ""
    while True:
        try:
            keys += policy.evict().key
        except LookupError:
            return keys


@pytest.mark.parametrize(
    ("policy", "hits", "goes"),
    [
        ("fifo", "", "abcd"),
        ("fifo", "aab", "abcd"),
        ("lru", "", "abcd"),
        ("lru", "ab", "cdab"),
        ("lru", "ba", "cdba"),
        ("lfu", "", "abcd"),
        ("lfu", "aab", "cdba"),
        ("lfu", "abcd", "abcd"),
        ("s3fifo", "", "abcd"),
        ("s3fifo", "aa", "bcda"),
        ("s3fifo", "a", "abcd"),
        ("tinylfu", "", "abcd"),
        ("lirs", "", "bacd"),
    ],
)
def test_the_order_in_which_they_go(policy: str, hits: str, goes: str) -> None:
    made = POLICIES[policy]()
    nodes = {key: Node(key) for key in "abcd"}
    for node in nodes.values():
        made.add(node)
    for key in hits:
        used(made, nodes[key])
    assert order(made) == goes


@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_removed_by_others_is_not_chosen(policy: str) -> None:
    made = POLICIES[policy]()
    nodes = [Node(key) for key in "abc"]
    for node in nodes:
        made.add(node)
    made.discard(nodes[1])
    made.discard(nodes[1])
    used(made, nodes[1])
    assert len(made) == 2
    assert sorted(order(made)) == ["a", "c"]
    assert len(made) == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_a_node_of_the_same_key_is_another_node(policy: str) -> None:
    made = POLICIES[policy]()
    old, new = Node("a"), Node("a")
    made.add(old)
    made.discard(old)
    made.add(new)
    made.discard(old)
    assert made.evict() is new


@pytest.mark.parametrize("policy", POLICIES)
def test_there_is_nothing_to_evict_from_nothing(policy: str) -> None:
    with pytest.raises(LookupError, match="nothing to evict"):
        POLICIES[policy]().evict()


class Busy(Node):
    """Used again whenever somebody looks."""

    @property
    def uses(self) -> int:
        self._uses = getattr(self, "_uses", 0) + 1
        return self._uses

    @uses.setter
    def uses(self, value: int) -> None: ...


@pytest.mark.parametrize("name", POLICIES)
def test_it_ends_while_others_go_on_hitting(name: str) -> None:
    policy = POLICIES[name]()
    for key in "abc":
        policy.add(Busy(key))
    assert sorted(order(policy)) == ["a", "b", "c"]
