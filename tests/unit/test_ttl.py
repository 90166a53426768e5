"""Times to live: every form that is accepted, and a clear word about the others."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from aiocache_pe.exceptions import InvalidTTLError
from aiocache_pe.ttl import ttl_seconds


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (1, 1.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("1h30m", 5400.0),
        (" 1H 30m ", 5400.0),
        ("7d", 604_800.0),
        ("2w", 1_209_600.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("1m1ms", 60.001),
    ],
)
def test_all_forms_mean_seconds(ttl: Any, seconds: float) -> None:
    assert ttl_seconds(ttl) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "ttl",
    [
        None,
        math.inf,
        pytest.param("9" * 400 + "s", id="long text"),
        pytest.param(10**400, id="large int"),
    ],
)
def test_for_ever_and_what_is_longer_than_any_number(ttl: Any) -> None:
    assert ttl_seconds(ttl) is None


@pytest.mark.parametrize(
    "ttl",
    [
        0,
        -1,
        -0.001,
        math.nan,
        -math.inf,
        timedelta(0),
        timedelta(days=-1),
        pytest.param(-(10**400), id="large negative int"),
        "0s",
    ],
)
def test_no_time_at_all_is_refused(ttl: Any) -> None:
    with pytest.raises(InvalidTTLError, match=r'is not a positive duration; accepted .* "1h30m"'):
        ttl_seconds(ttl)


@pytest.mark.parametrize(
    "ttl", ["", " ", "soon", "10", "1y", "-1s", "1h-5m", "s", "1e3s", "1 hour", "inf", "1h x"]
)
def test_text_that_is_no_duration_is_refused(ttl: str) -> None:
    with pytest.raises(InvalidTTLError, match=r"is not a duration; accepted are seconds"):
        ttl_seconds(ttl)


@pytest.mark.parametrize("ttl", [True, False, b"1h", [1], Decimal(1), 1j, object()])
def test_other_types_are_refused_by_name(ttl: Any) -> None:
    with pytest.raises(ValueError, match=rf"is a {type(ttl).__name__}; accepted are seconds"):
        ttl_seconds(ttl)
