"""Eviction policies: the order of eviction in examples, and the promises of every policy."""

from __future__ import annotations

import pytest

from aiocache_pe.eviction.base import EvictionPolicy
from tests.support.nodes import POLICIES, Node


def hit(policy: EvictionPolicy[Node], node: Node) -> None:
    node.hits += 1
    if policy.on_hit is not None:
        policy.on_hit(node)


def evict_all(policy: EvictionPolicy[Node]) -> str:
    """Evict every node and return their keys in the order of eviction."""
    keys = ""
    while True:
        try:
            keys += policy.evict().key
        except LookupError:
            return keys


@pytest.mark.parametrize(
    ("name", "hits", "evicted"),
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
def test_a_policy_evicts_in_its_own_order(name: str, hits: str, evicted: str) -> None:
    policy = POLICIES[name]()
    nodes = {key: Node(key) for key in "abcd"}
    for node in nodes.values():
        policy.add(node)
    for key in hits:
        hit(policy, nodes[key])
    assert evict_all(policy) == evicted


@pytest.mark.parametrize("name", POLICIES)
def test_a_discarded_node_is_not_evicted(name: str) -> None:
    policy = POLICIES[name]()
    nodes = [Node(key) for key in "abc"]
    for node in nodes:
        policy.add(node)
    policy.discard(nodes[1])
    policy.discard(nodes[1])
    hit(policy, nodes[1])
    assert len(policy) == 2
    assert sorted(evict_all(policy)) == ["a", "c"]
    assert len(policy) == 0


@pytest.mark.parametrize("name", POLICIES)
def test_a_node_with_the_same_key_is_another_node(name: str) -> None:
    policy = POLICIES[name]()
    old, new = Node("a"), Node("a")
    policy.add(old)
    policy.discard(old)
    policy.add(new)
    policy.discard(old)
    assert policy.evict() is new


@pytest.mark.parametrize("name", POLICIES)
def test_an_empty_policy_raises(name: str) -> None:
    with pytest.raises(LookupError, match="nothing to evict"):
        POLICIES[name]().evict()


class BusyNode(Node):
    """Node that gets a hit at every look at its hits."""

    looks = 0

    @property
    def hits(self) -> int:
        self.looks += 1
        return self.looks

    @hits.setter
    def hits(self, value: int) -> None: ...


@pytest.mark.parametrize("name", POLICIES)
def test_eviction_ends_while_hits_continue(name: str) -> None:
    policy = POLICIES[name]()
    for key in "abc":
        policy.add(BusyNode(key))
    assert sorted(evict_all(policy)) == ["a", "b", "c"]
