"""Arguments of many kinds, all different: no two of them may share a key.

The module imports only the standard library, so that every interpreter can make the keys.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import enum
import fractions
import functools
import ipaddress
import json
import math
import pathlib
import re
import sys
import types
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Optional

# The golden keys contain the first name of this module.
sys.modules["tests.unit.calls"] = sys.modules[__name__]
__name__ = "tests.unit.calls"


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Number(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


class Pair(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass(frozen=True)
class Question:
    text: str
    stop: tuple[str, ...] = ()
    trace: object = dataclasses.field(default=None, compare=False)


class Client:
    """A class that is equal only to itself but defines its cache key."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __cache_key__(self) -> str:
        return self.url


class Name(str):
    """A subclass of str."""


class Year(int): ...


class Row(dict[str, int]): ...


class Moment(dt.datetime): ...


UTC = dt.UTC
EAST = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

DIFFERENT: dict[str, Any] = {
    "int 1": 1,
    "text 1": "1",
    "float 1": 1.0,
    "true": True,
    "false": False,
    "int 0": 0,
    "int -1": -1,
    "large int": 10**5000,
    "none": None,
    "text none": "None",
    "empty text": "",
    "empty bytes": b"",
    "empty bytearray": bytearray(),
    "float 0": 0.0,
    "float -0": -0.0,
    "nan": math.nan,
    "infinity": math.inf,
    "complex": 1j,
    "complex 1": complex(1, 0),
    "text": "a",
    "bytes": b"a",
    "surrogate": "\ud800",
    "emoji": "\N{PILE OF POO}",
    "dict int": {"a": 1},
    "dict text": {"a": "1"},
    "dict int key": {1: "a"},
    "dict text key": {"1": "a"},
    "empty dict": {},
    "list": [1],
    "tuple": (1,),
    "set": {1},
    "frozenset": frozenset({1}),
    "empty list": [],
    "empty tuple": (),
    "nested": [[1], 2],
    "nested otherwise": [[1, 2]],
    "flat": [1, 2],
    "text like a list": "[1, 2]",
    "joined": ["ab", "c"],
    "joined otherwise": ["a", "bc"],
    "ellipsis": ...,
    "range": range(3),
    "enum": Colour.RED,
    "other member": Colour.GREEN,
    "int enum": Number.ONE,
    "flag": Access.READ,
    "flags": Access.READ | Access.WRITE,
    "no flags": Access(0),
    "named tuple": Point(1, 2),
    "other named tuple": Pair(1, 2),
    "plain tuple": (1, 2),
    "dataclass": Question("why?"),
    "dataclass with stop": Question("why?", ("\n",)),
    "date": dt.date(2026, 1, 2),
    "datetime": NOON,
    "the same moment elsewhere": NOON.astimezone(EAST),
    "naive datetime": NOON.replace(tzinfo=None),
    "second of two": NOON.replace(fold=1),
    "time": dt.time(12, 0),
    "timedelta": dt.timedelta(seconds=1),
    "timezone": UTC,
    "timezone of a name": dt.timezone(dt.timedelta(hours=-6), "CST"),
    "another of that name": dt.timezone(dt.timedelta(hours=8), "CST"),
    "decimal": Decimal("1.0"),
    "decimal with places": Decimal("1.00"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=1),
    "address": ipaddress.ip_address("127.0.0.1"),
    "network": ipaddress.ip_network("127.0.0.0/8"),
    "path": pathlib.PurePosixPath("a/b"),
    "system path": pathlib.Path("a/b"),
    "windows path": pathlib.PureWindowsPath("a/b"),
    "function": json.dumps,
    "builtin": len,
    "class": Colour,
    "path class": pathlib.PurePosixPath,
    "own key": Client("https://a"),
    "other own key": Client("https://b"),
    "deque": collections.deque([1]),
    "deque with an end": collections.deque([1], 3),
    "ordered dict": collections.OrderedDict(a=1, b=2),
    "ordered otherwise": collections.OrderedDict(b=2, a=1),
    "unordered dict": {"a": 1, "b": 2},
    "counter": collections.Counter(a=1, b=2),
    "dict of lists": collections.defaultdict(list, a=1, b=2),
    "dict of sets": collections.defaultdict(set, a=1, b=2),
    "chain": collections.ChainMap({"a": 1}, {"b": 2}),
    "proxy": types.MappingProxyType({"a": 1, "b": 2}),
    "attributes": types.SimpleNamespace(a=1, b=2),
    "array": array.array("i", [1]),
    "array of longer ints": array.array("q", [1]),
    "pattern": re.compile("a"),
    "pattern with a flag": re.compile("a", re.IGNORECASE),
    "slice": slice(1),
    "partial": functools.partial(json.dumps, indent=1),
    "other partial": functools.partial(json.dumps, indent=2),
    "kind of text": Name("a"),
    "kind of int": Year(1),
    "kind of dict": Row(a=1),
    "kind of moment": Moment(2026, 1, 2, 12, 0, tzinfo=UTC),
    "class of none": type(None),
    "list of ints": list[int],
    "list of texts": list[str],
    "int or nothing": int | None,
    "optional text": Optional[str],  # noqa: UP045 - a common spelling
    "one of two": Literal["a", "b"],
    "annotated": Annotated[int, "positive"],
    "callable": Callable[[int], str],
}
