"""Clocks: the system's clock, and the fake clock of tests."""

from __future__ import annotations

import time

import pytest

from aiocache_pe.clock import SystemClock
from aiocache_pe.testing.fake_clock import FakeClock


def test_the_system_clock_has_the_time_of_the_system() -> None:
    clock = SystemClock()
    assert clock.time() == pytest.approx(time.time(), abs=5.0)
    before = time.monotonic()
    assert before <= clock.monotonic() <= time.monotonic()


def test_a_fake_clock_moves_only_when_it_is_advanced() -> None:
    clock = FakeClock(1000.0)
    assert (clock.time(), clock.monotonic()) == (1000.0, 0.0)
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (1002.5, 2.5)
    with pytest.raises(ValueError, match="seconds must not be negative"):
        clock.advance(-1)
