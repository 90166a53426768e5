"""Record format: one serialized form of an entry for all stores.

A record is a line of JSON, the head, followed by the value's bytes, the payload::

    {"v":1,"key":"default:greeting","codec":"json","created_at":1763877600.5,"size":7,"crc32":"8f0c2b6e"}
    "hello"

Therefore ``cat`` and ``jq`` read a file, an export is a sequence of records, and a record
means the same in every store. ``crc32`` is always the last field and covers the head before
it and the payload. A record that was cut or altered is rejected before its fields are used.
The checksum guards against accidents only. Against forgery the codecs sign payloads that are
dangerous to decode.

A later release may write a higher version, a new codec or a new field. Such a record is a
`NewerRecordError`: it is intact, so no reader may remove it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import isfinite
from zlib import crc32

import msgspec

from aiocache_pe.exceptions import CorruptRecordError, NewerRecordError

VERSION = 1
CODECS = frozenset(
    f"{serializer}{compression}{signature}"
    for serializer in ("json", "bytes", "numpy", "tagged", "pickle")
    for compression in ("", "+zstd", "+gzip")
    for signature in ("", "+hmac")
)
"""Codecs that a record of this release may have (`aiocache_pe.codecs.pipeline`)."""

_VERSION_FIELD = re.compile(rb'\{"v":(\d{1,9})[,}]')
_KEY_FIELD = re.compile(rb'"key":("(?:[^"\\]|\\.)*")')
_CRC_FIELD = b',"crc32":"'
_TAIL = len(_CRC_FIELD) + 8 + len(b'"}')
_MAX_HEAD = 1 << 20  # bytes; a key of 65,536 characters takes at most 768 KiB


class Savings(
    msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True
):
    """Savings of each hit on an entry, besides the seconds (`Head.cost`).

    Attributes:
        input_tokens: tokens that are not sent to a model.
        output_tokens: tokens that the model need not generate.
        money: the price of these tokens at the time when the entry was written.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0


class Head(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """Head of a record: the metadata of an entry.

    Older records have no ``stale_until`` and no ``saves``.

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
_HEAD_FIELDS, _SAVINGS_FIELDS = (
    frozenset(Head.__struct_fields__),
    frozenset(Savings.__struct_fields__),
)
_PRESENT_VERSION = b'{"v":%d,' % VERSION


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


def unpack(data: bytes, *, key: str = "", stamp: object = None) -> Record:
    """Parse a record and verify it.

    Args:
        data: the head's line and the payload.
        key: the expected store key; empty to accept any.
        stamp: the store's mark of this version, if it has one.

    Raises:
        CorruptRecordError: the record is cut, altered, or of another key.
        NewerRecordError: a later release wrote the record.
    """
    end = data.find(b"\n")
    if end < _TAIL:
        _refuse_newer_version(data[:_MAX_HEAD], key)
        raise CorruptRecordError("record has no head", key=key)
    payload = data[end + 1 :]
    try:
        head = unpack_head(data[:end], key=key)
    except NewerRecordError:
        # The checksum of a later version may be another one.
        if data.startswith(_PRESENT_VERSION) and not has_checksum(data[:end], (payload,)):
            raise CorruptRecordError("record checksum does not match", key=key) from None
        raise
    if len(payload) != head.size:
        raise CorruptRecordError(
            f"payload must have {head.size} bytes; got {len(payload)}", key=key
        )
    if not has_checksum(data[:end], (payload,)):
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
        CorruptRecordError: the line is no head, or the head of another key.
        NewerRecordError: a later release wrote the line.
    """
    line = line.removesuffix(b"\n")
    if line[-_TAIL:-10] != _CRC_FIELD or len(line) > _MAX_HEAD:
        _refuse_newer_version(line, key)
        raise CorruptRecordError("record has no head", key=key)
    start = line[:-_TAIL] + b"}"
    try:
        head = _parse_head(start)
    except Exception as error:  # RecursionError for deep nesting, besides those of the parsers
        _refuse_newer_version(line, key)
        _refuse_unknown_fields(start, key)
        raise CorruptRecordError("record head is not readable", key=key) from error
    if head.v != VERSION:
        _refuse_newer_version(line, key)
        raise CorruptRecordError(f"record version must be {VERSION}; got {head.v}", key=key)
    if key and head.key != key:
        raise CorruptRecordError(f"record has another key: {head.key!r}", key=key)
    if head.codec not in CODECS:
        raise NewerRecordError(f"record has the unknown codec {head.codec!r:.80}", key=head.key)
    return head


def _parse_head(line: bytes) -> Head:
    try:
        return _decode_head(line)
    except ValueError:  # only `json` accepts escaped lone surrogates
        fields = json.loads(line, parse_float=_parse_float, parse_constant=_parse_float)
        return msgspec.convert(fields, Head)


def _refuse_newer_version(line: bytes, key: str) -> None:
    """Raise a `NewerRecordError` for the beginning of a record of a later version."""
    found = _VERSION_FIELD.match(line)
    if found is not None and int(found[1]) > VERSION:
        version = int(found[1])
        raise NewerRecordError(f"record has format version {version}", key=key or _find_key(line))


def _refuse_unknown_fields(line: bytes, key: str) -> None:
    """Raise a `NewerRecordError` for a head that is readable apart from unknown fields."""
    try:
        fields = json.loads(line, parse_float=_parse_float, parse_constant=_parse_float)
        unknown = fields.keys() - _HEAD_FIELDS
        known = {name: fields[name] for name in fields.keys() & _HEAD_FIELDS}
        if isinstance(known.get("saves"), dict):
            unknown |= known["saves"].keys() - _SAVINGS_FIELDS
            del known["saves"]
        msgspec.convert(known, Head)
    except Exception:  # noqa: BLE001 - a damaged head raises any error of the parsers
        return
    if unknown:
        names = ", ".join(sorted(unknown))
        raise NewerRecordError(f"record has the unknown field {names:.80}", key=key or known["key"])


def _find_key(line: bytes) -> str:
    """Return the store key in a head of a later version; empty if there is none."""
    found = _KEY_FIELD.search(line)
    try:
        return "" if found is None else str(json.loads(found[1]))
    except ValueError:
        return ""


def _parse_float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"a number in a head must be finite; got {text:.40}")
    return number
