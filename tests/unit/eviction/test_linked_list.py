"""A chain is a queue from which any node can leave, and go to the end, at once."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from aiocache_pe.eviction.linked_list import LinkedList
from tests.support.nodes import POLICIES, Node


def keys(chain: LinkedList[Node]) -> list[str]:
    """From first to last, and the same backwards."""
    forwards, node = list[str](), chain.next
    while node is not chain:
        forwards.append(node.key)
        node = node.next
    backwards, node = list[str](), chain.previous
    while node is not chain:
        backwards.append(node.key)
        node = node.previous
    assert backwards == forwards[::-1]
    assert len(chain) == len(forwards)
    return forwards


def test_a_chain_agrees_with_a_list_whatever_is_done_to_it() -> None:
    chance, chain, model = random.Random(5), LinkedList[Node](), list[Node]()
    nodes = [Node(str(n)) for n in range(12)]
    for _ in range(5000):
        node, step = chance.choice(nodes), chance.choice("adtp")
        if step == "a" and node.queue is None:
            chain.append(node)
            model.append(node)
        elif step == "d":
            chain.discard(node)
            model = [other for other in model if other is not node]
        elif step == "t":
            chain.move_to_end(node)
            if node in model:
                model.remove(node)
                model.append(node)
        elif step == "p" and model:
            assert chain.first is model[0]
            assert chain.pop_first() is model.pop(0)
        assert keys(chain) == [other.key for other in model]


def test_a_chain_leaves_nodes_of_others_alone() -> None:
    one, other, node = LinkedList[Node](), LinkedList[Node](), Node("a")
    one.append(node)
    other.discard(node)
    other.move_to_end(node)
    assert (keys(one), keys(other)) == (["a"], [])


def test_there_is_nothing_to_take_out_of_an_empty_chain() -> None:
    with pytest.raises(LookupError, match="nothing to evict"):
        LinkedList[Node]().pop_first()


@pytest.mark.parametrize("policy", POLICIES)
def test_what_went_is_not_kept_alive(policy: str) -> None:
    made, nodes = POLICIES[policy](), [Node(str(n)) for n in range(8)]
    list(map(made.add, nodes))
    made.discard(nodes[2])
    gone = [weakref.ref(nodes[2]), weakref.ref(made.evict())]
    gc.disable()  # at once, and not only when the collector comes by
    try:
        nodes.clear()
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()
    assert len(made) == 6
