"""Difference to the server's clock: exact translations, and no change by noise."""

from __future__ import annotations

import time

import pytest

from aiocache_pe.backends.redis.server_clock import ServerClock
from aiocache_pe.clock import SystemClock
from aiocache_pe.record import Head
from aiocache_pe.testing import FakeClock

HEAD = Head(
    1, "default:k", "json", 1763877600.123457, 1, expires_at=1763877660.1, stale_until=1763877661.3
)


def measure(clock: FakeClock, difference: float, *, seconds: float = 0.0) -> ServerClock:
    """Return a clock that was measured once, in an exchange of some seconds."""
    measured = ServerClock(clock)
    began = measured.start()
    clock.advance(seconds)
    measured.finish(began, began + seconds / 2 + difference)
    return measured


@pytest.mark.parametrize("difference", [300.0, -300.0, 0.123, 86_400.7, -1e8])
def test_a_head_that_was_translated_and_back_is_the_same(difference: float) -> None:
    measured = measure(FakeClock(), difference)
    there = measured.to_server(HEAD)
    assert there.created_at == pytest.approx(HEAD.created_at + difference, abs=0.001)
    assert there.expires_at == pytest.approx(1763877660.1 + difference, abs=0.001)
    assert measured.from_server(there) == HEAD


@pytest.mark.parametrize(("difference", "seconds"), [(0.05, 0.0), (-0.09, 0.0), (1.0, 2.0)])
def test_a_difference_that_may_be_noise_is_none(difference: float, seconds: float) -> None:
    measured = measure(FakeClock(), difference, seconds=seconds)
    assert measured.difference == 0.0
    assert measured.to_server(HEAD) is HEAD


def test_a_later_measurement_changes_only_a_difference_that_it_contradicts() -> None:
    clock = FakeClock()
    measured = measure(clock, 300.0)
    for noise in (300.05, 299.95):
        measured.finish(measured.start(), clock.time() + noise)
        assert measured.difference == 300.0
    measured.finish(measured.start(), clock.time() + 310.0)
    assert measured.difference == 310.0
    measured.finish(measured.start(), clock.time())
    assert measured.difference == 0.0


def test_only_the_systems_clock_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    measured = measure(clock, 0.0)
    clock.advance(3600)
    assert not measured.is_due()

    system = ServerClock(SystemClock())
    assert system.is_due()
    system.finish(system.start(), time.time())
    assert not system.is_due()
    present = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: present() + 5)  # the clock was set
        assert system.is_due()
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 61)
    monkeypatch.setattr(time, "time", lambda: present() + 61)
    assert system.is_due()
