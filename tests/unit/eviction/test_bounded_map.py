"""The bounded map: its bounds hold after every operation and among threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.eviction.fifo import Fifo
from tests.support.nodes import OLDEST_FIRST, POLICIES, Node


def join_keys(bounded: BoundedMap[Node]) -> str:
    return "".join(bounded.nodes)


@pytest.mark.parametrize("name", OLDEST_FIRST)
def test_the_oldest_node_makes_room(name: str) -> None:
    evicted = list[Node]()
    bounded = BoundedMap(POLICIES[name](), max_entries=2, on_evict=evicted.append)
    assert all(bounded.put(Node(key)) for key in "abc")
    assert join_keys(bounded) == "bc"
    assert [node.key for node in evicted] == ["a"]


def test_a_large_node_evicts_several_nodes() -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_bytes=10)
    for key in "abc":
        bounded.put(Node(key, 3))
    assert bounded.put(Node("d", 7))
    assert (join_keys(bounded), bounded.total_size) == ("cd", 10)


@pytest.mark.parametrize(("entries", "size"), [(None, 10), (0, None), (0, 10)])
def test_a_node_that_exceeds_a_bound_is_refused_and_evicts_nothing(
    entries: int | None, size: int | None
) -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_entries=entries, max_bytes=size)
    if entries is None:
        bounded.put(Node("a", 3))
    assert not bounded.put(Node("b", 11))
    assert join_keys(bounded) == ("a" if entries is None else "")


def test_a_refused_version_removes_the_old_one() -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_bytes=10)
    bounded.put(Node("a", 3))
    assert not bounded.put(Node("a", 11))
    assert (join_keys(bounded), bounded.total_size) == ("", 0)


def test_a_replaced_node_is_counted_once() -> None:
    bounded = BoundedMap(POLICIES["fifo"](), max_entries=2)
    bounded.put(Node("a", 3))
    bounded.put(Node("a", 5))
    assert (len(bounded.nodes), bounded.total_size) == (1, 5)


def test_discard_returns_the_removed_node() -> None:
    bounded, node = BoundedMap(POLICIES["lru"]()), Node("a")
    bounded.put(node)
    assert bounded.discard("a") is node
    assert bounded.discard("a") is None


def test_clear_removes_only_keys_with_the_prefix() -> None:
    bounded = BoundedMap(POLICIES["fifo"]())
    for key in ("a:1", "a:2", "ab:1"):
        bounded.put(Node(key, 2))
    assert bounded.clear("a:") == 2
    assert (list(bounded.nodes), bounded.total_size) == (["ab:1"], 2)
    assert bounded.clear() == 1
    assert bounded.total_size == 0


def test_hits_cost_nothing_unless_the_policy_tracks_them() -> None:
    assert BoundedMap(POLICIES["fifo"]()).on_hit is None
    assert BoundedMap(POLICIES["s3fifo"]()).on_hit is None
    bounded = BoundedMap(POLICIES["lru"](), max_entries=2)
    assert bounded.on_hit is not None
    nodes = [Node(key) for key in "abc"]
    bounded.put(nodes[0])
    bounded.put(nodes[1])
    bounded.on_hit(nodes[0])
    bounded.put(nodes[2])
    assert join_keys(bounded) == "ac"


@pytest.mark.parametrize("name", POLICIES)
def test_a_hit_on_a_replaced_node_does_not_bring_it_back(name: str) -> None:
    """Readers take no lock, so a node may be replaced before its hit is reported."""
    bounded = BoundedMap(POLICIES[name](), max_entries=8)
    for number in range(400):
        replaced = Node(str(number % 11), 5)
        bounded.put(replaced)
        bounded.put(Node(replaced.key, 1))
        if bounded.on_hit is not None:
            bounded.on_hit(replaced)
            bounded.on_hit(replaced)
        assert bounded.total_size == sum(node.size for node in bounded.nodes.values()) <= 8


@pytest.mark.parametrize("name", POLICIES)
def test_bounds_hold_among_threads(name: str) -> None:
    bounded = BoundedMap(POLICIES[name](), max_entries=20, max_bytes=300)
    exceeded = list[int]()

    def work(number: int) -> None:
        on_hit = bounded.on_hit
        for n in range(500):
            node = Node(str((n * number) % 50), 1 + n % 30)
            bounded.put(node)
            if on_hit is not None:
                on_hit(node)
            if n % 7 == 0:
                bounded.discard(str(n % 50))
            with bounded.lock:
                if len(bounded.nodes) > 20 or bounded.total_size > 300:
                    exceeded.append(bounded.total_size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 9)))
    assert exceeded == []
    assert bounded.total_size == sum(node.size for node in bounded.nodes.values())


def test_a_replaced_node_can_be_read_until_the_new_one_is_there() -> None:
    """Readers take no lock; a reader that found neither node would report a false miss."""
    is_readable: list[bool] = []

    class WatchedFifo(Fifo[Node]):
        def discard(self, node: Node) -> None:
            super().discard(node)
            is_readable.append("a" in bounded.nodes)

        def evict(self) -> Node:
            is_readable.append("a" in bounded.nodes)
            return super().evict()

    bounded = BoundedMap[Node](WatchedFifo(), max_entries=2, max_bytes=4)
    for key, size in (("a", 1), ("b", 2), ("a", 2), ("a", 3)):
        assert bounded.put(Node(key, size))
    assert is_readable == [True] * 3
    assert (join_keys(bounded), bounded.total_size, bounded.nodes["a"].size) == ("a", 3, 3)
    assert not bounded.put(Node("a", 5))
    assert (join_keys(bounded), bounded.total_size) == ("", 0)


def test_no_change_waits_for_another_and_the_next_change_makes_both() -> None:
    bounded = BoundedMap(POLICIES["lru"](), max_entries=3)
    nodes = [Node(key) for key in "abc"]
    for node in nodes:
        bounded.put(node)
    on_hit = bounded.on_hit
    assert on_hit is not None
    with bounded.lock:
        assert not bounded.put(Node("d"))
        on_hit(nodes[1])
        assert bounded.discard("c") is None
        assert bounded.clear("x") == 0
    assert join_keys(bounded) == "abc"
    bounded.put(Node("e"))
    assert join_keys(bounded) == "bde"
    bounded.put(Node("f"))
    assert join_keys(bounded) == "bef"


@pytest.mark.parametrize("name", POLICIES)
def test_a_change_that_an_interrupt_has_ended_leaves_a_map_within_its_bounds(name: str) -> None:
    bounded = BoundedMap(
        POLICIES[name](),
        max_bytes=20,
        expiry_buckets=ExpiryBuckets[Node](lambda node: 100.0, lambda: 0.0),
    )
    on_hit = bounded.on_hit
    for number in range(30):
        bounded.put(Node(str(number)))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("_fits", "_make_room", "_detach"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BoundedMap, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                bounded.put(Node(next(iter(bounded.nodes))))
        assert not bounded.lock.locked()
        for number in range(60):
            node = Node(f"{step} {number}")
            assert bounded.put(node)
            if on_hit is not None:
                on_hit(node)
            assert bounded.total_size == sum(each.size for each in bounded.nodes.values()) <= 20
    assert len(bounded.expire(200.0, 100)) == 20
    assert (bounded.total_size, bounded.nodes) == (0, {})
