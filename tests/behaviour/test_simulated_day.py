"""A day on which the service is slow for two hours and fails for one, and what callers get."""

from __future__ import annotations

import logging

import pytest

from aiocache_pe.loading.options import LoadOptions
from benchmarks.day import OPTIONS, Day, simulate

STEP = 180.0  # seconds between two calls
CALLS = 480


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "aiocache_pe")


def day(options: LoadOptions) -> Day:
    day = simulate(options, STEP)
    assert day.fresh + day.stale + day.errors + day.timeouts == CALLS
    return day


def test_without_options_callers_wait_and_see_the_errors() -> None:
    plain = day({})
    assert plain.errors > 15
    assert plain.longest_wait == 20


def test_with_stale_values_nobody_sees_an_error_or_waits_for_a_slow_hour() -> None:
    stale = day(OPTIONS["stale_ttl=2h"])
    assert (stale.errors, stale.longest_wait) == (0, 2)  # the very first call
    assert 0 < stale.stale < CALLS / 3


def test_what_is_stale_for_too_long_is_served_no_more() -> None:
    assert 0 < day(OPTIONS["stale_ttl=30m"]).errors < 12


def test_who_waits_for_a_moment_gets_more_that_is_fresh() -> None:
    at_once, soft = day(OPTIONS["stale_ttl=2h"]), day(OPTIONS["stale_ttl=2h, soft_timeout=3"])
    assert soft.stale < at_once.stale
    assert (soft.errors, soft.longest_wait) == (0, 3)


def test_who_refreshes_ahead_waits_for_no_slow_hour() -> None:
    assert day(OPTIONS["refresh_ahead=0.8"]).longest_wait == 5  # for the error, not for a value


def test_a_hard_timeout_is_the_longest_wait() -> None:
    hard = day(OPTIONS["hard_timeout=5"])
    assert (hard.longest_wait, hard.errors) == (5, 0)
    assert hard.timeouts > 40
