"""What the manager's tests share: a clock moved by hand, and a cache over each store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import CacheManager
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.servers.redis_server import Server

STORES: dict[str, dict[str, Any]] = {
    "memory": {"backend": "memory"},
    "memory without tier": {"backend": "memory", "memory_max_bytes": 0},
    "file": {"backend": "file"},
    "file without tier": {"backend": "file", "memory_max_bytes": 0},
}


def make_manager(store: str, directory: Path, clock: FakeClock, **settings: Any) -> CacheManager:
    """A manager over one of the stores that keep something."""
    given = STORES[store] | settings
    if given["backend"] == "file":
        given["directory"] = directory
    return CacheManager(clock=clock, **given)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[*STORES, "redis"])
async def cache(
    request: pytest.FixtureRequest, cache_dir: Path, clock: FakeClock
) -> AsyncIterator[CacheManager]:
    """A cache over each store in turn, with and without the memory tier in front."""
    if request.param == "redis":
        request.getfixturevalue("lasting_leases")
        server: Server = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as admin:
            admin.flushall()
        made = CacheManager("redis", redis_url=server.url, directory=cache_dir, clock=clock)
    else:
        made = make_manager(request.param, cache_dir, clock)
    async with made as manager:
        yield manager


@pytest.fixture
async def memory(clock: FakeClock) -> AsyncIterator[CacheManager]:
    """A cache where the store does not matter."""
    async with CacheManager("memory", clock=clock) as manager:
        yield manager


@pytest.fixture
def umask_zero() -> Iterator[None]:
    """The most careless of users."""
    before = os.umask(0)
    yield
    os.umask(before)
