"""Results of callers on a day on which the service is slow for two hours and fails for one."""

from __future__ import annotations

import logging

import pytest

from aiocache_pe.loading.options import LoadOptions
from tests.support.simulated_day import Day, simulate_day

INTERVAL = 180.0  # seconds between two calls
CALLS = 480
STALE: LoadOptions = {"stale_ttl": "2h"}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "aiocache_pe")


def simulate(options: LoadOptions) -> Day:
    day = simulate_day(options, INTERVAL)
    assert day.fresh + day.stale + day.errors + day.timeouts == CALLS
    return day


def test_without_options_callers_wait_and_get_the_errors() -> None:
    plain = simulate({})
    assert plain.errors > 15
    assert plain.longest_wait == 20


def test_stale_values_hide_the_errors_and_the_slow_hours() -> None:
    stale = simulate(STALE)
    assert (stale.errors, stale.longest_wait) == (0, 2)  # the first call of the day
    assert 0 < stale.stale < CALLS / 3


def test_a_value_past_its_stale_ttl_is_not_served() -> None:
    assert 0 < simulate({"stale_ttl": "30m"}).errors < 12


def test_a_soft_timeout_gives_more_fresh_values() -> None:
    at_once, soft = simulate(STALE), simulate({**STALE, "soft_timeout": 3})
    assert soft.stale < at_once.stale
    assert (soft.errors, soft.longest_wait) == (0, 3)


def test_a_refresh_ahead_hides_the_slow_hours() -> None:
    # The longest wait is for an error of the failing hour, not for a value.
    assert simulate({"refresh_ahead": 0.8}).longest_wait == 5


def test_a_hard_timeout_is_the_longest_wait() -> None:
    hard = simulate({"hard_timeout": 5})
    assert (hard.longest_wait, hard.errors) == (5, 0)
    assert hard.timeouts > 40
