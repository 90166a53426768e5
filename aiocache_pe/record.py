"""Record format: one serialized form of an entry for all stores.

A record is a line of JSON, the head, followed by the value's bytes, the payload::

    {"v":1,"key":"default:greeting","codec":"json","created_at":1763877600.5,"size":7,"crc32":"8f0c2b6e"}
    "hello"

Therefore ``cat`` and ``jq`` read a file, an export is a sequence of records, and a record
means the same in every store. ``crc32`` is always the last field and covers the head before
it and the payload. A record that was cut or altered is rejected before its fields are used.
The checksum guards against accidents only. Against forgery the codecs sign payloads that are
dangerous to decode.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from zlib import crc32

import msgspec

from aiocache_pe.exceptions import CorruptRecordError

VERSION = 1
_CRC_FIELD = b',"crc32":"'
_TAIL = len(_CRC_FIELD) + 8 + len(b'"}')
_MAX_HEAD = 1 << 20  # bytes; a key of 65,536 characters takes at most 768 KiB


class Savings(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Savings of each hit on an entry, besides the seconds (`Head.cost`).

    Attributes:
        input_tokens: tokens that are not sent to a model.
        output_tokens: tokens that the model need not generate.
        money: the price of these tokens at the time when the entry was written.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0


class Head(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Head of a record: the metadata of an entry.

    Older records have no ``stale_until`` and no ``saves``; older readers ignore these fields.

    Attributes:
        v: version of the format.
        key: store key (`aiocache_pe.keys.store_keys`), which exposes a misplaced record.
        codec: encoding of the payload, for instance ``json`` or ``pickle+zstd+hmac``.
        created_at: time of writing, seconds since the epoch.
        size: length of the payload in bytes.
        expires_at: time of expiry, seconds since the epoch; ``None`` for no expiry.
        tags: each tag with the token that it had when the record was written.
        cost: seconds that the value took to compute; 0.0 if unknown.
        stale_until: end of stale serving, for calls that allow it, seconds since the epoch;
            ``None`` if the entry must not be served stale.
        saves: savings of each hit besides the cost; ``None`` if unknown.
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
        """Return the time from which a store may remove the entry; ``None`` for never."""
        if self.expires_at is None or self.stale_until is None:
            return self.expires_at
        return max(self.expires_at, self.stale_until)

    def is_expired(self, now: float) -> bool:
        """Return whether the entry is expired at ``now``, seconds since the epoch."""
        return self.expires_at is not None and self.expires_at <= now

    def is_removable(self, now: float, *, stale: bool) -> bool:
        """Return whether the entry may be removed at ``now``, seconds since the epoch.

        With ``stale``, an expired entry stays until it may not even be served stale.
        """
        end = self.removable_at if stale else self.expires_at
        return end is not None and end <= now


class Record(msgspec.Struct, frozen=True):
    """An entry in serialized form.

    Attributes:
        head: the metadata.
        payload: the value's bytes.
        stamp: the store's own mark of this version, which is not part of the format. With
            it the store reports later whether a copy is current (`backends.base.Coherent`).
    """

    head: Head
    payload: bytes
    stamp: object = None


_encode_head = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(Head).decode


def pack_head(head: Head, payload: bytes) -> bytes:
    r"""Return the head's line, with checksum and newline, but without the payload.

    Example:
        >>> pack_head(Head(v=1, key="default:k", codec="json", created_at=0.0, size=1), b"7")
        b'{"v":1,"key":"default:k","codec":"json","created_at":0.0,"size":1,"crc32":"b8233cfe"}\n'
    """
    try:
        line = _encode_head(head)
    except UnicodeEncodeError:  # a lone surrogate, which only an escape sequence can represent
        plain = msgspec.to_builtins(head)
        line = json.dumps(plain, separators=(",", ":")).encode("ascii")
    start = line[:-1]
    return b'%b%b%08x"}\n' % (start, _CRC_FIELD, crc32(payload, crc32(start)))


def unpack(blob: bytes, *, key: str = "", stamp: object = None) -> Record:
    """Parse a record and verify it.

    Args:
        blob: the head's line and the payload.
        key: the expected store key; empty to accept any.
        stamp: the store's mark of this version, if it has one.

    Raises:
        CorruptRecordError: the record is cut, altered, or of another version or key.
    """
    end = blob.find(b"\n")
    start = end - _TAIL
    if start < 0:
        raise CorruptRecordError("record has no head", key=key)
    head = unpack_head(blob[:end], key=key)
    payload = blob[end + 1 :]
    if len(payload) != head.size:
        raise CorruptRecordError(
            f"payload must have {head.size} bytes; got {len(payload)}", key=key
        )
    if not has_checksum(blob[:end], (payload,)):
        raise CorruptRecordError("record checksum does not match", key=key)
    return Record(head, payload, stamp)


def has_checksum(line: bytes, payload: Iterable[bytes]) -> bool:
    """Return whether the checksum in the first line, without its newline, matches the record."""
    checksum = crc32(line[:-_TAIL])
    for chunk in payload:
        checksum = crc32(chunk, checksum)
    return line[-10:] == b'%08x"}' % checksum


def unpack_head(line: bytes, *, key: str = "") -> Head:
    """Parse a head without its payload, as a scan does; the checksum is not verified.

    Args:
        line: the record's first line, with or without its newline.
        key: the expected store key; empty to accept any.

    Raises:
        CorruptRecordError: the line is no head, or the head of another version or key.
    """
    line = line.removesuffix(b"\n")
    if line[-_TAIL:-10] != _CRC_FIELD or len(line) > _MAX_HEAD:
        raise CorruptRecordError("record has no head", key=key)
    try:
        try:
            head = _decode_head(line)
        except ValueError:  # only `json` accepts escaped lone surrogates
            fields = json.loads(line, parse_float=_parse_float, parse_constant=_parse_float)
            head = msgspec.convert(fields, Head)
    except Exception as error:  # RecursionError for deep nesting, besides those of the parsers
        raise CorruptRecordError("record head is not readable", key=key) from error
    if head.v != VERSION:
        raise CorruptRecordError(f"record version must be {VERSION}; got {head.v}", key=key)
    if key and head.key != key:
        raise CorruptRecordError(f"record has another key: {head.key!r}", key=key)
    return head


def _parse_float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"a number in a head must be finite; got {text:.40}")
    return number
