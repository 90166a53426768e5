"""Pickle is used only for values that it restores exactly; a difference is named."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest

from aiocache_pe.codecs.pickle_codec import PickleCodec, find_difference
from aiocache_pe.exceptions import SerializationError


class Node:
    """Object that equals only itself."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


class Partial:
    """Object that leaves state out of its pickle on purpose, such as a connection."""

    def __init__(self) -> None:
        self.text, self.connection = "a", object()

    def __getstate__(self) -> dict[str, Any]:
        return {"text": self.text}


class EmptyWhenRestored(dict[str, Any]):
    """Dict that is restored without its items."""

    def __reduce__(self) -> Any:
        return EmptyWhenRestored, ()


class ChangedWhenRestored:
    """Object that is restored with another number."""

    def __init__(self, number: Any) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return ChangedWhenRestored, (self.number + 1,)


def make_cycle() -> list[Any]:
    cycle: list[Any] = [Node()]
    cycle.append(cycle)
    return cycle


RESTORED = [
    1, -0.0, float("nan"), 1j, "a", b"a", None, int, [1, (2, {3})], {"a": {1: None}},
    Node(1, Node()),
    {Node(), Node()}, frozenset(map(str, range(100))), OrderedDict(a=1), deque([1], 2),
    ValueError("a"), np.arange(3.0), np.float32(1), Partial(), make_cycle(),
]  # fmt: skip


@pytest.mark.parametrize("value", RESTORED, ids=lambda value: type(value).__name__)
def test_a_restored_value_has_no_difference(value: Any) -> None:
    assert find_difference(value, pickle.loads(pickle.dumps(value))) is None
    PickleCodec().encode(value)


@pytest.mark.parametrize(
    ("original", "other", "kind"),
    [
        (1, True, int), (1, 2, int), ("a", "b", str), (0.0, -0.0, float), ([1], (1,), list),
        ([1, "a"], [1, b"a"], str), ([1], [1, 2], list), ({"a": 1}, {"a": 1.0}, int),
        ({1}, {2}, set), ({Node()}, {1}, set), (Node(1), Node(2), int),
        (deque([1]), deque([2]), int), (np.array([1], "<i4"), np.array([1], ">i4"), bytes),
        (np.bytes_(b"a\0"), np.bytes_(b"a"), bytes),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_type_of_a_different_part_is_returned(original: Any, other: Any, kind: type) -> None:
    assert find_difference(original, other) is kind


def test_shared_parts_are_compared_once() -> None:
    value: Any = [1]
    for _ in range(200):
        value = [value, value]
    assert find_difference(value, copy.deepcopy(value)) is None


@pytest.mark.parametrize(
    "value",
    [np.bytes_(b"a\0"), [ChangedWhenRestored(1)], [Node(), ChangedWhenRestored(1)]],
    ids=["text", "one", "among others"],
)
def test_a_value_that_pickle_would_change_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match=r"pickle would restore this .* with another"):
        PickleCodec().encode(value)


def test_state_that_a_class_leaves_out_is_no_difference() -> None:
    assert pickle.loads(PickleCodec().encode(EmptyWhenRestored(a=1))) == {}
