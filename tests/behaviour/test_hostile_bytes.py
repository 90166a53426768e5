"""Hostile bytes in a store: a payload is read or refused, never run, and never unbounded."""

from __future__ import annotations

import gzip
import os
import pickle
import random
import struct
import tracemalloc
from collections import Counter, defaultdict, deque
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from aiocache_pe.codecs.classes.registry import register
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.exceptions import CorruptRecordError, SecretRequiredError
from tests.support import zstd
from tests.support.exactness import KEY, SECRET

MIB = 1024 * 1024


class Bomb:
    """Object that creates a directory when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@register
class Point(NamedTuple):
    x: Any
    y: Any


@register
class Colour(Enum):
    RED = 1


RICH = {
    "tuple": (1, 2.5, "a" * 20), "set": {1, "b"}, "keys": {1: 2, (3,): None},
    "bytes": b"\x00\xff" * 9,
    "when": [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))],
    "more": [time(1, 2), timedelta(1), Decimal("1.5"), uuid4(), Path("/x"), Fraction(1, 3), 1 + 2j],
    "containers": [Counter("aab"), deque([1], 3), defaultdict(list, a=[1]), range(3), 2**70],
    "own": [Point(1, Colour.RED), np.arange(3), np.float32(1), "\ud800", float("nan")],
}  # fmt: skip


def decode(codec: str, payload: bytes, *, secret: bytes | None = SECRET) -> Any:
    return Pipeline(secret=secret, max_bytes=MIB).decode(KEY, codec, payload)


def assert_refused(codec: str, payload: bytes) -> None:
    with pytest.raises(CorruptRecordError) as caught:
        decode(codec, payload)
    assert caught.value.key in (KEY, "")


@pytest.mark.parametrize(
    "codec",
    [
        "", "+", "pickle", "pickle+zstd", "pickle+gzip", "json+hmac", "tagged+hmac", "bytes+hmac",
        "hmac", "json+", "json+gzip+zstd", "json+gzip+gzip", "JSON", "json ", "yaml", "numpy+lz4",
        "pickle+hmac+zstd", "pickle+hmac+hmac", "hmac+pickle", "json\n", "marshal+hmac",
    ],
)  # fmt: skip
def test_unknown_codecs_are_refused(codec: str) -> None:
    for payload in (b"", b"{}", pickle.dumps([1]), gzip.compress(b"{}")):
        assert_refused(codec, payload)


@pytest.mark.parametrize(
    "codec",
    ["pickle", "pickle+hmac", "pickle+gzip", "pickle+gzip+hmac", "pickle+zstd+hmac", "tagged"],
)
@pytest.mark.parametrize("secret", [None, SECRET])
def test_an_unsigned_pickle_is_never_run(codec: str, secret: bytes | None, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickled = pickle.dumps(Bomb(marker))
    payloads = [pickled, gzip.compress(pickled), zstd.compress(pickled), bytes(32) + pickled]
    for payload in payloads:
        with pytest.raises((CorruptRecordError, SecretRequiredError)):
            decode(codec, payload, secret=secret)
        assert not marker.exists()
    pickle.loads(pickled)
    assert marker.exists(), "the bomb does not work, so the test proves nothing"


def test_a_pickle_with_another_signature_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    codec, payload = Pipeline(secret=b"another").encode(KEY, RICH | {"self": Exception})
    assert codec == "pickle+hmac"
    forged = payload[:32] + pickle.dumps(Bomb(marker))
    for forgery in (forged, payload, payload[:31], payload[:32], b""):
        assert_refused(codec, forgery)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("codec", ["json", "bytes"])
def test_a_decompression_bomb_is_bounded(name: str, codec: str) -> None:
    plain = b'"' + b"a" * (64 * MIB) + b'"'
    bomb = gzip.compress(plain, 1) if name == "gzip" else zstd.compress(plain)
    del plain
    assert len(bomb) < MIB
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordError, match=f"exceeds {MIB} bytes"):
            decode(f"{codec}+{name}", bomb)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_compressed_data_with_a_missing_or_extra_part_is_refused(name: str) -> None:
    codec, payload = Pipeline(compression=name).encode(KEY, "a" * 10_000)
    assert decode(codec, payload) == "a" * 10_000
    for cut in range(len(payload)):
        assert_refused(codec, payload[:cut])
    assert_refused(codec, payload + b"x")
    assert_refused(codec, payload + payload)


@pytest.mark.parametrize("codec", ["json", "tagged"])
@pytest.mark.parametrize(
    "piece", [b"[", b'{"a":', b'{"$tuple":[', b'{"$dict":[[1,', b'{"$frozenset":[[']
)
def test_endless_nesting_is_refused(codec: str, piece: bytes) -> None:
    closing = {ord("["): b"]", ord("{"): b"}"}
    for depth in (400, 900, 100_000):
        opened = piece * depth
        assert_refused(codec, opened)
        closed = b"".join(closing.get(byte, b"") for byte in reversed(piece)) * depth
        try:
            decode(codec, opened + b"1" + closed)
        except CorruptRecordError:
            continue
        assert depth < 1000


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"nul", b"NaN", b"1e999", b"[1,]", b'"\xff"', b'"\\ud800"', b"1 2", b"9" * 5000,
        b"{1:2}",
        b'{"a":1', b"\x80\x05N.", b"\xef\xbb\xbf1",
    ],
)  # fmt: skip
def test_invalid_json_is_refused(payload: bytes) -> None:
    assert_refused("json", payload)
    assert_refused("tagged", payload)


@pytest.mark.parametrize(
    "payload",
    [
        '{"$nothing":1}', '{"$":1}', '{"$tuple":1}', '{"$tuple":"ab"}', '{"$tuple":{"a":1}}',
        '{"$set":[[]]}', '{"$set":[1,1]}', '{"$set":[1,1.0]}', '{"$frozenset":[{}]}',
        '{"$dict":[[1]]}', '{"$dict":[[1,2,3]]}', '{"$dict":[[1,2],[1,3]]}', '{"$dict":[[[],1]]}',
        '{"$dict":{}}', '{"$int":"x"}', '{"$int":5}', '{"$int":"' + "9" * 4000 + '"}',
        '{"$int":""}',
        '{"$float":"x"}', '{"$float":1}', '{"$float":"00"}', '{"$bytes":"!"}', '{"$bytes":"YQ"}',
        '{"$bytes":[1]}', '{"$str":"a"}', '{"$str":[1.5]}', '{"$str":[-1]}', '{"$str":[1114112]}',
        '{"$complex":[1]}', '{"$complex":["a",1]}', '{"$range":[1,2,0]}', '{"$range":["a",1,1]}',
        '{"$decimal":"x"}', '{"$decimal":1}', '{"$uuid":"x"}', '{"$uuid":["x",7]}', '{"$uuid":1}',
        '{"$deque":[[1],-1]}', '{"$deque":[[1],"a"]}', '{"$deque":1}', '{"$counter":1}',
        '{"$defaultdict":["eval",[]]}', '{"$defaultdict":[[],[]]}', '{"$fraction":[1,0]}',
        '{"$fraction":["1",2]}', '{"$path":["Path","x"]}', '{"$path":["os","x"]}',
        '{"$path":[[],"x"]}',
        '{"$path":["PosixPath",1]}', '{"$datetime":"x"}', '{"$datetime":1}',
        '{"$datetime":["x",0,null]}',
        '{"$datetime":["2025-01-01",2,null]}', '{"$datetime":["2025-01-01",0,"No/Where"]}',
        '{"$datetime":["2025-01-01",0,"../../etc/passwd"]}',
        '{"$datetime":["2025-01-01",0,"/etc/passwd"]}',
        '{"$datetime":["2025-01-01",0,{"fixed":[9,0,0],"name":[]}]}',
        '{"$datetime":["2025-01-01",0,{"fixed":[0,0,0],"name":[1]}]}',
        '{"$datetime":["2025-01-01",0,{"pydantic":[9,0,0]}]}', '{"$datetime":["2025-01-01",0,5]}',
        '{"$date":1}', '{"$time":"25:00"}', '{"$time":["01:00",0,{}]}', '{"$timedelta":[1]}',
        '{"$timedelta":[9999999999,0,0]}', '{"$timedelta":["a",0,0]}', '{"$timezone":null}',
        '{"$timezone":"UTC"}', '{"$type":1}', '{"$type":["nothing.Known",{}]}', '{"$type":[1,{}]}',
        '{"$type":[["a"],{}]}', '{"$ndarray":["<f8",[1],"C","AAAA"]}',
        '{"$ndarray":["O",[1],"C","AAAA"]}',
        '{"$ndarray":["<f8",["x"],"C",""]}', '{"$ndarray":["<f8",[1000000000,"x"],"C",""]}',
        '{"$ndarray":[[],[1],"C",""]}', '{"$ndarray":1}', '{"$numpy":["<f8",""]}', '{"$numpy":1}',
        '{"$ip":["IPv4Address","1.2.3"]}', '{"$ip":["ip_address","1.2.3.4"]}', '{"$ip":[[],1]}',
        '{"$ip":["IPv4Address",1]}', '{"$url":["HttpUrl","ftp://a"]}', '{"$url":["BaseModel","a"]}',
        '{"$url":["HttpUrl",1]}', '{"$numpy":["U","gICA"]}',
    ],
)  # fmt: skip
def test_tags_with_wrong_contents_are_refused(payload: str) -> None:
    assert_refused("tagged", payload.encode())
    assert_refused("tagged", b'{"a":[%b]}' % payload.encode())


@pytest.mark.parametrize(
    "state",
    ["1", "null", "[]", "{}", '{"x":1}', '{"x":1,"y":2,"z":3}', "[{},{}]", '[{"x":1,"y":2}]',
     '[{"x":1,"y":2},5]', '[{"x":1,"y":2},{"z":1}]', '[{"x":1,"y":2},{},{}]', '"RED"'],
)  # fmt: skip
def test_a_state_of_another_class_is_refused(state: str) -> None:
    assert_refused("tagged", f'{{"$type":["{__name__}.Point",{state}]}}'.encode())


@pytest.mark.parametrize("state", ["1", "null", "[]", "{}", '"BLUE"', '"__class__"', '"name"'])
def test_unknown_members_of_an_enum_are_refused(state: str) -> None:
    assert_refused("tagged", f'{{"$type":["{__name__}.Colour",{state}]}}'.encode())


def mutate(payload: bytes, rng: random.Random) -> bytes:
    """Return a payload with a few bytes changed, removed, repeated or inserted."""
    data = bytearray(payload)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 30)]
            case 3:
                data[at:at] = rng.choice(
                    [b'"', b"]", b"[", b"{", b"}", b"$", b"9" * 30, b"-", b"null"]
                )
            case _:
                data[at : at + 8] = struct.pack(">q", rng.getrandbits(62))
    return bytes(data)


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "value", [RICH, {"plain": [1, 2.5, "x", None] * 9}, np.arange(300.0)], ids=type
)
def test_a_mutated_payload_is_a_value_or_a_corrupt_record(
    value: Any, seed: int, compression: str | None
) -> None:
    rng = random.Random(seed)
    codec, payload = Pipeline(compression=compression).encode(KEY, value)
    reader = Pipeline(max_bytes=MIB)
    for _ in range(400):
        other = rng.choice(["json", "tagged", "numpy", "bytes", codec, codec, codec, codec])
        try:
            reader.decode(KEY, other, mutate(payload, rng))
        except CorruptRecordError:
            continue


@pytest.mark.parametrize("seed", range(5))
def test_every_mutation_of_a_signed_payload_is_refused(seed: int) -> None:
    rng = random.Random(seed)
    writer = Pipeline(secret=SECRET)
    codec, payload = writer.encode(KEY, [ValueError, 1])
    for _ in range(300):
        changed = mutate(payload, rng)
        if changed != payload:
            assert_refused(codec, changed)
