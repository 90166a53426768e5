"""Numpy arrays and scalars are restored with dtype, shape and order, without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aiocache_pe.codecs.numpy_arrays import NumpyArrays
from aiocache_pe.codecs.tagged_json import TaggedJson
from aiocache_pe.exceptions import CorruptRecordError
from tests.support.exactness import assert_round_trip, choose_codec, round_trip

RECORD = np.dtype([("x", "<f4"), ("name", "<U8"), ("at", "<M8[ns]"), ("grid", ">i2", (2, 3))])
ALIGNED = np.dtype([("a", "u1"), ("b", "f8")], align=True)
SPARSE = np.dtype({"names": ["a", "b"], "formats": ["u1", "f4"], "offsets": [2, 8], "itemsize": 16})
TITLED: Any = {"a": ("f8", 0, "title")}
NESTED = np.dtype([("inner", RECORD), ("flag", "?")])

ARRAYS = [
    np.arange(6, dtype="<f4").reshape(2, 3), np.arange(6, dtype=">i8"), np.array(3.5), np.array([]),
    np.empty((0, 3), "i2"), np.empty((3, 0), order="F"),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), np.arange(10)[::-2], np.arange(10)[::3],
    np.array([True, False]), np.array([1 + 2j, np.nan]), np.array([np.nan, np.inf, -0.0], "f2"),
    np.array(["a", "bcd", "\U0001f600"]), np.array([b"a", b"bc"]), np.array(["\ud800"]),
    np.array(["2025-01-01", "NaT"], "M8[D]"), np.array([1, 2], "m8[ns]"), np.array([1], "m8[25s]"),
    np.zeros(8, "u1").view("m8"), np.zeros(3, RECORD),
    np.zeros((2, 2), ALIGNED), np.zeros(2, SPARSE),
    np.zeros(2, NESTED), np.array(b"abc", "V3"), np.ones((2, 2), np.longdouble),
    np.array([1, 2], np.longlong), np.array([1], np.ulonglong), np.arange(5, dtype=">q"),
]  # fmt: skip

SCALARS = [
    np.float64(1.5), np.float32("nan"), np.float16(0.1), np.int64(-1), np.int8(1),
    np.uint64(2**64 - 1),
    np.bool_(True), np.complex128(1 - 0j), np.str_("abc"), np.bytes_(b"abc"),
    np.str_("ends in zero\0"), np.bytes_(b"zero\0"),
    np.str_(""), np.bytes_(b""), np.str_("\ud800"), np.longlong(1),
    np.datetime64("2025-01-01"), np.datetime64("NaT", "s"), np.timedelta64(5, "s"),
    np.zeros(1, RECORD)[0], np.void(b"abc"), np.longdouble(1) / 3,
]  # fmt: skip


@pytest.mark.parametrize(
    "value", ARRAYS, ids=lambda a: f"{a.dtype.kind}{a.dtype.itemsize}-{a.shape}"
)
def test_an_array_is_restored(value: Any) -> None:
    assert_round_trip(value)
    assert choose_codec(value) == "numpy" or value.dtype.kind == "U"


@pytest.mark.parametrize(
    "value", ARRAYS, ids=lambda a: f"{a.dtype.kind}{a.dtype.itemsize}-{a.shape}"
)
def test_an_array_within_a_value_is_restored(value: Any) -> None:
    assert_round_trip({"vectors": [(value, 1)]})
    assert choose_codec([value]) == "tagged"


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: type(value).__name__)
def test_a_scalar_is_restored(value: Any) -> None:
    assert_round_trip(value)
    assert_round_trip({"score": [value]})
    assert choose_codec(value) == "tagged"


def test_each_read_returns_a_new_writable_array() -> None:
    value = np.arange(3.0)
    for wrapped in (value, [value]):
        codec = "numpy" if wrapped is value else "tagged"
        serializer = NumpyArrays() if wrapped is value else TaggedJson()
        payload = serializer.encode(wrapped)
        assert payload is not None, codec
        first, second = (np.asarray(serializer.decode(payload)).ravel() for _ in range(2))
        first[0] = 99
        assert second[0] == 0


class Matrix(np.ndarray[Any, Any]):
    pass


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]), np.array([None, 1]), np.zeros(1, [("a", "O")]), np.ma.array([1]),
        np.zeros(2).view(Matrix), np.zeros(2, RECORD).view(np.recarray),
        np.zeros(2, np.dtype("f8", metadata={"unit": "m"})), np.zeros(2, TITLED),
        *([np.array(["a"], np.dtypes.StringDType())] if hasattr(np.dtypes, "StringDType") else []),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}",
)  # fmt: skip
def test_arrays_that_raw_bytes_cannot_hold_are_refused(value: Any) -> None:
    assert NumpyArrays().encode(value) is None
    assert TaggedJson().encode([value]) is None


def test_arrays_that_raw_bytes_cannot_hold_are_pickled_with_a_secret() -> None:
    value = np.zeros(2, RECORD).view(np.recarray)
    restored = round_trip(value, secret=b"secret")
    assert type(restored) is np.recarray
    assert restored.tobytes() == value.tobytes()


FIELD = (
    b'{"dtype":{"names":["a"],"formats":["%b"],"offsets":[%d],"itemsize":8,"aligned":false},'
    b'"shape":[1]}\n12345678'
)
DEEP = b'{"dtype":%b"<f4"%b,"shape":[1]}\n1234' % (b'{"base":' * 100, b',"shape":[1]}' * 100)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\n", b"{}\n", b'{"dtype":"O","shape":[1]}\n12345678',
        b'{"dtype":"|O8","shape":[1]}\n12345678',
        b'{"dtype":"<f8","shape":[2]}\n12345678', b'{"dtype":"<f8","shape":[-1]}\n12345678',
        b'{"dtype":"<f8","shape":[1152921504606846976]}\n', b'{"dtype":"<f8","shape":[0,-1]}\n',
        b'{"dtype":"<f8","shape":[0,9223372036854775807,9223372036854775807]}\n',
        b'{"dtype":"V9999999999","shape":[0]}\n', b'{"dtype":"<U0","shape":[1]}\n',
        b'{"dtype":"<f8","shape":[1],"order":"K"}\n12345678',
        b'{"dtype":"(2,)f4","shape":[1]}\n12345678',
        b'{"dtype":{"base":"<f4","shape":[2]},"shape":[1]}\n12345678',
        b'{"dtype":5,"shape":[1]}\n1',
        FIELD % (b"|O8", 0), FIELD % (b"<f8", 4), DEEP,
    ],
    ids=lambda payload: payload[:60].decode(),
)  # fmt: skip
def test_hostile_headers_are_refused(payload: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        NumpyArrays().decode(payload)
