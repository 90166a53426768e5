"""Formats of sizes, durations and times at the limits of their units."""

from __future__ import annotations

import pytest

from aiocache_pe.cli import output


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (1024**6, "1024.0 PiB"),
    ],
)
def test_format_size(count: int, text: str) -> None:
    assert output.format_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "0.5s"),
        (59.999, "1m"),
        (60.0, "1m"),
        (3599.9, "59m 59s"),
        (3600.0, "1h"),
        (86400.0 * 7, "7d"),
        (86400.0 + 1, "1d 1s"),
        (1e12, "1.16e+07d"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert output.format_duration(seconds) == text


def test_format_time_beyond_the_year_9999() -> None:
    assert output.format_time(0).startswith(("1970-01-01 ", "1969-12-31 "))
    assert output.format_time(1e300) == "after the year 9999"
