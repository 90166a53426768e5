"""Expiry buckets: every node is found soon after it expires, and never before."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass

import pytest

from aiocache_pe.eviction.expiry_buckets import ExpiryBuckets
from aiocache_pe.testing import FakeClock
from tests.support.nodes import ExpiringNode

DAY = 86_400.0


@dataclass
class SettableClock:
    """Clock of a system that can be set forwards and backwards."""

    now: float

    def time(self) -> float:
        return self.now


def make_buckets(clock: FakeClock | SettableClock | None) -> ExpiryBuckets[ExpiringNode]:
    return ExpiryBuckets(lambda node: node.expires_at, None if clock is None else clock.time)


def pop_all(buckets: ExpiryBuckets[ExpiringNode], now: float) -> list[str]:
    keys: list[str] = []
    while (key := buckets.pop_expired(now)) is not None:
        keys.append(key)
    return keys


@pytest.mark.parametrize(
    ("ttl", "delay"),
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
def test_a_node_is_found_soon_after_its_expiry_and_not_before(ttl: float, delay: float) -> None:
    clock = FakeClock()
    buckets = make_buckets(clock)
    rng = random.Random(7)
    for n in range(200):
        start = clock.time()
        buckets.add(ExpiringNode(str(n), start + ttl))
        assert buckets.pop_expired(start + ttl - 1e-3) is None
        assert pop_all(buckets, start + ttl + delay) == [str(n)]
        clock.advance(rng.uniform(0, delay * 3))
    assert len(buckets) == 0


def test_nodes_are_found_in_the_order_of_their_expiry() -> None:
    clock = FakeClock()
    buckets = make_buckets(clock)
    for ttl in (7200, 5, DAY, 90, 40 * DAY, 1):
        buckets.add(ExpiringNode(str(ttl), clock.time() + ttl))
    keys = pop_all(buckets, clock.time() + 60 * DAY)
    assert keys == ["1", "5", "90", "7200", str(DAY), str(40 * DAY)]


@pytest.mark.parametrize("expires_at", [None, math.inf, -math.inf, math.nan])
def test_a_node_without_a_finite_expiry_costs_nothing(expires_at: float | None) -> None:
    buckets = make_buckets(FakeClock())
    sizes = sys.getsizeof(buckets._buckets), sys.getsizeof(buckets._order)
    for n in range(1000):
        buckets.add(ExpiringNode(str(n), expires_at))
    buckets.discard(ExpiringNode("5", expires_at))
    assert len(buckets) == 0
    assert (sys.getsizeof(buckets._buckets), sys.getsizeof(buckets._order)) == sizes
    assert buckets.pop_expired(math.inf) is None


def test_a_key_that_is_written_repeatedly_leaves_nothing_behind() -> None:
    clock = FakeClock()
    buckets = make_buckets(clock)
    node = ExpiringNode("k", clock.time() + 60)
    for n in range(20_000):
        buckets.add(node)
        buckets.discard(node)
        clock.advance(0.1 if n % 3 else 0)
        node = ExpiringNode("k", clock.time() + (60 if n % 2 else DAY))
        pop_all(buckets, clock.time())
    assert len(buckets) == 0
    assert len(buckets._buckets) == len(buckets._order) < 100


def test_an_emptied_bucket_frees_its_memory() -> None:
    clock = FakeClock()
    buckets = make_buckets(clock)
    nodes = [ExpiringNode(str(n), clock.time() + DAY) for n in range(1000)]
    for node in nodes:
        buckets.add(node)
    for node in nodes:
        buckets.discard(node)
    [bucket] = buckets._buckets.values()
    assert sys.getsizeof(bucket) <= sys.getsizeof({})


def test_a_clock_that_is_set_back_or_far_ahead_loses_no_node() -> None:
    clock = SettableClock(1e9)
    buckets = make_buckets(clock)
    for now in (1e9, 5e8, 2e9, -50.0, 1e15):
        clock.now = now
        buckets.add(ExpiringNode(str(now), now + 10))
        buckets.add(ExpiringNode(f"past {now}", now - 10))
    assert len(pop_all(buckets, 1e9 + 11)) == 6
    assert len(pop_all(buckets, 1e15 + 300_000)) == 4
    assert len(buckets) == 0


def test_without_a_clock_only_the_given_time_expires_nodes() -> None:
    buckets = make_buckets(None)
    buckets.add(ExpiringNode("k", 5.0))
    assert buckets.pop_expired(buckets.now()) is None
    assert pop_all(buckets, 6.0) == ["k"]
