"""A copy is like its original, or the part that is not is named."""

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
    """Equal only to itself."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


class Careful:
    """Leaves something out when it is pickled, as one does with a connection."""

    def __init__(self) -> None:
        self.text, self.connection = "a", object()

    def __getstate__(self) -> dict[str, Any]:
        return {"text": self.text}


class Forgetful(dict[str, Any]):
    """Comes back without its items."""

    def __reduce__(self) -> Any:
        return Forgetful, ()


class Hasty:
    """Comes back with something else in it."""

    def __init__(self, number: Any) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return Hasty, (self.number + 1,)


def endless() -> list[Any]:
    loop: list[Any] = [Node()]
    loop.append(loop)
    return loop


ALIKE = [
    1, -0.0, float("nan"), 1j, "a", b"a", None, int, [1, (2, {3})], {"a": {1: None}},
    Node(1, Node()),
    {Node(), Node()}, frozenset(map(str, range(100))), OrderedDict(a=1), deque([1], 2),
    ValueError("a"), np.arange(3.0), np.float32(1), Careful(), endless(),
]  # fmt: skip


@pytest.mark.parametrize("value", ALIKE, ids=lambda value: type(value).__name__)
def test_what_pickle_gives_back_is_alike(value: Any) -> None:
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
def test_the_part_that_differs_is_named(original: Any, other: Any, kind: type) -> None:
    assert find_difference(original, other) is kind


def test_parts_that_are_shared_are_looked_at_once() -> None:
    value: Any = [1]
    for _ in range(200):
        value = [value, value]
    assert find_difference(value, copy.deepcopy(value)) is None


@pytest.mark.parametrize(
    "value",
    [np.bytes_(b"a\0"), [Hasty(1)], [Node(), Hasty(1)]],
    ids=["text", "one", "among others"],
)
def test_what_pickle_would_change_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match=r"pickle would restore this .* with another"):
        PickleCodec().encode(value)


def test_what_leaves_everything_out_does_so_on_purpose() -> None:
    assert pickle.loads(PickleCodec().encode(Forgetful(a=1))) == {}
