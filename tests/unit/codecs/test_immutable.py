"""`is_immutable`: a value that a caller could change never counts as immutable."""

from __future__ import annotations

import datetime as dt
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from aiocache_pe.codecs.immutable import is_immutable


class Colour(Enum):
    RED = 1


class Access(Flag):
    READ = 1
    WRITE = 2


class Text(str):
    """Text with a ``__dict__``."""


class Items(tuple[int, ...]):
    """Tuple with a ``__dict__``."""


class Point(NamedTuple):
    x: Any


@dataclass(frozen=True)
class Frozen:
    x: Any


class Zone(dt.tzinfo):
    def utcoffset(self, _when: datetime | None, /) -> timedelta:
        return timedelta(0)

    dst = utcoffset

    def tzname(self, _when: datetime | None, /) -> str:
        return "Zone"


SCALARS = [
    "a", 1, 1.5, True, None, b"x", 1j, range(3), Decimal(1), UUID(int=1), dt.date(2025, 1, 1),
    timedelta(1), datetime(2025, 1, 1), datetime(2025, 1, 1, tzinfo=UTC), time(1),
    datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=1))), Path("/a"), PurePosixPath("a"),
    PureWindowsPath("a"), Colour.RED, Access.READ | Access.WRITE,
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_constant_scalars_are_immutable_at_any_depth(value: Any) -> None:
    assert is_immutable(value)
    assert is_immutable((value,))
    assert is_immutable(frozenset({value, (1, frozenset({value}))}))


@pytest.mark.parametrize(
    "value",
    [
        [], {}, set(), bytearray(), deque(), object(), Text("a"), Items((1,)), Point(1), Frozen(1),
        np.zeros(1), np.float64(1), Fraction(1), datetime(2025, 1, 1, tzinfo=Zone()),
        datetime(2025, 1, 1, tzinfo=ZoneInfo("UTC")), memoryview(bytearray(b"a")), len, int,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_all_other_values_count_as_mutable(value: Any) -> None:
    assert not is_immutable(value)
    assert not is_immutable((1, value))
    assert not is_immutable((1, ("a", (value,))))


def test_empty_containers_are_immutable() -> None:
    assert is_immutable(())
    assert is_immutable((frozenset(), ((),)))


def test_large_and_deep_values_are_checked_in_bounded_time() -> None:
    assert is_immutable((1.5,) * 9_000)
    assert not is_immutable((1.5,) * 11_000)
    shared: Any = (1,)
    for _ in range(200):
        shared = (shared, shared)
    assert not is_immutable(shared)
    deep: Any = ()
    for _ in range(1_000_000):
        deep = (deep,)
    assert not is_immutable(deep)
    while deep:  # level by level, because freeing it at once would recurse
        (deep,) = deep
