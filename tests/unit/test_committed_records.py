"""Committed records of version 1, which every later release must read.

A release reads the directories of earlier ones. Therefore the bytes of one record of each codec
are committed, and each must decode to its value. ``python -m tests.unit.test_committed_records``
writes missing records. Use it only for a new codec: existing records must not change.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel, HttpUrl

from aiocache_pe import CacheManager, register
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.codecs.pipeline import Pipeline
from aiocache_pe.record import VERSION, Head, pack_head, unpack
from tests.support.exactness import fingerprint

RECORDS = Path(__file__).parent / "records"
SECRET = b"a secret that is committed too.."
EAST = dt.timezone(dt.timedelta(hours=1), "east")


@register
@dataclass
class Place:
    name: str
    at: tuple[float, float]


@register
class Pair(NamedTuple):
    left: Any
    right: Any


@register
class Struct(msgspec.Struct):
    x: Any


@register
class Model(BaseModel):
    text: str = ""
    parts: list[int] = []


@register
class Colour(Enum):
    RED = 1


class Text(str):
    """A text that only pickle can store."""


@dataclass
class Unregistered:
    number: int


LONG = ["again and again"] * 200
STANDARD = {
    "tuple": (1, (2.5, None)), "sets": [{1, "a"}, frozenset({b"x"})], "keys": {1: "a", None: 2},
    "bytes": [b"\x00\xff", bytearray(b"a")], "numbers": [math.inf, math.nan, -0.0, 2**70, 10**800],
    "text": ["\ud800", "\N{PILE OF POO}"], "complex": 1 - 2j, "range": range(1, 9, 2),
    "decimal": [Decimal("1.10"), Decimal("NaN")], "fraction": Fraction(1, 3), "uuid": UUID(int=1),
    "moments": [
        dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 2, tzinfo=EAST),
        dt.datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC"), fold=1),
        dt.date(2026, 1, 2), dt.time(1, 2, fold=1), dt.timedelta(1, 2, 3), EAST,
    ],
    "path": PurePosixPath("a/b"), "address": ip_address("::1"), "a tag": {"$tuple": [1]},
    "collections": [
        OrderedDict(b=1, a=2), Counter("aab"), defaultdict(list, a=[1]), deque([1], 3),
    ],
}  # fmt: skip
CLASSES = [Place("here", (1.0, 2.0)), Pair(1, (2,)), Struct({1}), Model(text="a"), Colour.RED]
LIBRARIES = [
    np.arange(6, dtype="<f4").reshape(2, 3), np.zeros(1, [("a", "<i4"), ("b", "S3")]),
    np.float32(1.5), np.datetime64("2026-01-02"), np.str_("a\0"), np.bytes_(b"a\0"),
    HttpUrl("https://example.org/"), msgspec.UNSET,
]  # fmt: skip
VALUES: dict[str, tuple[Any, str | None]] = {
    "json": ({"text": "a", "list": [1, 2.5, True, None, {"deep": -1}]}, None),
    "json+gzip": (LONG, "gzip"),
    "json+zstd": (LONG, "zstd"),
    "bytes": (b"\x00\xff\n", None),
    "numpy": (np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)), None),
    "tagged-standard": (STANDARD, None),
    "tagged-classes": (CLASSES, None),
    "tagged-schemas": (CLASSES, None),
    "tagged-libraries": (LIBRARIES, None),
    "tagged+gzip": ([(text, 1) for text in LONG], "gzip"),
    "pickle+hmac": ([Text("a")], None),
    "pickle+hmac-schemas": ([Unregistered(1)], None),
    "pickle+zstd+hmac": ([Text(text) for text in LONG], "zstd"),
}


def make_record(name: str, value: Any, compression: str | None) -> bytes:
    """Return a record as the library writes it today."""
    key = f"default:{name}"
    codec, payload = Pipeline(compression=compression, secret=SECRET).encode(key, value)
    head = Head(VERSION, key, codec, 1_767_225_600.5, len(payload), 4_102_444_800.0, {}, 1.5)
    return pack_head(head, payload) + payload


def test_every_codec_has_a_record() -> None:
    assert {path.name for path in RECORDS.iterdir()} == VALUES.keys()


@pytest.mark.parametrize("name", VALUES)
def test_a_record_of_version_1_decodes_to_its_value(name: str) -> None:
    found = unpack((RECORDS / name).read_bytes(), key=f"default:{name}")
    assert found.head.v == 1
    assert found.head.codec == name.partition("-")[0]
    value = Pipeline(secret=SECRET).decode(found.head.key, found.head.codec, found.payload)
    assert fingerprint(value) == fingerprint(VALUES[name][0])


# Older records of classes have no schemas.
@pytest.mark.parametrize("name", ["json", "bytes", "numpy", "tagged-standard", "tagged-schemas"])
def test_the_same_value_is_encoded_to_the_committed_bytes(name: str) -> None:
    assert make_record(name, *VALUES[name]) == (RECORDS / name).read_bytes()


async def test_a_manager_serves_committed_records_from_any_store() -> None:
    """Write each record to a store unchanged: the format is the same in every store."""
    store = MemoryBackend()
    await store.write([unpack((RECORDS / name).read_bytes()) for name in VALUES])
    async with CacheManager(store, secret=SECRET) as cache:
        found = await cache.get_many(list(VALUES))
    assert {name: fingerprint(value) for name, value in found.items()} == {
        name: fingerprint(value) for name, (value, _) in VALUES.items()
    }


def test_a_record_of_a_later_version_is_a_miss(cache_dir: Path) -> None:
    async def read_later_version() -> tuple[Any, int]:
        async with CacheManager(directory=cache_dir) as cache:
            await cache.set("k", 1)
            [file] = cache_dir.glob("default/*/*-k")
            head = Head(2, "default:k", "json", 0.0, 1)
            file.write_bytes(pack_head(head, b"1") + b"1")
            return await cache.get("k", "a miss"), (await cache.get_stats()).errors

    assert asyncio.run(read_later_version()) == ("a miss", 1)


def write_missing_records() -> None:
    """Write the records of codecs that have none."""
    for name, (value, compression) in VALUES.items():
        path = RECORDS / name
        if not path.exists():
            path.write_bytes(make_record(name, value, compression))


if __name__ == "__main__":
    # Under the module's own name, because pickle looks up its classes there.
    import_module("tests.unit.test_committed_records").write_missing_records()
