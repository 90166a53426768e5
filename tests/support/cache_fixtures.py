"""Fixtures for tests of the manager: a clock that tests advance, and a cache over each store."""

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
    """Return a manager over one of `STORES`."""
    arguments = STORES[store] | settings
    if arguments["backend"] == "file":
        arguments["directory"] = directory
    return CacheManager(clock=clock, **arguments)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[*STORES, "redis"])
async def cache(
    request: pytest.FixtureRequest, cache_dir: Path, clock: FakeClock
) -> AsyncIterator[CacheManager]:
    """Yield a cache over each store in turn, with and without a memory tier."""
    if request.param == "redis":
        request.getfixturevalue("lasting_leases")
        server: Server = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as admin:
            admin.flushall()
        opened = CacheManager("redis", redis_url=server.url, directory=cache_dir, clock=clock)
    else:
        opened = make_manager(request.param, cache_dir, clock)
    async with opened as manager:
        yield manager


@pytest.fixture
async def memory(clock: FakeClock) -> AsyncIterator[CacheManager]:
    """Yield a cache in memory, for tests that do not depend on the store."""
    async with CacheManager("memory", clock=clock) as manager:
        yield manager


@pytest.fixture
def umask_zero() -> Iterator[None]:
    """Set the umask to zero, so that only explicit permissions protect files."""
    before = os.umask(0)
    yield
    os.umask(before)
