"""The record: one format for all stores.

A record is a line of JSON, the head, then the value's bytes, the payload::

    {"v":1,"key":"default:greeting","codec":"json","created_at":1763877600.5,"size":7,"crc32":"8f0c2b6e"}
    "hello"

So ``cat`` and ``jq`` read a file, an export is the records one after another, and a
record means the same in every store. ``crc32`` always stands last and covers the head
before it and the payload: a record that was cut or altered is noticed before anything
in it is believed. It guards against accidents only; against forgery the codecs sign
what would be dangerous to read.
"""

from __future__ import annotations

import json
from zlib import crc32

import msgspec

from aiocache_pe.exceptions import CorruptRecordError

VERSION = 1
_CRC_FIELD = b',"crc32":"'
_TAIL = len(_CRC_FIELD) + 8 + len(b'"}')


class Savings(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What serving an entry saves each time, besides the seconds (`Head.cost`).

    Attributes:
        input_tokens: tokens that a model was not sent.
        output_tokens: tokens that it did not have to answer with.
        money: what these cost, by the prices of when the entry was written.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0


class Head(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a record says of itself.

    Attributes:
        v: the format's version.
        key: the store key (`aiocache_pe.keys.store_keys`), so that a misplaced record is noticed.
        codec: how the payload was made, for instance ``json`` or ``pickle+zstd+hmac``.
        created_at: when it was written, seconds since the epoch.
        size: length of the payload in bytes.
        expires_at: when it expires, seconds since the epoch; ``None`` for never.
        tags: each tag with the token it had when the record was written.
        cost: seconds that the value took to compute, 0.0 when not known.
        stale_until: until when it may be served stale after it expired, to those who ask
            for that, seconds since the epoch; ``None`` for not at all. Records of before
            there was this field have none, and readers of then pass over it.
        saves: what serving it saves besides; ``None`` when not known. Of this field the same
            is true.
    """

    v: int
    key: str
    codec: str
    created_at: float
    size: int
    expires_at: float | None = None
    tags: dict[str, str] = {}
    cost: float = 0.0
    stale_until: float | None = None
    saves: Savings | None = None

    @property
    def removable_at(self) -> float | None:
        """When nobody may be served it any more, and a store may drop it; ``None`` for never."""
        if self.expires_at is None or self.stale_until is None:
            return self.expires_at
        return max(self.expires_at, self.stale_until)

    def is_expired(self, now: float) -> bool:
        """Whether the time is over at ``now``, seconds since the epoch."""
        return self.expires_at is not None and self.expires_at <= now

    def is_removable(self, now: float, *, stale: bool) -> bool:
        """The same, or if ``stale`` whether it may not even be served stale any more."""
        end = self.removable_at if stale else self.expires_at
        return end is not None and end <= now


class Record(msgspec.Struct, frozen=True):
    """A head, a payload, and where the store keeps them.

    Attributes:
        head: what the record says of itself.
        payload: the value's bytes.
        stamp: the store's own mark of this very version, never written down; by it a
            store tells later whether a copy is still current (`protocols.Coherent`).
    """

    head: Head
    payload: bytes
    stamp: object = None


_encode_head = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(Head).decode


def pack_head(head: Head, payload: bytes) -> bytes:
    r"""The head's line, checksum and newline included.

    Args:
        head: the head to write.
        payload: the bytes that will follow it.

    Returns:
        The line; the record is this and the payload, so a writer need not join them.

    Example:
        >>> pack_head(Head(v=1, key="default:k", codec="json", created_at=0.0, size=1), b"7")
        b'{"v":1,"key":"default:k","codec":"json","created_at":0.0,"size":1,"crc32":"b8233cfe"}\n'
    """
    try:
        line = _encode_head(head)
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can write
        plain = msgspec.to_builtins(head)
        line = json.dumps(plain, separators=(",", ":")).encode("ascii")
    start = line[:-1]
    return b'%b%b%08x"}\n' % (start, _CRC_FIELD, crc32(payload, crc32(start)))


def unpack(blob: bytes, *, key: str = "", stamp: object = None) -> Record:
    """Read a record and verify it.

    Args:
        blob: the head's line and the payload.
        key: the store key it is expected to have; empty to accept any.
        stamp: the store's mark of this version, if it has one.

    Returns:
        The record.

    Raises:
        CorruptRecordError: it is cut short, altered, of another version, or another key's.
    """
    end = blob.find(b"\n")
    start = end - _TAIL
    if start < 0:
        raise CorruptRecordError("no record head", key=key)
    head = unpack_head(blob[:end], key=key)
    payload = blob[end + 1 :]
    if len(payload) != head.size:
        raise CorruptRecordError(f"payload has {len(payload)} bytes, not {head.size}", key=key)
    if blob[end - 10 : end] != b'%08x"}' % crc32(payload, crc32(blob[:start])):
        raise CorruptRecordError("checksum does not match", key=key)
    return Record(head, payload, stamp)


def unpack_head(line: bytes, *, key: str = "") -> Head:
    """Read a head alone, as a scan does; the checksum is not verified.

    Args:
        line: the record's first line, with or without its newline.
        key: the store key it is expected to have; empty to accept any.

    Returns:
        The head.

    Raises:
        CorruptRecordError: it is not a head of this version, or of another key.
    """
    line = line.removesuffix(b"\n")
    if line[-_TAIL:-10] != _CRC_FIELD:
        raise CorruptRecordError("no record head", key=key)
    try:
        head = _decode_head(line)
    except ValueError:
        try:  # escaped lone surrogates are JSON to json only
            head = msgspec.convert(json.loads(line), Head)
        except ValueError as error:
            raise CorruptRecordError("head is not readable", key=key) from error
    if head.v != VERSION:
        raise CorruptRecordError(f"record version {head.v}, this library reads {VERSION}", key=key)
    if key and head.key != key:
        raise CorruptRecordError(f"record of another key, {head.key!r}", key=key)
    return head
