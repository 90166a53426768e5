"""Kinds of results: stored or refused, over files and over Redis, with and without a secret."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import fractions
import io
import ipaddress
import logging
import pathlib
import queue
import re
import threading
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import httpx
import msgspec
import numpy as np
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, HttpUrl
from redis import Redis

from aiocache_pe import CacheManager, cached
from tests.support.servers.redis_server import Server


@dataclass
class Data:
    x: int = 1


class Model(BaseModel):
    x: int = 1


@attrs.define
class Attrs:
    x: int = 1


class Struct(msgspec.Struct):
    x: int = 1


class Pair(NamedTuple):
    x: int = 1


class Colour(enum.Enum):
    RED = 1


class Plain:
    def __init__(self) -> None:
        self.x = 1

    def __repr__(self) -> str:
        return f"Plain({self.x})"


class Text(str):
    """A class that is derived from text."""


class Buffer(io.BytesIO):
    def __repr__(self) -> str:
        return f"Buffer({self.getvalue()!r})"


def make_local() -> Any:
    class Local:
        pass

    return Local()


Old = namedtuple("Old", "x")  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple]
deep: list[Any] = []
for _ in range(150):
    deep = [deep]

READABLE: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "bool": lambda: False,
    "int": lambda: 7,
    "huge int": lambda: 10**400,
    "float": lambda: 0.5,
    "infinity": lambda: float("inf"),
    "complex": lambda: 1 + 2j,
    "text": lambda: "caf\xe9",
    "lone surrogate": lambda: "\ud800",
    "bytes": lambda: b"\x00",
    "bytearray": lambda: bytearray(b"\x00"),
    "list": lambda: [1, [2]],
    "tuple": lambda: (1, (2,)),
    "dict": lambda: {"a": 1},
    "dict of ints": lambda: {1: "a"},
    "set": lambda: {1, "a"},
    "frozenset": lambda: frozenset({1}),
    "range": lambda: range(3),
    "ordered dict": lambda: OrderedDict(a=1),
    "defaultdict": lambda: defaultdict(list, a=[1]),
    "counter": lambda: Counter("aab"),
    "deque": lambda: deque([1], 3),
    "datetime": lambda: dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    "date": lambda: dt.date(2026, 1, 2),
    "timedelta": lambda: dt.timedelta(1),
    "decimal": lambda: decimal.Decimal("1.10"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=1),
    "path": lambda: pathlib.PurePosixPath("a/b"),
    "address": lambda: ipaddress.ip_address("::1"),
    "url": lambda: HttpUrl("https://example.org/"),
    "array": lambda: np.arange(6.0).reshape(2, 3),
    "scalar of numpy": lambda: np.float32(1.5),
}
"""Results that every store holds."""

BY_ANNOTATION: dict[str, Callable[[], Any]] = {
    "dataclass": Data,
    "pydantic model": Model,
    "attrs class": Attrs,
    "struct": Struct,
    "named tuple": Pair,
    "old named tuple": lambda: Old(1),
    "enum": lambda: Colour.RED,
    "model of an SDK": lambda: ChatCompletion(
        id="1", choices=[], created=1, model="m", object="chat.completion"
    ),
}
"""Results that need a secret, or an annotation of the function."""

SIGNED: dict[str, Callable[[], Any]] = {
    "plain class": Plain,
    "class derived from text": lambda: Text("a"),
    "nested deeply": lambda: deep,
    "array of objects": lambda: np.array([Plain(), None], dtype=object),
    "buffer": lambda: Buffer(b"a"),
    "pattern": lambda: re.compile("a+"),
    "namespace": lambda: types.SimpleNamespace(x=1),
    "class": lambda: ValueError,
}
"""Results that need a secret."""

NEVER: dict[str, Callable[[], Any]] = {
    "lock": threading.Lock,
    "queue": queue.Queue,
    "function": lambda: lambda: None,
    "generator": lambda: (each for each in [1]),
    "client": httpx.Client,
    "class in a function": make_local,
}
"""Results that no store holds."""

KINDS = READABLE | BY_ANNOTATION | SIGNED | NEVER


def open_store(name: str, directory: Path, server: Server) -> CacheManager:
    if name.startswith("files"):
        return CacheManager(directory=directory)
    secret = None if "without" in name else "a secret of thirty-two bytes ..."
    return CacheManager("redis", redis_url=server.url, fallback=None, secret=secret, namespace=name)


async def count_calls(
    name: str, make: Any, cache: CacheManager, *, annotated: bool
) -> tuple[int, Any]:
    """Return the calls of a function for two calls of its cached form, and the two results."""
    calls = 0

    async def ask() -> Any:
        nonlocal calls
        calls += 1
        return make()

    ask.__qualname__ = f"ask for {name}"
    if annotated:
        ask.__annotations__["return"] = type(make())
    function = cached(cache=cache)(ask)
    results = [await function() for _ in range(2)]
    assert function.cache_info().unstorable in {0, calls}
    assert bool(function.cache_info().unstorable) is (calls == 2)
    return calls, results


async def check_store(
    store: str, annotated: bool, directory: Path, server: Server, caplog: Any
) -> None:
    stored = READABLE.keys() | (BY_ANNOTATION if annotated else {})
    if "without" not in store:
        stored |= BY_ANNOTATION.keys() | SIGNED.keys()
    refused = 0
    async with open_store(store, directory, server) as cache:
        for name, make in KINDS.items():
            caplog.clear()
            with caplog.at_level(logging.WARNING, "aiocache_pe"):
                calls, (first, second) = await count_calls(name, make, cache, annotated=annotated)
            assert calls == (1 if name in stored else 2), name
            if name in stored:
                assert type(first) is type(second), name
                assert sorted(repr(first)) == sorted(repr(second)), name  # a set has no order
                assert not caplog.messages
                continue
            refused += 2
            [message] = set(caplog.messages)
            assert f"result of function {__name__}.ask for {name} is not stored" in message
            if name in NEVER:
                assert "pickle cannot hold this" in message, name
                assert "return data instead" in message
            else:
                assert type(first).__qualname__ in message, name
                assert "secret=" in message
                assert "return annotation" in message
        stats = await cache.get_stats()
    assert (stats.unstorable, stats.errors) == (refused, 0)
    assert stats.sets == len(stored)


async def test_a_result_is_stored_exactly_or_refused_with_its_remedy(
    cache_dir: Path, redis_server: Server, caplog: Any
) -> None:
    # An annotation holds for the whole process, so the calls without one come first.
    with Redis.from_url(redis_server.url) as admin:
        admin.flushall()
    for annotated in (False, True):
        for store in ("files", "redis with secret", "redis without secret"):
            name = f"{store}, annotated" if annotated else store
            await check_store(name, annotated, cache_dir / name, redis_server, caplog)


def test_the_doctor_reports_results_that_cannot_be_stored(cli: Any, cache_dir: Path) -> None:
    async def fill() -> None:
        async with CacheManager(directory=cache_dir) as cache:
            await count_calls("lock", threading.Lock, cache, annotated=False)

    asyncio.run(fill())
    result = cli("doctor", "--directory", str(cache_dir))
    assert result.exit_code == 0
    assert "2 results could not be stored" in result.stdout
    assert '"unstorable":2' in cli("stats", "--json", "--directory", str(cache_dir)).stdout
