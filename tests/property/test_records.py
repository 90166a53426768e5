"""Records, names and durations, whatever they are made of."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe.backends.file.layout import Layout, display_key, lock_slot
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.store_keys import namespace_prefix, quote, unquote
from aiocache_pe.record import Head, Savings, pack_head, unpack
from aiocache_pe.ttl import ttl_seconds

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
HEADS = st.builds(
    Head,
    v=st.just(1),
    key=ANY_TEXT,
    codec=st.sampled_from(["json", "bytes", "pickle+zstd+hmac"]),
    created_at=FINITE,
    size=st.just(0),
    expires_at=st.none() | FINITE,
    tags=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
    cost=FINITE,
    saves=st.none() | st.builds(Savings, st.integers(0, 2**40), st.integers(0, 2**40), FINITE),
)


def sized(head: Head, payload: bytes) -> Head:
    return Head(
        head.v,
        head.key,
        head.codec,
        head.created_at,
        len(payload),
        head.expires_at,
        head.tags,
        head.cost,
        saves=head.saves,
    )


@given(HEADS, st.binary())
def test_a_record_comes_back(head: Head, payload: bytes) -> None:
    written = sized(head, payload)
    read = unpack(pack_head(written, payload) + payload, key=written.key)
    assert (read.head, read.payload) == (written, payload)


@given(HEADS, st.binary(), st.data())
def test_a_flipped_bit_is_always_noticed(head: Head, payload: bytes, data: st.DataObject) -> None:
    written = sized(head, payload)
    blob = bytearray(pack_head(written, payload) + payload)
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptRecordError):
        unpack(bytes(blob), key=written.key)


@given(st.binary())
def test_any_bytes_are_a_record_or_refused(blob: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        unpack(blob)


@given(ANY_TEXT, ANY_TEXT, st.booleans())
def test_quoting_is_exact_and_keeps_texts_apart(a: str, b: str, upper: bool) -> None:
    assert unquote(quote(a, upper=upper)) == a
    assert (quote(a, upper=upper) == quote(b, upper=upper)) is (a == b)
    if not upper:
        assert (quote(a).lower() == quote(b).lower()) is (a == b)


@given(ANY_TEXT, ANY_TEXT.filter(lambda text: 0 < len(text) <= 200))
def test_every_key_has_a_file_inside_its_area(key: str, namespace: str) -> None:
    layout = Layout("/cache")
    prefix = namespace_prefix(namespace)
    path = layout.path(prefix + key)
    folder = layout.area(prefix)
    assert path.startswith(f"{folder}/")
    assert folder.startswith("/cache/")
    assert folder.count("/") == 2
    digits, name = path.removeprefix(f"{folder}/").split("/")
    assert name.startswith(digits)
    assert max(len(name), len(folder) - 7) <= 255
    assert 0 <= lock_slot(path) < 2**32
    assert display_key(name) in (key, None)


@given(st.text())
def test_a_duration_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        seconds = ttl_seconds(text)
    except ValueError:
        return
    assert seconds is None or seconds > 0


@given(st.integers(0, 9), st.integers(0, 50), st.integers(1, 100))
def test_a_duration_adds_up(hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert ttl_seconds(f"{hours}h{minutes}m{seconds}s") == expected.total_seconds()
    assert ttl_seconds(expected) == expected.total_seconds()
