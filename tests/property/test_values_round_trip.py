"""Whatever is stored comes back the same, whatever it is made of."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, Flag
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel

from aiocache_pe.codecs.exact_json import PlainJson
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.codecs.tagged_json import TaggedJson
from aiocache_pe.codecs.types import register
from aiocache_pe.exceptions import CorruptRecordError, SecretRequiredError
from tests.unit.codecs.exactly import KEY, SECRET, fingerprint


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


def unwritten(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy under a short name: hypothesis writes them out, and that at length."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return drawn()


# Any code point, lone surrogates too, and text that looks like a tag.
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(["$tuple", "$type", "$"])
numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.booleans()
moments = (
    st.datetimes(timezones=st.none() | st.timezones() | st.just(None))
    | st.times(timezones=st.none() | st.timezones())
    | st.dates()
    | st.timedeltas()
)
hashable_scalars = unwritten(
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
    | st.builds(PureWindowsPath, st.text("ab/. "))
)
arrays = hnp.arrays(
    hnp.scalar_dtypes() | hnp.array_dtypes(hnp.scalar_dtypes()),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
).filter(lambda array: not any(len(field) > 2 for field in (array.dtype.fields or {}).values()))
numpy_scalars = st.builds(np.float32, st.floats(width=32)) | st.builds(np.int64, st.integers(0, 9))
scalars = unwritten(
    hashable_scalars
    | st.decimals(allow_nan=True)
    | st.builds(bytearray, st.binary())
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
    | arrays
    | numpy_scalars
)
hashables = unwritten(
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
    """Everything that can hold something."""
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
    )


values = st.recursive(scalars, containers, max_leaves=25)
plain_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip
codecs = [
    serializer + compression + signature
    for serializer, compression, signature in itertools.product(
        ("json", "bytes", "numpy", "tagged", "pickle"), ("", "+gzip", "+zstd"), ("", "+hmac")
    )
]


@given(values, st.sampled_from([None, "gzip", "zstd"]))
def test_a_value_comes_back_the_same_without_pickle(value: Any, compression: str | None) -> None:
    before = fingerprint(value)
    codec, payload = Pipeline(compression=compression).encode(KEY, value)
    assert fingerprint(value) == before
    assert fingerprint(Pipeline().decode(KEY, codec, payload)) == before


@given(values)
def test_equal_bytes_are_written_each_time(value: Any) -> None:
    writer = Pipeline(secret=SECRET)
    assert writer.encode(KEY, value) == writer.encode(KEY, value)


@given(plain_values)
def test_what_json_holds_exactly_is_plain(value: Any) -> None:
    codec, payload = Pipeline().encode(KEY, value)
    assert codec == "json"
    assert fingerprint(Pipeline().decode(KEY, codec, payload)) == fingerprint(value)


@given(values)
def test_plain_json_never_changes_a_value(value: Any) -> None:
    payload = PlainJson().encode(value)
    if payload is not None:
        assert fingerprint(PlainJson().decode(payload)) == fingerprint(value)


@given(values)
def test_what_counts_as_immutable_can_be_hashed(value: Any) -> None:
    if is_immutable(value) and "sNaN" not in repr(value):  # the one number without a hash
        hash(value)


@given(st.sampled_from(codecs), st.binary(max_size=200), st.sampled_from([None, SECRET]))
def test_any_bytes_are_a_value_or_refused(codec: str, payload: bytes, secret: Any) -> None:
    try:
        Pipeline(secret=secret, max_bytes=100_000).decode(KEY, codec, payload)
    except CorruptRecordError:
        pass
    except SecretRequiredError:
        assert secret is None


TAGS = sorted(
    "$str $int $float $dict $tuple $set $frozenset $bytes $bytearray $complex $range $decimal "
    "$uuid $ordereddict $counter $defaultdict $deque $msgspec $datetime $date $time $timedelta "
    "$timezone $path $fraction $ip $url $ndarray $numpy $type".split()
)
json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.builds(lambda tag, node: {tag: node}, st.sampled_from(TAGS), inner)
    ),
)


@given(json_data)
def test_any_tags_are_a_value_or_refused(data: Any) -> None:
    with suppress(CorruptRecordError):
        TaggedJson().decode(msgspec.json.encode(data))
