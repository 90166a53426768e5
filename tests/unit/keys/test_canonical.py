"""Canonical texts: equal for equal values of one type, and different for all others."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import threading
import zoneinfo
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Generic, Optional, TypeVar, Union

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, HttpUrl, computed_field

from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.keys import canonical
from aiocache_pe.keys.canonical import canonicalize
from tests.support.calls import DIFFERENT, Client, Name, Question


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    text: str
    tags: set[str] = set()


class Struct(msgspec.Struct):
    text: str
    number: int = 0


class Anonymous:
    """A class of instances that are equal only to themselves."""

    def method(self) -> None: ...


class Zone(dt.tzinfo):
    """A time zone without a text of its own."""

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, moment: dt.datetime | None) -> None:
        return None

    def tzname(self, moment: dt.datetime | None) -> str:
        return "zone"


class Slotted(str):
    """A text with state in a slot."""

    __slots__ = ("secret",)


class Envelope(BaseModel):
    other: Any


class Computed(BaseModel):
    text: str

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def length(self) -> int:
        return len(self.text)


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    inside: T


@dataclass
class Holder:
    client: object
    shared: ClassVar[list[int]] = []
    note: str = field(default="", compare=False)


LIBRARIES: dict[str, Any] = {
    "model": Model(text="a"),
    "model with tags": Model(text="a", tags={"x"}),
    "model with extra": Model(text="a", other=1),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    "struct": Struct("a"),
    "other struct": Struct("a", 1),
    "array": np.array([1, 2]),
    "float array": np.array([1.0, 2.0]),
    "array of another shape": np.array([[1, 2]]),
    "small array": np.array([1, 2], dtype=np.int8),
    "array of texts": np.array(["a", "b"], dtype=object),
    "array of other texts": np.array(["a", None], dtype=object),
    "array of texts of another shape": np.array([["a", "b"]], dtype=object),
    "array of fixed texts": np.array(["a", "b"]),
    "scalar": np.int64(1),
    "zero": np.float64(0.0),
    "negative zero": np.float64(-0.0),
    "record array": np.array([(1, 2)], dtype=[("a", "<i4"), ("b", "<i4")]),
    "zone": zoneinfo.ZoneInfo("Europe/Berlin"),
    "fields that overlap": np.zeros(
        1, np.dtype({"names": "ab", "formats": "ii", "offsets": [0, 2]})
    ),
    "fields that touch": np.zeros(1, np.dtype({"names": "ba", "formats": "ii", "offsets": [4, 0]})),
    "unset": msgspec.UNSET,
    "address": HttpUrl("https://a"),
    "other address": HttpUrl("https://b"),
    "class of boxes": Box,
    "class of boxes of ints": Box[int],
    "class of boxes of texts": Box[str],
}


def test_different_values_have_different_texts() -> None:
    texts = {name: canonicalize(value) for name, value in (DIFFERENT | LIBRARIES).items()}
    shared = [(a, b) for a, b in combinations(texts, 2) if texts[a] == texts[b]]
    assert shared == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"b": 1, "a": [{"d": 1, "c": 2}]},
        lambda: {1, "1", None, (2, "2")},
        lambda: Question("why?", ("\n",)),
        lambda: Client("https://a"),
        lambda: Model(text="a", tags={"x", "y", "z"}),
        lambda: np.arange(12).reshape(3, 4),
        lambda: np.array([["text", 1], [None, {"b": 1}]], dtype=object),
        lambda: dt.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        lambda: float("nan"),
    ],
)
def test_equal_values_have_the_same_text(make: Callable[[], Any]) -> None:
    assert canonicalize(make()) == canonicalize(make())


def test_the_order_of_dicts_and_sets_is_no_part_of_the_text() -> None:
    assert canonicalize({"a": 1, "b": 2}) == canonicalize({"b": 2, "a": 1})
    assert canonicalize({1: "x", "1": "y"}) == canonicalize({"1": "y", 1: "x"})
    assert canonicalize(set(range(100))) == canonicalize(set(range(99, -1, -1)))
    assert canonicalize(frozenset("abc")) == canonicalize(frozenset("cba"))


def test_the_memory_layout_of_an_array_is_no_part_of_the_text() -> None:
    array = np.arange(6).reshape(2, 3)
    assert canonicalize(array) == canonicalize(np.asfortranarray(array))


def test_fields_without_compare_are_no_part_of_the_text() -> None:
    assert canonicalize(Question("why?", trace=object())) == canonicalize(Question("why?"))


def test_cached_computed_fields_of_a_model_are_no_part_of_the_text() -> None:
    model = Computed(text="why?")
    before = canonicalize(model)
    assert model.length == 4
    assert canonicalize(model) == before


def test_equal_annotations_have_the_same_text() -> None:
    assert canonicalize(int | None) == canonicalize(Optional[int]) == canonicalize(Union[None, int])  # noqa: UP007, UP045


def test_attributes_of_a_derived_text_are_part_of_the_text() -> None:
    plain, annotated = Name("a"), Name("a")
    annotated.note = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert len({canonicalize(plain), canonicalize(annotated), canonicalize("a")}) == 3


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "value"),
        (Anonymous(), "value"),
        (Anonymous().method, "value"),
        (lambda: None, "value"),
        (threading.Lock(), "value"),
        (io.StringIO(), "value"),
        ((n for n in [1]), "value"),
        (memoryview(b"a"), "value"),
        (json, "value"),
        (Slotted("a"), "value"),
        (OrderedDict(a=Anonymous()), "value['a']"),
        (deque([1, Anonymous()]), "value[1]"),
        (defaultdict(lambda: 1), "value"),
        (Struct(Anonymous()), "value.text"),  # type: ignore[arg-type]
        (Envelope(other=[Anonymous()]), "value.other[0]"),
        ([{"client": Anonymous()}], "value[0]['client']"),
        ((1, Anonymous()), "value[1]"),
        ({"a": {1, Anonymous}, "b": Anonymous()}, "value['b']"),
        ({Anonymous(): 1}, "a key of value"),
        ([{Anonymous()}], "a member of value[0]"),
        (Holder(Anonymous()), "value.client"),
        (np.array([[1, Anonymous()]]), "value.flat[1]"),
        (np.array([({}, 1)], dtype=[("a", "O"), ("b", "i4")]), "value"),
        (np.ma.masked_array([1, 2], mask=[False, True]), "value"),
        (dt.datetime(2026, 1, 1, tzinfo=Zone()), "value"),
        (dt.time(1, tzinfo=Zone()), "value"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_value_without_identity_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(UnstableIdentityError, match="has no identity that outlives") as caught:
        canonicalize(value)
    assert caught.value.path == path
    assert str(caught.value).startswith(path)
    assert "pass plain data instead, " in str(caught.value)
    assert re.search(
        r"give the class a method __cache_key__\(\) that .* register_identity\(\w+, function\)|"
        r"define it at the top level of a module",
        str(caught.value),
    )
    assert " at 0x" not in str(caught.value)


def test_a_time_zone_from_a_file_is_refused() -> None:
    path = next((f"{root}/UTC" for root in zoneinfo.TZPATH if Path(root, "UTC").exists()), None)
    if path is None:
        pytest.skip("no time zone files on this system")
    with Path(path).open("rb") as file:
        zone = zoneinfo.ZoneInfo.from_file(file)
    for value in (zone, dt.datetime(2026, 1, 1, tzinfo=zone)):
        with pytest.raises(UnstableIdentityError):
            canonicalize(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    recursive: list[Any] = []
    recursive.append(recursive)
    with pytest.raises(UnstableIdentityError, match="messages contains itself, or is nested too"):
        canonicalize(recursive, path="messages")


def test_objects_at_one_address_never_share_a_text() -> None:
    for _ in range(100):  # each may have the address of the previous one
        with pytest.raises(UnstableIdentityError):
            canonicalize(Anonymous())


def test_a_dict_key_that_only_equals_a_text_has_a_text_of_its_own() -> None:
    plain = {"role": 1, "b": 2}
    before = canonicalize(plain)
    assert canonicalize({Name("role"): 1, "b": 2}) != before
    assert canonicalize(plain) == canonicalize({"b": 2, "role": 1}) == before


def test_the_memory_of_sorted_dict_keys_is_bounded() -> None:
    for number in range(3000):
        assert canonicalize({f"k{number}": 1, "a": {}}).endswith(
            f"s{len(str(number)) + 1}:k{number}i1;}}"
        )
    canonicalize({"x" * 1000: 1})
    orders = list(canonical._KEY_ORDERS)  # pyright: ignore[reportPrivateUsage]
    assert len(orders) <= 256
    assert max(len(key) for keys in orders for key in keys) <= 32


ALIGNED = np.dtype([("a", "u1"), ("b", "f8")], align=True)
PADDED = {
    "aligned": ALIGNED,
    "nested": np.dtype([("p", ALIGNED), ("q", "u1")]),
    "subarray": np.dtype([("p", ALIGNED, (2,)), ("q", "u1", (3,))]),
    "overlapping": np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]}),
    "long double": np.dtype(np.longdouble),
    "long complex": np.dtype(np.clongdouble),
    "record of long doubles": np.dtype([("x", np.longdouble, (2,))]),
}


@pytest.mark.parametrize("dtype", PADDED.values(), ids=PADDED)
def test_the_padding_of_an_array_has_no_effect(dtype: Any) -> None:
    """Padding bytes are whatever was in memory before."""
    arrays = [np.frombuffer(bytes([fill]) * 3 * dtype.itemsize, dtype).copy() for fill in (0, 9)]
    for array in arrays:
        array[...] = np.ones(3, dtype)
        texts = {canonicalize(array), canonicalize(np.ones(3, dtype))}
        assert len(texts) == 1
        assert canonicalize(array[0]) == canonicalize(np.ones(3, dtype)[0])
        assert canonicalize(np.zeros(3, dtype)) not in texts
        assert canonicalize(array[:2]) not in texts
