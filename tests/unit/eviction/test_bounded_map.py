"""The bounded mapping: never over its bounds, whatever comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.fifo import Fifo
from tests.support.nodes import OLDEST_FIRST, POLICIES, Node


def keys(bounded: BoundedMap[Node]) -> str:
    return "".join(bounded.nodes)


@pytest.mark.parametrize("policy", OLDEST_FIRST)
def test_the_oldest_makes_room(policy: str) -> None:
    gone = list[Node]()
    bounded = BoundedMap(POLICIES[policy](), max_entries=2, on_evict=gone.append)
    assert all(bounded.put(Node(key)) for key in "abc")
    assert keys(bounded) == "bc"
    assert [node.key for node in gone] == ["a"]


def test_a_heavy_node_makes_several_go() -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_bytes=10)
    for key in "abc":
        bounded.put(Node(key, 3))
    assert bounded.put(Node("d", 7))
    assert (keys(bounded), bounded.total_size) == ("cd", 10)


@pytest.mark.parametrize(("entries", "weight"), [(None, 10), (0, None), (0, 10)])
def test_what_can_never_fit_is_not_taken_in_and_costs_no_other(
    entries: int | None, weight: int | None
) -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_entries=entries, max_bytes=weight)
    if entries is None:
        bounded.put(Node("a", 3))
    assert not bounded.put(Node("b", 11))
    assert keys(bounded) == ("a" if entries is None else "")


def test_a_version_that_does_not_fit_takes_the_old_one_away() -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_bytes=10)
    bounded.put(Node("a", 3))
    assert not bounded.put(Node("a", 11))
    assert (keys(bounded), bounded.total_size) == ("", 0)


def test_a_node_in_the_place_of_another_counts_once() -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_entries=2)
    bounded.put(Node("a", 3))
    bounded.put(Node("a", 5))
    assert (len(bounded.nodes), bounded.total_size) == (1, 5)


def test_discard_tells_what_was_there() -> None:
    bounded, node = BoundedMap(POLICIES["lru"]()), Node("a")
    bounded.put(node)
    assert bounded.discard("a") is node
    assert bounded.discard("a") is None


def test_a_prefix_is_removed_and_nothing_else() -> None:
    bounded = BoundedMap(POLICIES["fifo"]())
    for key in ("a:1", "a:2", "ab:1"):
        bounded.put(Node(key, 2))
    assert bounded.clear("a:") == 2
    assert (list(bounded.nodes), bounded.total_size) == (["ab:1"], 2)
    assert bounded.clear() == 1
    assert bounded.total_size == 0


def test_hits_are_free_unless_the_policy_wants_to_know() -> None:
    assert BoundedMap(POLICIES["fifo"]()).on_hit is None
    assert BoundedMap(POLICIES["s3fifo"]()).on_hit is None
    bounded = BoundedMap(POLICIES["lru"](), max_entries=2)
    assert bounded.on_hit is not None
    nodes = [Node(key) for key in "abc"]
    bounded.put(nodes[0])
    bounded.put(nodes[1])
    bounded.on_hit(nodes[0])
    bounded.put(nodes[2])
    assert keys(bounded) == "ac"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_hit_at_a_node_that_was_replaced_brings_it_not_back(policy: str) -> None:
    """A reader takes no lock: its node may be another's by the time it says that it hit."""
    bounded = BoundedMap(POLICIES[policy](), max_entries=8)
    for number in range(400):
        before = Node(str(number % 11), 5)
        bounded.put(before)
        bounded.put(Node(before.key, 1))
        if bounded.on_hit is not None:
            bounded.on_hit(before)
            bounded.on_hit(before)
        assert bounded.total_size == sum(node.size for node in bounded.nodes.values()) <= 8


@pytest.mark.parametrize("policy", POLICIES)
def test_bounds_hold_among_threads(policy: str) -> None:
    bounded = BoundedMap(POLICIES[policy](), max_entries=20, max_bytes=300)
    over = list[int]()

    def work(number: int) -> None:
        hit = bounded.on_hit
        for n in range(500):
            node = Node(str((n * number) % 50), 1 + n % 30)
            bounded.put(node)
            if hit is not None:
                hit(node)
            if n % 7 == 0:
                bounded.discard(str(n % 50))
            with bounded.lock:
                if len(bounded.nodes) > 20 or bounded.total_size > 300:
                    over.append(bounded.total_size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 9)))
    assert over == []
    assert bounded.total_size == sum(node.size for node in bounded.nodes.values())


def test_a_node_that_is_replaced_is_there_until_the_other_is() -> None:
    """Readers take no lock: one that saw none in between would miss what never was away."""
    seen: list[bool] = []

    class Watched(Fifo[Node]):
        def discard(self, node: Node) -> None:
            super().discard(node)
            seen.append("a" in bounded.nodes)

        def evict(self) -> Node:
            seen.append("a" in bounded.nodes)
            return super().evict()

    bounded = BoundedMap[Node](Watched(), max_entries=2, max_bytes=4)
    for key, size in (("a", 1), ("b", 2), ("a", 2), ("a", 3)):
        assert bounded.put(Node(key, size))
    assert seen == [True] * 3
    assert (keys(bounded), bounded.total_size, bounded.nodes["a"].size) == ("a", 3, 3)
    assert not bounded.put(Node("a", 5))
    assert (keys(bounded), bounded.total_size) == ("", 0)
