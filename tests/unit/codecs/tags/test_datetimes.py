"""Dates and times are restored with their time zone, not only with its offset."""

from __future__ import annotations

import datetime as dt
import sys
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from aiocache_pe.codecs.tagged_json import TaggedJson, encode_tagged
from tests.support.exactness import assert_round_trip, choose_codec, round_trip

BERLIN = ZoneInfo("Europe/Berlin")
ODD = timezone(timedelta(hours=-5, minutes=30, seconds=15, microseconds=123))
NAMED = timezone(timedelta(hours=2), "my zone")


@pytest.mark.parametrize(
    "value",
    [
        datetime(2025, 1, 2, 3, 4, 5, 678901), datetime.min, datetime.max,
        datetime(1, 1, 1, fold=1), datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 1, tzinfo=ODD), datetime(2025, 1, 1, tzinfo=NAMED, fold=1),
        datetime(2025, 1, 1, tzinfo=timezone(timedelta(0), "UTC")),
        datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN),
        datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2025, 1, 1, tzinfo=ZoneInfo("UTC")),
        datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=1), "\ud800")),
        date(2025, 1, 2), date.min, date.max,
        time(1, 2, 3, 4), time(0), time(1, fold=1), time(1, tzinfo=UTC), time(1, tzinfo=ODD),
        time(1, tzinfo=BERLIN), time(1, tzinfo=NAMED),
        timedelta(0), timedelta.min, timedelta.max, timedelta(days=-1, microseconds=1),
        UTC, ODD, NAMED,
    ],
    ids=repr,
)  # fmt: skip
def test_moments_are_restored(value: Any) -> None:
    assert_round_trip(value)
    assert_round_trip({"deep": [(value,)]})
    assert choose_codec(value) == "tagged"


def test_utc_is_restored_as_the_same_object() -> None:
    assert round_trip(datetime(2025, 1, 1, tzinfo=UTC)).tzinfo is UTC
    assert round_trip((datetime(2025, 1, 1, tzinfo=UTC, fold=1),))[0].tzinfo is UTC


def test_frequent_moments_are_written_as_iso_8601() -> None:
    assert (
        encode_tagged(datetime(2025, 1, 2, 3, tzinfo=UTC))
        == b'{"$datetime":"2025-01-02T03:00:00+00:00"}'
    )
    assert encode_tagged(date(2025, 1, 2)) == b'{"$date":"2025-01-02"}'


@pytest.mark.parametrize("text", ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00-03:30"])
def test_the_time_zone_of_pydantic_is_restored(text: str) -> None:
    value = TypeAdapter(datetime).validate_python(text)
    assert_round_trip([value])


class Subclass(datetime):
    pass


class Elsewhere(dt.tzinfo):
    def utcoffset(self, when: datetime | None, /) -> timedelta:
        return timedelta(hours=1)

    dst = utcoffset

    def tzname(self, when: datetime | None, /) -> str:
        return f"elsewhere at {when}"


@pytest.mark.parametrize(
    "value",
    [Subclass(2025, 1, 1), datetime(2025, 1, 1, tzinfo=Elsewhere()), time(1, tzinfo=Elsewhere())],
    ids=["subclass", "datetime", "time"],
)
def test_subclasses_and_unknown_time_zones_are_refused(value: Any) -> None:
    assert TaggedJson().encode(value) is None


@pytest.mark.skipif(sys.platform == "win32", reason="has no zone files")
def test_a_zone_from_a_file_is_not_stored_by_its_name() -> None:
    paths = (Path(directory, "Asia/Tokyo") for directory in zoneinfo.TZPATH)
    tokyo = next(path for path in paths if path.exists())
    for key in ("Europe/Berlin", "No/Where", None):
        with tokyo.open("rb") as file:
            zone = ZoneInfo.from_file(file, key=key)
        assert TaggedJson().encode(datetime(2025, 1, 1, tzinfo=zone)) is None
