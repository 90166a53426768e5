"""Hostile records: small inputs that a reader without bounds turns into gigabytes or seconds."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from zlib import crc32

from tests.support import zstd

MIB = 1024 * 1024
BOMB_BYTES = 6 * MIB
"""Size of a bomb after decompression."""
_PRIME = 2**61 - 1  # the hash of an int is its remainder


def make_record(
    key: str, codec: str = "json", payload: bytes = b"1", *, extra: bytes = b""
) -> bytes:
    """Return a record with valid checksums; ``extra`` are further fields of its head."""
    fields = b'{"v":1,"key":"%b","codec":"%b","created_at":1763877600.5,"size":%d%b'
    start = fields % (key.encode(), codec.encode(), len(payload), extra)
    return b'%b,"crc32":"%08x"}\n%b' % (start, crc32(payload, crc32(start)), payload)


HEADS: dict[str, bytes] = {
    "nested 5,000 deep": b',"other":' + b"[" * 5000 + b"]" * 5000,
    "nested 200,000 deep": b',"other":' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "tags nested": b',"tags":' + b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "an int of 5,000 digits": b',"cost":' + b"9" * 5000,
    "a float beyond the range": b',"cost":1e999',
    "escaped surrogates and nesting": b',"other":"\\ud800","more":' + b"[" * 5000 + b"]" * 5000,
    "longer than a head": b',"tags":{' + b",".join(b'"%d":""' % n for n in range(100_000)) + b"}",
    "NaN": b',"cost":NaN',
    "null": b',"tags":null',
}
"""Fields that make a head unreadable."""


def _repeat(item: bytes, size: int) -> bytes:
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def _make_tag(tag: str, items: Iterable[Any]) -> bytes:
    return json.dumps({tag: list(items)}, separators=(",", ":")).encode()


_COLLIDING_INTS = [{"$int": str(n * _PRIME + 7)} for n in range(100, 16_000)]
COLLIDING: dict[str, bytes] = {
    "ints": _make_tag("$set", _COLLIDING_INTS),
    "uuids": _make_tag("$set", ({"$uuid": f"{n * _PRIME:032x}"} for n in range(9000))),
    "fractions": _make_tag("$set", ({"$fraction": [n, 1]} for n in _COLLIDING_INTS)),
    "decimals": _make_tag("$set", ({"$decimal": n["$int"]} for n in _COLLIDING_INTS)),
    "complex": _make_tag(
        "$frozenset", ({"$complex": [-1000003.0 * n, float(n)]} for n in range(1, 9000))
    ),
    "tuples": _make_tag("$set", ({"$tuple": [n]} for n in _COLLIDING_INTS)),
    "keys": _make_tag("$dict", ([n, 1] for n in _COLLIDING_INTS)),
    "keys of a counter": _make_tag("$counter", ([n, 1] for n in _COLLIDING_INTS)),
    "keys of an ordered dict": _make_tag("$ordereddict", ([n, 1] for n in _COLLIDING_INTS)),
}
"""Tagged JSON of sets and dicts, a few hundred kilobytes, with items of equal hashes."""

_ITEMS = {
    "lists": b"[]",
    "dicts": b"{}",
    "small dicts": b'{"a":1}',
    "strings": b'"ab"',
    "zeros": b"0",
}
_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 6),
    "zstd": zstd.compress,
}
BOMBS: Mapping[str, Callable[[], tuple[str, bytes]]] = {
    f"{name}, {compression}": partial(
        lambda item, compression: (
            f"json+{compression}",
            _COMPRESSIONS[compression](_repeat(item, BOMB_BYTES)),
        ),
        item,
        compression,
    )
    for name, item in _ITEMS.items()
    for compression in _COMPRESSIONS
} | {
    "deques": lambda: ("tagged+gzip", gzip.compress(_repeat(b'{"$deque":[[],null]}', BOMB_BYTES))),
    "wide text": lambda: (
        "json+gzip",
        gzip.compress(b'"' + b"a" * 4 * BOMB_BYTES + "\N{PILE OF POO}".encode() + b'"'),
    ),
    "layout": lambda: (
        "numpy+gzip",
        gzip.compress(b'{"dtype":' + _repeat(b"[]", BOMB_BYTES) + b"}\n"),
    ),
    "lists without compression": lambda: ("json", _repeat(b"[]", 12 * MIB)),
    "dicts without compression": lambda: ("json", _repeat(b"{}", 2 * MIB)),
}
"""Codecs and payloads that take hundreds of megabytes when they are decoded."""
