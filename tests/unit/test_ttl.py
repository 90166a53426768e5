"""Times to live and durations: the accepted forms, and the errors for all others."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from aiocache_pe.exceptions import InvalidTTLError
from aiocache_pe.ttl import parse_ttl


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
        ("5min", 300.0),
        ("1 hour", 3600.0),
        ("2 days", 172_800.0),
        ("1 Day 2 hrs 30 minutes", 95_400.0),
        ("500 milliseconds", 0.5),
        ("3 weeks", 1_814_400.0),
    ],
)
def test_every_accepted_form_is_converted_to_seconds(ttl: Any, seconds: float) -> None:
    assert parse_ttl(ttl) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "ttl",
    [
        None,
        math.inf,
        pytest.param("9" * 400 + "s", id="long text"),
        pytest.param(10**400, id="large int"),
    ],
)
def test_none_and_durations_beyond_all_numbers_mean_no_expiry(ttl: Any) -> None:
    assert parse_ttl(ttl) is None


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
def test_a_time_to_live_that_is_not_positive_is_refused(ttl: Any) -> None:
    given = re.escape(f"{type(ttl).__name__}: {ttl!r:.80}")
    message = rf'ttl must be a positive number of seconds, .* "1h30m" or "2 days" .*; got {given}'
    with pytest.raises(InvalidTTLError, match=message):
        parse_ttl(ttl)


@pytest.mark.parametrize(
    "ttl",
    [
        "",
        " ",
        "soon",
        "10",
        "1y",
        "-1s",
        "1h-5m",
        "s",
        "1e3s",
        "1 month",
        "5 minsec",
        "hour",
        "1 hour and",
        "inf",
        "1h x",
    ],
)
def test_a_text_that_is_no_duration_is_refused(ttl: str) -> None:
    with pytest.raises(InvalidTTLError, match=rf"ttl must be a positive .*; got str: '{ttl}'"):
        parse_ttl(ttl)


@pytest.mark.parametrize("ttl", [True, False, b"1h", [1], Decimal(1), 1j, object()])
def test_other_types_are_refused_by_name(ttl: Any) -> None:
    with pytest.raises(ValueError, match=rf"ttl must be a positive .*; got {type(ttl).__name__}: "):
        parse_ttl(ttl)
