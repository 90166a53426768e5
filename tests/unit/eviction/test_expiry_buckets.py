"""The calendar: everything is over when its time is, soon after, and never before."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.testing import FakeClock
from tests.support.nodes import Ending

DAY = 86_400.0


def calendar(clock: FakeClock | None) -> ExpiryBuckets[Ending]:
    return ExpiryBuckets(lambda node: node.end, None if clock is None else clock.time)


def taken(kept: ExpiryBuckets[Ending], now: float) -> list[str]:
    keys: list[str] = []
    while (key := kept.pop_expired(now)) is not None:
        keys.append(key)
    return keys


@pytest.mark.parametrize(
    ("ttl", "late"),
    [
        (0.1, 1),
        (60, 1),
        (900, 1),
        (3600, 64),
        (DAY, 4096),
        (30 * DAY, 4096),
        (400 * DAY, 3.1 * DAY),
    ],
)
def test_what_is_over_is_found_soon_after_and_not_before(ttl: float, late: float) -> None:
    clock = FakeClock()
    kept = calendar(clock)
    chance = random.Random(7)
    for n in range(200):
        start = clock.time()
        kept.add(Ending(str(n), start + ttl))
        assert kept.pop_expired(start + ttl - 1e-3) is None
        assert taken(kept, start + ttl + late) == [str(n)]
        clock.advance(chance.uniform(0, late * 3))
    assert len(kept) == 0


def test_what_is_over_first_is_found_first() -> None:
    clock = FakeClock()
    kept = calendar(clock)
    for ttl in (7200, 5, DAY, 90, 40 * DAY, 1):
        kept.add(Ending(str(ttl), clock.time() + ttl))
    assert taken(kept, clock.time() + 60 * DAY) == ["1", "5", "90", "7200", str(DAY), str(40 * DAY)]


@pytest.mark.parametrize("end", [None, math.inf, -math.inf, math.nan])
def test_what_is_never_over_costs_nothing(end: float | None) -> None:
    kept = calendar(FakeClock())
    before = sys.getsizeof(kept._buckets), sys.getsizeof(kept._order)
    for n in range(1000):
        kept.add(Ending(str(n), end))
    kept.discard(Ending("5", end))
    assert len(kept) == 0
    assert (sys.getsizeof(kept._buckets), sys.getsizeof(kept._order)) == before
    assert kept.pop_expired(math.inf) is None


def test_a_key_that_is_written_again_and_again_leaves_nothing_behind() -> None:
    clock = FakeClock()
    kept = calendar(clock)
    node = Ending("k", clock.time() + 60)
    for n in range(20_000):
        kept.add(node)
        kept.discard(node)
        clock.advance(0.1 if n % 3 else 0)
        node = Ending("k", clock.time() + (60 if n % 2 else DAY))
        taken(kept, clock.time())
    assert len(kept) == 0
    assert len(kept._buckets) == len(kept._order) < 100


def test_the_room_of_many_that_went_is_given_back() -> None:
    clock = FakeClock()
    kept = calendar(clock)
    nodes = [Ending(str(n), clock.time() + DAY) for n in range(1000)]
    for node in nodes:
        kept.add(node)
    for node in nodes:
        kept.discard(node)
    [bucket] = kept._buckets.values()
    assert sys.getsizeof(bucket) <= sys.getsizeof({})


@dataclass
class Step:
    """What a system's clock does when it is set."""

    now: float

    def time(self) -> float:
        return self.now


def test_a_clock_that_is_put_back_or_far_ahead_loses_nothing() -> None:
    clock = Step(1e9)
    kept: ExpiryBuckets[Any] = ExpiryBuckets(lambda node: node.end, clock.time)
    for now in (1e9, 5e8, 2e9, -50.0, 1e15):
        clock.now = now
        kept.add(Ending(str(now), now + 10))
        kept.add(Ending(f"past {now}", now - 10))
    assert len(taken(kept, 1e9 + 11)) == 6
    assert len(taken(kept, 1e15 + 300_000)) == 4
    assert len(kept) == 0


def test_who_is_not_told_the_time_finds_nothing_over_by_himself() -> None:
    kept = calendar(None)
    kept.add(Ending("k", 5.0))
    assert kept.pop_expired(kept.now()) is None
    assert taken(kept, 6.0) == ["k"]
