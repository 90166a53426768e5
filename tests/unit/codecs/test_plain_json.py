"""Plain JSON holds exactly the values that every reader of JSON restores."""

from __future__ import annotations

import json
from collections import OrderedDict
from enum import IntEnum
from typing import Any

import pytest

from aiocache_pe.codecs.base import MAX_DEPTH
from aiocache_pe.codecs.plain_json import PlainJson, is_plain
from tests.support.exactness import assert_round_trip, assert_same, choose_codec

EXACT: list[Any] = [
    None, True, False, 0, 1, -1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63),
    0.0, -0.0, 1.0, 1e16, 1e22, 1e23, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308,
    0.1, 123456789012345680.0, 9007199254740993.0,
    "", "text", "\x00", "\u2028", "\U0001f600", '"\\', "\ufeff", "\x7f",
    [], {}, [[]], {"": {}}, {"a": [1, 2.0, None, True, {"b": "c"}]},
    {"$tuple": [1]}, [{"$type": ["os.system", "ls"]}], {"$": 1},
    list(range(1000)), [float(n) for n in range(1000)], {str(n): n for n in range(1000)},
]  # fmt: skip


class Text(str):
    __slots__ = ()


class Level(IntEnum):
    LOW = 1


@pytest.mark.parametrize("value", EXACT, ids=lambda value: f"{value!r:.40}")
def test_values_that_json_restores_are_plain(value: Any) -> None:
    payload = PlainJson().encode(value)
    assert payload is not None
    assert_same(PlainJson().decode(payload), value)
    assert_same(json.loads(payload), value)
    assert choose_codec(value) == "json"


@pytest.mark.parametrize(
    "value",
    [
        (1, 2), {1: 2}, {None: 1}, {1.5: 1}, {True: 1}, float("nan"), float("inf"), 2**64,
        -(2**63) - 1, b"", {1}, "\ud800", {"\udfff": 1}, Text("a"), {Text("a"): 1}, Level.LOW,
        OrderedDict(a=1), [1, (2,)], {"a": {"b": [(1,)]}}, [0.5, float("-inf")],
    ],
    ids=repr,
)  # fmt: skip
def test_values_that_json_would_change_are_not_plain(value: Any) -> None:
    assert PlainJson().encode(value) is None


@pytest.mark.parametrize("count", [1, 1000])
def test_long_lists_are_checked_like_short_ones(count: int) -> None:
    plain_items: tuple[Any, ...] = (1, 1.5, "a", None, [], {})
    for odd in ((), float("nan"), 2**64, Text("a"), Level.LOW, object(), [()]):
        for plain in plain_items:
            value = [plain] * count
            assert is_plain(value)
            assert not is_plain([*value, odd])
            assert not is_plain({str(n): item for n, item in enumerate([*value, odd])})


def test_floats_with_an_infinite_sum_are_plain() -> None:
    assert_round_trip([1.7e308] * 100)


@pytest.mark.parametrize("copies", [1, 3])
def test_a_value_that_contains_itself_is_not_plain(copies: int) -> None:
    cycle: list[Any] = []
    cycle.extend([cycle] * copies)
    assert not is_plain(cycle)
    assert not is_plain({"a": [cycle]})


def test_depth_is_limited() -> None:
    def make_nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return value

    assert is_plain(make_nested(MAX_DEPTH))
    assert not is_plain(make_nested(MAX_DEPTH + 1))
    assert not is_plain(make_nested(100_000))


def test_keys_are_written_in_their_own_order() -> None:
    assert PlainJson().encode({"b": 1, "a": 2}) == b'{"b":1,"a":2}'
