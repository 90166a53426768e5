"""Bounds on decoded JSON: an estimate is never below the memory, and text is not objects."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiocache_pe.codecs.decoded_size import DecodedSizeMeter, is_within
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.codecs.plain_json import PIECE_BYTES, parse_large_json
from aiocache_pe.exceptions import CorruptRecordError, SecretRequiredError
from tests.support.exactness import KEY, SECRET
from tests.support.hostile import BOMBS

MIB = 1024 * 1024
ROW = {"id": 17, "text": "words", "scores": [0.5, 1.5], "more": {"tags": ["a"], "none": None}}


def estimate(text: bytes, *, exact: bool = False, window: int = 1 << 20) -> int:
    meter = DecodedSizeMeter(1 << 60, exact=exact)
    for start in range(0, len(text), window):
        meter.add(text[start : start + window])
    return meter._size


@pytest.mark.parametrize(
    "item",
    [[], {}, {"a": 1}, "", "ab", "a\N{PILE OF POO}", 0, 1000, 0.5, [1], [1, 2], [[[]]], ROW, None],
    ids=repr,
)
def test_the_estimate_is_not_below_the_memory(item: Any) -> None:
    text = msgspec.json.encode([item] * 20_000)
    tracemalloc.start()
    try:
        value = msgspec.json.decode(text)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(value) == 20_000
    assert used <= estimate(text) <= 84 * len(text)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 1000])
def test_brackets_in_text_are_not_objects(window: int) -> None:
    text = json.dumps(['[{,"\\', "\\\\", '\\"[[[', {"{{,[": ",,,"}]).encode()
    plain = json.dumps(["xxxxx", "xx", "xxxxx", {"xxxx": "xxx"}]).encode()
    assert estimate(text, exact=True, window=window) - estimate(plain, exact=True) == 4 * (
        len(text) - len(plain)
    )


def test_large_text_with_brackets_is_within_the_bounds() -> None:
    text = json.dumps('{"a":[1,{}]},' * (2 * MIB)).encode()
    assert is_within(text, 5 * len(text))
    assert not is_within(text.replace(b"\\", b"")[1:-1], 5 * len(text))


@settings(max_examples=10)
@given(
    st.recursive(
        st.none() | st.integers(-(10**6), 10**6) | st.text(max_size=8) | st.floats(0, 1),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=12,
    )
)
def test_json_in_pieces_is_the_same_value(item: Any) -> None:
    once = msgspec.json.encode(item)
    numbers = b"[%b]" % b",".join([b"12345.5"] * 60_000)
    for text in (
        b"[%b]" % b",".join([once] * (PIECE_BYTES // len(once) + 7)),
        b'{"a":%b,"b":[%b,%b,1]}' % (numbers, once, numbers),
        b" [ %b , %b , %b ] " % (numbers, once, numbers),
    ):
        assert parse_large_json(text) == msgspec.json.decode(text)


@pytest.mark.parametrize("end", [b",]", b",,1]", b"", b"]]", b"],1]", b" 1]", b",1}", b",x]"])
def test_damaged_json_in_pieces_is_refused(end: bytes) -> None:
    for item in (b"1234567", b"[]", b'"text"'):
        for length in range(PIECE_BYTES - 2, PIECE_BYTES + 3):
            items = b"[" + b",".join([item] * (length // (len(item) + 1)))
            with pytest.raises(CorruptRecordError):
                parse_large_json(items + b" " * (length - len(items)) + end)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_takes_little_memory(name: str) -> None:
    codec, payload = BOMBS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordError):
            Pipeline().decode(KEY, codec, payload)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_large_rows_are_stored_and_read(compression: str | None) -> None:
    rows = [ROW | {"id": n, "text": f"row {n}"} for n in range(20_000)]
    codec, payload = Pipeline(compression=compression).encode(KEY, rows)
    assert Pipeline().decode(KEY, codec, payload) == rows
    with pytest.raises(CorruptRecordError, match=r"payload has|exceeds"):
        Pipeline().decode_small(KEY, codec, payload)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_value_beyond_the_bounds_is_signed(compression: str | None) -> None:
    value: list[Any] = [{} for _ in range(400_000)]
    with pytest.raises(SecretRequiredError, match="in memory"):
        Pipeline(compression=compression).encode(KEY, value)
    codec, payload = Pipeline(secret=SECRET, compression=compression).encode(KEY, value)
    assert codec == ("json+hmac" if compression is None else "json+gzip+hmac")
    assert Pipeline(secret=SECRET).decode(KEY, codec, payload) == value
    with pytest.raises(CorruptRecordError):
        Pipeline(secret=b"another").decode(KEY, codec, payload)
    with pytest.raises(SecretRequiredError):
        Pipeline().decode(KEY, codec, payload)


def test_repetitive_rows_are_stored_without_compression_if_no_secret_is_known() -> None:
    rows = [ROW] * 60_000
    codec, payload = Pipeline(compression="gzip").encode(KEY, rows)
    assert codec == "json"
    assert Pipeline().decode(KEY, codec, payload) == rows
    signed, small = Pipeline(compression="gzip", secret=SECRET).encode(KEY, rows)
    assert (signed, len(small) < len(payload) // 20) == ("json+gzip+hmac", True)
