"""Strategies of hypothesis for values of every kind that a function may return."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from enum import Enum, Flag, IntEnum
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, TypedDict

import msgspec
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel, HttpUrl

from aiocache_pe.codecs.classes.registry import register, register_annotation


@register
@dataclass(frozen=True)
class Data:
    x: Any
    y: Any = None


@register
class Pair(NamedTuple):
    left: Any
    right: Any


@register
class Struct(msgspec.Struct, frozen=True):
    x: Any


@register
class Model(BaseModel):
    model_config = {"extra": "allow"}
    x: Any = None


@register
class Colour(Enum):
    RED = (1, 2)
    BLUE = "blue"


@register
class Access(Flag):
    READ = 1
    WRITE = 2
    EXECUTE = 4


class Level(IntEnum):  # not registered: only pickle can store it
    LOW = 1


class Reply(TypedDict):
    text: Any
    colour: Colour


register_annotation(Reply)


class Text(str):
    """A subclass of str, which must not be decoded as a plain str."""


class Year(int): ...


class Table(dict[Any, Any]): ...


def shorten_repr(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return an equal strategy with a short repr; hypothesis prints strategies in full."""

    @st.composite
    def draw_value(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return draw_value()


def is_read_as_written(path: PureWindowsPath) -> bool:
    """Return whether the text of a path gives an equal path; before 3.12 not for ``//a/``."""
    return PureWindowsPath(str(path)) == path


# Any code point, lone surrogates too, and text that looks like a tag.
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(["$tuple", "$type", "$"])
numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.booleans()
moments = (
    st.datetimes(timezones=st.none() | st.timezones() | st.just(None))
    | st.times(timezones=st.none() | st.timezones())
    | st.dates()
    | st.timedeltas()
)
hashable_scalars = shorten_repr(
    st.none()
    | texts
    | numbers
    | st.binary()
    | st.complex_numbers()
    | moments
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.sampled_from([*Colour, *Access, Access.READ | Access.WRITE, Access(0), msgspec.UNSET])
    | st.builds(PurePosixPath, st.text("ab/. é"))
    | st.builds(PureWindowsPath, st.text("ab/. ")).filter(is_read_as_written)
    | st.ip_addresses()
)
arrays = hnp.arrays(
    hnp.scalar_dtypes() | hnp.array_dtypes(hnp.scalar_dtypes()),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
).filter(lambda array: not any(len(field) > 2 for field in (array.dtype.fields or {}).values()))
views = (
    arrays.map(lambda array: array.T)
    | st.builds(lambda n, step: np.arange(n)[::step], st.integers(0, 9), st.sampled_from([2, -1]))
    | st.builds(lambda n: np.broadcast_to(np.float32(n), (2, 3)), st.integers(0, 9))
)
numpy_scalars = (
    st.builds(np.float32, st.floats(width=32))
    | st.builds(np.int64, st.integers(0, 9))
    | st.builds(np.str_, st.text(max_size=4))
    | st.builds(np.bytes_, st.binary(max_size=4))
    | hnp.from_dtype(np.dtype("M8[ns]"))
    | hnp.from_dtype(np.dtype("m8[s]"))
)
scalars = shorten_repr(
    hashable_scalars
    | st.decimals(allow_nan=True)
    | st.builds(bytearray, st.binary())
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
    | arrays
    | views
    | numpy_scalars
    | st.sampled_from([HttpUrl("https://example.org/a?b#c"), HttpUrl("http://127.0.0.1:80")])
)
hashables = shorten_repr(
    st.recursive(
        hashable_scalars,
        lambda inner: (
            st.builds(tuple, st.lists(inner, max_size=4))
            | st.frozensets(inner, max_size=4)
            | st.builds(Data, inner, inner)
            | st.builds(Pair, inner, inner)
        ),
        max_leaves=8,
    )
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for containers of every kind with drawn items."""
    pairs = st.dictionaries(hashables, inner, max_size=4)
    items = st.lists(inner, max_size=4)
    return (
        items
        | st.builds(tuple, items)
        | st.sets(hashables, max_size=4)
        | st.frozensets(hashables, max_size=4)
        | pairs
        | st.dictionaries(texts, inner, max_size=4)
        | st.builds(OrderedDict, pairs)
        | st.builds(defaultdict, st.sampled_from([list, dict, None]), pairs)
        | st.builds(Counter, st.lists(hashables, max_size=4))
        | st.builds(deque, items, st.none() | st.integers(0, 5))
        | st.builds(Data, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Struct, inner)
        | st.builds(Model, x=inner, more=inner)
        | st.builds(Model)
        | st.builds(dict, text=inner, colour=st.sampled_from(Colour))  # a Reply
        | st.builds(lambda tag, node: {tag: node}, st.sampled_from(TAGS), inner)
    )


TAGS = sorted(
    "$str $int $float $dict $tuple $set $frozenset $bytes $bytearray $complex $range $decimal "
    "$uuid $ordereddict $counter $defaultdict $deque $msgspec $datetime $date $time $timedelta "
    "$timezone $path $fraction $ip $url $ndarray $numpy $type".split()
)
values = st.recursive(scalars, containers, max_leaves=25)
"""Values that are stored without pickle."""

pickled = (
    st.builds(Text, texts)
    | st.builds(Year, numbers.filter(lambda number: type(number) is int))
    | st.builds(Table, st.dictionaries(texts, numbers, max_size=3))
    | st.sampled_from([Level.LOW, int, NotImplemented, ..., PureWindowsPath("//a/")])
)
any_values = values | st.recursive(scalars | pickled, containers, max_leaves=8)
"""Values that may contain parts that only pickle can store."""
