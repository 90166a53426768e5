"""Clients of a Redis server whose clocks differ by minutes: lifetimes count by the server's."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import CacheManager
from aiocache_pe.backends import RedisBackend
from aiocache_pe.testing import FakeClock
from tests.support.servers.redis_server import Server

MINUTES = [300.0, -300.0]


class ShiftedClock:
    """The system's clock, ahead by some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.seconds

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment."""
        return time.monotonic()


@pytest.fixture(params=MINUTES)
async def skewed(
    request: pytest.FixtureRequest, own_redis: Server, cache_dir: Path
) -> AsyncIterator[CacheManager]:
    """Yield a cache of a machine whose clock is minutes ahead of the server's, or behind it."""
    clock = ShiftedClock(request.param)
    url = own_redis.url
    async with CacheManager("redis", redis_url=url, directory=cache_dir, clock=clock) as cache:
        yield cache


@pytest.fixture
async def right(own_redis: Server, tmp_path: Path) -> AsyncIterator[CacheManager]:
    """Yield a cache of a machine with the server's time."""
    directory = tmp_path / "right"
    async with CacheManager("redis", redis_url=own_redis.url, directory=directory) as cache:
        yield cache


async def test_one_of_two_clients_with_different_clocks_adds_a_key(
    skewed: CacheManager, right: CacheManager
) -> None:
    for first, second in ((skewed, right), (right, skewed)):
        assert await first.add("lock", 1, ttl=60)
        assert not await second.add("lock", 2, ttl=60)
        assert await second.get("lock") == 1
        assert await second.delete("lock")


async def test_a_counting_window_is_the_same_for_all_clocks(
    skewed: CacheManager, right: CacheManager
) -> None:
    for number, cache in enumerate([right, skewed, right, skewed], 1):
        assert await cache.incr("window", ttl=60) == number
        left = await cache.get_ttl("window")
        assert left is not None
        assert 0 < left <= 60


async def test_lifetimes_count_by_the_servers_clock(
    skewed: CacheManager, right: CacheManager, own_redis: Server
) -> None:
    assert await skewed.set("k", "value", ttl=120)
    assert await right.touch("k", 60)
    for cache in (skewed, right):
        assert await cache.get("k") == "value"
        left = await cache.get_ttl("k")
        assert left is not None
        assert 0 < left <= 60
        entry = await cache.entry("k")
        assert entry is not None
        assert entry.expires_at is not None
        assert entry.expires_at - entry.created_at <= 120
    with Redis.from_url(own_redis.url) as admin:
        stored: Any = admin.get("aiocache_pe:default:k")
        head = json.loads(stored.partition(b"\n")[0])
        assert abs(head["created_at"] - time.time()) < 100
    assert await skewed.cleanup_expired() == await right.cleanup_expired() == 0
    assert await skewed.delete("k")
    assert await right.get("k") is None


async def test_an_entry_ends_at_the_same_moment_for_all_clocks(own_redis: Server) -> None:
    """The clocks of the clients stand still, so that the test needs no time."""
    clocks = [FakeClock(time.time()), FakeClock(time.time() + 300)]
    caches = [CacheManager(RedisBackend(own_redis.url, clock=c), clock=c) for c in clocks]
    assert await caches[1].set("k", 1, ttl=600)
    assert await caches[0].get("k") == 1
    for clock, cache in zip(clocks, caches, strict=True):
        clock.advance(500)
        assert await cache.get("k") == 1
        clock.advance(130)
        assert await cache.get("k") is None
    for cache in caches:
        await cache.close()


async def test_a_stale_value_is_stale_for_all_clocks(
    skewed: CacheManager, right: CacheManager
) -> None:
    async def compute() -> str:
        return "computed"

    settings: dict[str, Any] = {"ttl": 60, "stale_ttl": 60}
    assert await skewed.get_or_set("k", compute, **settings) == "computed"
    assert await right.get("k") == "computed"
    used = await skewed.get_or_set("k", compute, **settings)
    assert used == "computed"
    assert (await right.get_stats()).misses == 0


async def test_reads_cost_no_round_trip_for_the_clock(own_redis: Server) -> None:
    store = RedisBackend(own_redis.url, tracking=False)
    await store.read(["default:k"])
    with Redis.from_url(own_redis.url) as admin:
        admin.config_resetstat()
        for _ in range(10):
            await store.read(["default:k"])
            await store.begin_and_read(["default:k"])
        counts: Any = admin.info("commandstats")
        assert "cmdstat_time" not in counts
    await store.close()
