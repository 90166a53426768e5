"""Records, quoted names and durations of random content."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocache_pe.backends.file.layout import Layout, get_lock_slot, parse_key
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.store_keys import make_namespace_prefix, quote, unquote
from aiocache_pe.record import Head, Savings, pack_head, unpack
from aiocache_pe.ttl import parse_ttl

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


def set_size(head: Head, payload: bytes) -> Head:
    """Return a head with the size of a payload."""
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
def test_a_read_record_equals_the_written_one(head: Head, payload: bytes) -> None:
    written = set_size(head, payload)
    read = unpack(pack_head(written, payload) + payload, key=written.key)
    assert (read.head, read.payload) == (written, payload)


@given(HEADS, st.binary(), st.data())
def test_a_flipped_bit_is_always_detected(head: Head, payload: bytes, data: st.DataObject) -> None:
    written = set_size(head, payload)
    blob = bytearray(pack_head(written, payload) + payload)
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptRecordError):
        unpack(bytes(blob), key=written.key)


@given(st.binary())
def test_random_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(CorruptRecordError):
        unpack(blob)


@given(ANY_TEXT, ANY_TEXT, st.booleans())
def test_quoting_is_reversible_and_injective(a: str, b: str, upper: bool) -> None:
    assert unquote(quote(a, upper=upper)) == a
    assert (quote(a, upper=upper) == quote(b, upper=upper)) is (a == b)
    if not upper:
        assert (quote(a).lower() == quote(b).lower()) is (a == b)


@given(ANY_TEXT, ANY_TEXT.filter(lambda text: 0 < len(text) <= 200))
def test_every_key_has_a_file_inside_the_directory_of_its_namespace(
    key: str, namespace: str
) -> None:
    layout = Layout("/cache")
    prefix = make_namespace_prefix(namespace)
    path = layout.get_path(prefix + key)
    folder = layout.get_area(prefix)
    assert path.startswith(f"{folder}/")
    assert folder.startswith("/cache/")
    assert folder.count("/") == 2
    digits, name = path.removeprefix(f"{folder}/").split("/")
    assert name.startswith(digits)
    assert max(len(name), len(folder) - 7) <= 255
    assert 0 <= get_lock_slot(path) < 2**32
    assert parse_key(name) in (key, None)


@given(st.text())
def test_a_text_is_a_positive_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_ttl(text)
    except ValueError:
        return
    assert seconds is None or seconds > 0


@given(st.integers(0, 9), st.integers(0, 50), st.integers(1, 100))
def test_the_parts_of_a_duration_are_added(hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert parse_ttl(f"{hours}h{minutes}m{seconds}s") == expected.total_seconds()
    assert parse_ttl(expected) == expected.total_seconds()
