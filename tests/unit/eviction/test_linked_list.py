"""The linked list: a queue that any node can leave, or move to the end of, at once."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from aiocache_pe.eviction.linked_list import LinkedList
from tests.support.nodes import POLICIES, Node


def list_keys(nodes: LinkedList[Node]) -> list[str]:
    """Return the keys from first to last, after a check that the way back gives the same."""
    forwards, node = list[str](), nodes.next
    while node is not nodes:
        forwards.append(node.key)
        node = node.next

    backwards, node = list[str](), nodes.previous
    while node is not nodes:
        backwards.append(node.key)
        node = node.previous

    assert backwards == forwards[::-1]
    assert len(nodes) == len(forwards)
    return forwards


def test_a_linked_list_agrees_with_a_list_after_random_operations() -> None:
    rng, linked, model = random.Random(5), LinkedList[Node](), list[Node]()
    nodes = [Node(str(n)) for n in range(12)]
    for _ in range(5000):
        node = rng.choice(nodes)
        match rng.choice(["append", "discard", "move_to_end", "pop_first"]):
            case "append" if node.queue is None:
                linked.append(node)
                model.append(node)
            case "discard":
                linked.discard(node)
                model = [other for other in model if other is not node]
            case "move_to_end":
                linked.move_to_end(node)
                if node in model:
                    model.remove(node)
                    model.append(node)
            case "pop_first" if model:
                assert linked.first is model[0]
                assert linked.pop_first() is model.pop(0)
            case _:
                pass
        assert list_keys(linked) == [other.key for other in model]


def test_a_linked_list_ignores_nodes_of_another_list() -> None:
    first, second, node = LinkedList[Node](), LinkedList[Node](), Node("a")
    first.append(node)
    second.discard(node)
    second.move_to_end(node)
    assert (list_keys(first), list_keys(second)) == (["a"], [])


def test_pop_first_of_an_empty_list_raises() -> None:
    with pytest.raises(LookupError, match="nothing to evict"):
        LinkedList[Node]().pop_first()


@pytest.mark.parametrize("name", POLICIES)
def test_a_removed_node_is_freed_without_the_garbage_collector(name: str) -> None:
    policy, nodes = POLICIES[name](), [Node(str(n)) for n in range(8)]
    for node in nodes:
        policy.add(node)
    policy.discard(nodes[2])
    removed = [weakref.ref(nodes[2]), weakref.ref(policy.evict())]
    gc.disable()
    try:
        nodes.clear()
        assert [reference() for reference in removed] == [None, None]
    finally:
        gc.enable()
    assert len(policy) == 6
