"""Identity: the same text for the same value, and for no other."""

from __future__ import annotations

import datetime as dt
import io
import json
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
from aiocache_pe.keys import canonical as identity_module
from aiocache_pe.keys.canonical import canonical
from tests.support.calls import DIFFERENT, Client, Name, Question


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    text: str
    tags: set[str] = set()


class Struct(msgspec.Struct):
    text: str
    number: int = 0


class Plain:
    """Equal only to itself."""

    def method(self) -> None: ...


class Zone(dt.tzinfo):
    """A time zone that says nothing of itself."""

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, moment: dt.datetime | None) -> None:
        return None

    def tzname(self, moment: dt.datetime | None) -> str:
        return "zone"


class Hidden(str):
    """Equal to a text, and more than that in a place that is its own."""

    __slots__ = ("secret",)


class Open(BaseModel):
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
    "nothing set": msgspec.UNSET,
    "address": HttpUrl("https://a"),
    "other address": HttpUrl("https://b"),
    "class of boxes": Box,
    "class of boxes of ints": Box[int],
    "class of boxes of texts": Box[str],
}


def test_different_values_have_different_identities() -> None:
    texts = {name: canonical(value) for name, value in (DIFFERENT | LIBRARIES).items()}
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
def test_equal_values_made_anew_have_the_same_identity(make: Callable[[], Any]) -> None:
    assert canonical(make()) == canonical(make())


def test_the_order_of_dicts_and_sets_does_not_count() -> None:
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    assert canonical({1: "x", "1": "y"}) == canonical({"1": "y", 1: "x"})
    assert canonical(set(range(100))) == canonical(set(range(99, -1, -1)))
    assert canonical(frozenset("abc")) == canonical(frozenset("cba"))


def test_the_layout_of_an_array_in_memory_does_not_count() -> None:
    array = np.arange(6).reshape(2, 3)
    assert canonical(array) == canonical(np.asfortranarray(array))


def test_what_does_not_count_for_equality_does_not_count_for_a_key() -> None:
    assert canonical(Question("why?", trace=object())) == canonical(Question("why?"))


def test_what_a_model_computed_of_its_fields_does_not_count() -> None:
    model = Computed(text="why?")
    before = canonical(model)
    assert model.length == 4
    assert canonical(model) == before


def test_annotations_that_mean_the_same_have_the_same_identity() -> None:
    assert canonical(int | None) == canonical(Optional[int]) == canonical(Union[None, int])  # noqa: UP007, UP045


def test_what_hangs_on_a_text_counts() -> None:
    plain, marked = Name("a"), Name("a")
    marked.note = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert len({canonical(plain), canonical(marked), canonical("a")}) == 3


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (object(), "value"),
        (Plain(), "value"),
        (Plain().method, "value"),
        (lambda: None, "value"),
        (threading.Lock(), "value"),
        (io.StringIO(), "value"),
        ((n for n in [1]), "value"),
        (memoryview(b"a"), "value"),
        (json, "value"),
        (Hidden("a"), "value"),
        (OrderedDict(a=Plain()), "value['a']"),
        (deque([1, Plain()]), "value[1]"),
        (defaultdict(lambda: 1), "value"),
        (Struct(Plain()), "value.text"),  # type: ignore[arg-type]
        (Open(other=[Plain()]), "value.other[0]"),
        ([{"client": Plain()}], "value[0]['client']"),
        ((1, Plain()), "value[1]"),
        ({"a": {1, Plain}, "b": Plain()}, "value['b']"),
        ({Plain(): 1}, "a key of value"),
        ([{Plain()}], "a member of value[0]"),
        (Holder(Plain()), "value.client"),
        (np.array([[1, Plain()]]), "value.flat[1]"),
        (np.array([({}, 1)], dtype=[("a", "O"), ("b", "i4")]), "value"),
        (np.ma.masked_array([1, 2], mask=[False, True]), "value"),
        (dt.datetime(2026, 1, 1, tzinfo=Zone()), "value"),
        (dt.time(1, tzinfo=Zone()), "value"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_has_no_identity_is_refused_by_its_place(value: Any, where: str) -> None:
    with pytest.raises(UnstableIdentityError, match="has no identity that outlives") as caught:
        canonical(value)
    assert caught.value.path == where
    assert str(caught.value).startswith(where)
    assert "pass plain data instead, or give the class a method __cache_key__()" in str(
        caught.value
    )
    assert " at 0x" not in str(caught.value)


def test_a_zone_from_a_file_has_no_name_and_is_refused() -> None:
    path = next((f"{root}/UTC" for root in zoneinfo.TZPATH if Path(root, "UTC").exists()), None)
    if path is None:
        pytest.skip("no time zone files on this system")
    with Path(path).open("rb") as file:
        zone = zoneinfo.ZoneInfo.from_file(file)
    for value in (zone, dt.datetime(2026, 1, 1, tzinfo=zone)):
        with pytest.raises(UnstableIdentityError):
            canonical(value)


def test_what_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnstableIdentityError, match="messages contains itself, or is nested too"):
        canonical(endless, path="messages")


def test_objects_at_one_address_never_meet() -> None:
    for _ in range(100):  # each takes the place in memory of the one before
        with pytest.raises(UnstableIdentityError):
            canonical(Plain())


def test_a_key_of_a_dict_that_only_equals_a_text_is_told_apart_whichever_came_first() -> None:
    plain = {"role": 1, "b": 2}
    before = canonical(plain)
    assert canonical({Name("role"): 1, "b": 2}) != before
    assert canonical(plain) == canonical({"b": 2, "role": 1}) == before


def test_dicts_of_ever_other_keys_do_not_fill_the_memory() -> None:
    for number in range(3000):
        assert canonical({f"k{number}": 1, "a": {}}).endswith(
            f"s{len(str(number)) + 1}:k{number}i1;}}"
        )
    canonical({"x" * 1000: 1})
    remembered = list(identity_module._ORDERS)  # pyright: ignore[reportPrivateUsage]
    assert len(remembered) <= 256
    assert max(len(key) for keys in remembered for key in keys) <= 32
