"""Records: a read record equals the written one, or it is refused."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

import pytest

from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.record import Head, pack_head, unpack, unpack_head
from tests.support.hostile import HEADS
from tests.support.hostile import make_record as make_hostile_record

PAYLOAD = b'{"answer":42}'


def make_head(**changes: Any) -> Head:
    """Return a head with some fields changed."""
    fields: dict[str, Any] = {
        "v": 1,
        "key": "default:k",
        "codec": "json",
        "created_at": 1000.5,
        "size": len(PAYLOAD),
    }
    return Head(**fields | changes)


def make_record_of(line: bytes, payload: bytes = PAYLOAD) -> bytes:
    """Return a record with any head and a valid checksum."""
    return line + b',"crc32":"%08x"}\n' % crc32(payload, crc32(line)) + payload


@pytest.mark.parametrize(
    "written",
    [
        make_head(),
        make_head(expires_at=2000.25, tags={"a": "1", "b": "2"}, cost=1.5),
        make_head(key="default:\N{PILE OF POO}\n\0"),
        make_head(key="default:\ud800", tags={"\udfff": "1"}),
    ],
)
def test_a_read_record_equals_the_written_one(written: Head) -> None:
    blob = pack_head(written, PAYLOAD) + PAYLOAD
    record = unpack(blob, key=written.key)
    assert (record.head, record.payload, record.stamp) == (written, PAYLOAD, None)
    assert unpack_head(pack_head(written, PAYLOAD)) == written


@pytest.mark.parametrize("name", HEADS)
def test_an_unreadable_head_is_a_corrupt_record(name: str) -> None:
    blob = make_hostile_record("default:k", extra=HEADS[name])
    with pytest.raises(CorruptRecordError):
        unpack(blob, key="default:k")
    with pytest.raises(CorruptRecordError):
        unpack_head(blob.partition(b"\n")[0])


def test_the_head_is_one_line_of_json_with_the_checksum_last() -> None:
    line = pack_head(make_head(tags={"t": "1"}), PAYLOAD)
    assert line.count(b"\n") == 1
    fields = json.loads(line)
    assert list(fields)[-1] == "crc32"
    assert fields["key"] == "default:k"
    assert "expires_at" not in fields


def test_a_record_without_stale_until_is_read() -> None:
    written = (
        b'{"v":1,"key":"default:k","codec":"json","created_at":0.0,"size":1,"expires_at":9.5,'
        b'"tags":{"t":"1"},"cost":0.5,"crc32":"b871e641"}\n7'
    )
    found = unpack(written, key="default:k").head
    assert (found.expires_at, found.tags, found.cost) == (9.5, {"t": "1"}, 0.5)
    assert found.stale_until is None
    assert found.removable_at == 9.5


def test_a_record_is_removable_when_it_may_not_even_be_served_stale() -> None:
    assert make_head().removable_at is None
    assert make_head(expires_at=5.0, stale_until=9.0).removable_at == 9.0
    assert make_head(expires_at=5.0, stale_until=1.0).removable_at == 5.0
    stale = make_head(expires_at=5.0, stale_until=9.0)
    assert stale.is_expired(6.0)
    assert not stale.is_removable(6.0, stale=True)
    assert stale.is_removable(6.0, stale=False)
    assert stale.is_removable(9.0, stale=True)
    assert not make_head().is_removable(9.0, stale=True)


@pytest.mark.parametrize("at", range(0, len(pack_head(make_head(), PAYLOAD) + PAYLOAD), 3))
def test_an_altered_byte_is_detected(at: int) -> None:
    blob = bytearray(pack_head(make_head(), PAYLOAD) + PAYLOAD)
    blob[at] ^= 0x01
    with pytest.raises(CorruptRecordError):
        unpack(bytes(blob), key="default:k")


@pytest.mark.parametrize("length", range(0, len(pack_head(make_head(), PAYLOAD) + PAYLOAD), 5))
def test_a_cut_record_is_detected(length: int) -> None:
    with pytest.raises(CorruptRecordError):
        unpack((pack_head(make_head(), PAYLOAD) + PAYLOAD)[:length])


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "record has no head"),
        (b"\n", "record has no head"),
        (b"hello\nworld", "record has no head"),
        (pack_head(make_head(), PAYLOAD) + PAYLOAD + b"x", "payload must have 13 bytes; got 14"),
        (
            pack_head(make_head(), PAYLOAD)[:-11] + b'zzzzzzzz"}\n' + PAYLOAD,
            "record checksum does not match",
        ),
        (make_record_of(b'{"v":1'), "record head is not readable"),
        (make_record_of(b'{"v":"one"'), "record head is not readable"),
        (make_record_of(b"{nonsense"), "record head is not readable"),
        (pack_head(make_head(v=0), PAYLOAD) + PAYLOAD, "record version must be 1; got 0"),
        (
            pack_head(make_head(key="default:x"), PAYLOAD) + PAYLOAD,
            "record has another key: 'default:x'",
        ),
        (pack_head(make_head(), b"other payload") + PAYLOAD, "record checksum does not match"),
    ],
)
def test_an_error_names_the_fault_and_the_key(blob: bytes, message: str) -> None:
    with pytest.raises(CorruptRecordError, match=message) as caught:
        unpack(blob, key="default:k")
    assert caught.value.key == "default:k"
    assert "(key 'default:k')" in str(caught.value)


def test_without_an_expected_key_any_key_is_accepted() -> None:
    blob = pack_head(make_head(key="other:x"), PAYLOAD) + PAYLOAD
    assert unpack(blob).head.key == "other:x"
    with pytest.raises(CorruptRecordError) as caught:
        unpack(blob[:-1])
    assert "key" not in str(caught.value)


def test_an_entry_expires_exactly_at_expires_at() -> None:
    assert not make_head(expires_at=10.0).is_expired(9.999)
    assert make_head(expires_at=10.0).is_expired(10.0)
    assert not make_head().is_expired(1e18)
