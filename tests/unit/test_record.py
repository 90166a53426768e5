"""The record: what is read is what was written, or it is refused."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

import pytest

from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.record import Head, pack_head, unpack, unpack_head

PAYLOAD = b'{"answer":42}'


def head(**changes: Any) -> Head:
    fields: dict[str, Any] = {
        "v": 1,
        "key": "default:k",
        "codec": "json",
        "created_at": 1000.5,
        "size": len(PAYLOAD),
    }
    return Head(**fields | changes)


def forged(line: bytes, payload: bytes = PAYLOAD) -> bytes:
    """A record whose checksum is right, whatever its head says."""
    return line + b',"crc32":"%08x"}\n' % crc32(payload, crc32(line)) + payload


@pytest.mark.parametrize(
    "written",
    [
        head(),
        head(expires_at=2000.25, tags={"a": "1", "b": "2"}, cost=1.5),
        head(key="default:\N{PILE OF POO}\n\0"),
        head(key="default:\ud800", tags={"\udfff": "1"}),
    ],
)
def test_a_record_comes_back_whole(written: Head) -> None:
    blob = pack_head(written, PAYLOAD) + PAYLOAD
    record = unpack(blob, key=written.key)
    assert (record.head, record.payload, record.stamp) == (written, PAYLOAD, None)
    assert unpack_head(pack_head(written, PAYLOAD)) == written


def test_the_head_is_one_line_of_json_with_the_checksum_last() -> None:
    line = pack_head(head(tags={"t": "1"}), PAYLOAD)
    assert line.count(b"\n") == 1
    fields = json.loads(line)
    assert list(fields)[-1] == "crc32"
    assert fields["key"] == "default:k"
    assert "expires_at" not in fields


def test_a_record_of_before_there_was_staleness_is_read() -> None:
    written = (
        b'{"v":1,"key":"default:k","codec":"json","created_at":0.0,"size":1,"expires_at":9.5,'
        b'"tags":{"t":"1"},"cost":0.5,"crc32":"b871e641"}\n7'
    )
    found = unpack(written, key="default:k").head
    assert (found.expires_at, found.tags, found.cost) == (9.5, {"t": "1"}, 0.5)
    assert found.stale_until is None
    assert found.removable_at == 9.5


def test_a_record_is_gone_when_it_may_not_even_be_served_stale() -> None:
    assert head().removable_at is None
    assert head(expires_at=5.0, stale_until=9.0).removable_at == 9.0
    assert head(expires_at=5.0, stale_until=1.0).removable_at == 5.0
    stale = head(expires_at=5.0, stale_until=9.0)
    assert stale.is_expired(6.0)
    assert not stale.is_removable(6.0, stale=True)
    assert stale.is_removable(6.0, stale=False)
    assert stale.is_removable(9.0, stale=True)
    assert not head().is_removable(9.0, stale=True)


@pytest.mark.parametrize("at", range(0, len(pack_head(head(), PAYLOAD) + PAYLOAD), 3))
def test_any_altered_byte_is_noticed(at: int) -> None:
    blob = bytearray(pack_head(head(), PAYLOAD) + PAYLOAD)
    blob[at] ^= 0x01
    with pytest.raises(CorruptRecordError):
        unpack(bytes(blob), key="default:k")


@pytest.mark.parametrize("length", range(0, len(pack_head(head(), PAYLOAD) + PAYLOAD), 5))
def test_a_record_cut_anywhere_is_noticed(length: int) -> None:
    with pytest.raises(CorruptRecordError):
        unpack((pack_head(head(), PAYLOAD) + PAYLOAD)[:length])


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"", "no record head"),
        (b"\n", "no record head"),
        (b"hello\nworld", "no record head"),
        (pack_head(head(), PAYLOAD) + PAYLOAD + b"x", "payload has 14 bytes, not 13"),
        (pack_head(head(), PAYLOAD)[:-11] + b'zzzzzzzz"}\n' + PAYLOAD, "checksum does not match"),
        (forged(b'{"v":1'), "head is not readable"),
        (forged(b'{"v":"one"'), "head is not readable"),
        (forged(b"{nonsense"), "head is not readable"),
        (pack_head(head(v=2), PAYLOAD) + PAYLOAD, "record version 2, this library reads 1"),
        (pack_head(head(key="default:x"), PAYLOAD) + PAYLOAD, "of another key, 'default:x'"),
        (pack_head(head(), b"other payload") + PAYLOAD, "checksum does not match"),
    ],
)
def test_what_is_wrong_is_said_with_the_key(blob: bytes, says: str) -> None:
    with pytest.raises(CorruptRecordError, match=says) as caught:
        unpack(blob, key="default:k")
    assert caught.value.key == "default:k"
    assert "(key 'default:k')" in str(caught.value)


def test_without_an_expected_key_any_is_accepted() -> None:
    blob = pack_head(head(key="other:x"), PAYLOAD) + PAYLOAD
    assert unpack(blob).head.key == "other:x"
    with pytest.raises(CorruptRecordError) as caught:
        unpack(blob[:-1])
    assert "key" not in str(caught.value)


def test_expiry_comes_at_the_very_second() -> None:
    assert not head(expires_at=10.0).is_expired(9.999)
    assert head(expires_at=10.0).is_expired(10.0)
    assert not head().is_expired(1e18)
