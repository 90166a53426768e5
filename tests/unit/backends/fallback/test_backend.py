"""Falling back: quickly, without errors, and nothing comes back that was changed meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import CacheManager, cached
from aiocache_pe.backends.base import Condition, ReadResult
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.record import Head
from tests.support.file_records import record
from tests.support.polling import poll
from tests.support.servers.redis_server import Server

DELETES_AND_DIES = """
import asyncio, os, signal, sys
from aiocache_pe import CacheManager

async def main():
    cache = CacheManager("redis", redis_url=sys.argv[1], directory=sys.argv[2])
    await cache.delete("deleted")
    await cache.set("overwritten", "new")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def store(cache: CacheManager) -> FallbackBackend:
    backend = cache._shared.engine.backend
    assert isinstance(backend, FallbackBackend)
    return backend


async def is_back(cache: CacheManager) -> None:
    await poll(lambda: not store(cache).is_away, deadline=60)


@pytest.fixture
async def cache(own_redis: Server, cache_dir: Path) -> AsyncIterator[CacheManager]:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as manager:
        yield manager


def crash(server: Server) -> None:
    """Kill a server with a disk: when it starts again it holds what it holds now."""
    server.save()
    server.kill()


async def test_nothing_that_was_changed_meanwhile_comes_back(
    own_redis: Server, cache: CacheManager
) -> None:
    names = ["deleted", "overwritten", "tagged", "touched", "counted", "untouched"]
    for name in names:
        await cache.set(name, 1, tags=["t"] if name == "tagged" else [])
    crash(own_redis)
    assert await cache.get("untouched") is None
    assert await cache.delete("deleted") is False  # nobody can tell
    await cache.set("overwritten", 2)
    assert await cache.get("overwritten") == 2
    assert await cache.delete_by_tag("t")
    assert await cache.incr("counted") == 1
    own_redis.start()
    await is_back(cache)
    assert await cache.get("untouched") == 1
    for name in ("deleted", "tagged"):
        assert await cache.get(name) is None
    assert await cache.get("overwritten") in (2, None)
    assert await cache.get("counted") is None


async def test_what_a_closed_cache_left_is_settled_by_the_next(
    own_redis: Server, cache_dir: Path
) -> None:
    def opened() -> CacheManager:
        return CacheManager("redis", redis_url=own_redis.url, directory=cache_dir)

    async with opened() as cache:
        await cache.set("deleted", "old")
        await cache.set("kept", 1)
    crash(own_redis)
    async with opened() as cache:
        await cache.delete("deleted")
    own_redis.start()
    async with opened() as cache:
        assert await cache.get("deleted") is None
        assert store(cache).is_away  # until it has looked
        await is_back(cache)
        assert await cache.get("deleted") is None
        assert await cache.get("kept") == 1
    assert list(cache_dir.rglob("journal-*")) == []


async def test_where_nothing_can_be_noted_the_server_is_trusted_again(
    own_redis: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    async with CacheManager("redis", redis_url=own_redis.url, directory=tmp_path / "file") as cache:
        assert await cache.set("k", 1)
        crash(own_redis)
        for _ in range(2):
            assert not await cache.set("k", 2)
            assert not await cache.delete("k")
        own_redis.start()
        await is_back(cache)
        assert await cache.get("k") == 1  # as nobody was told that it is another


class Slow(MemoryBackend):
    """A store whose deletes are done, and take their time to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False
        self.deleted = 0

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        if self.is_away:
            raise OSError("away")
        return await super().read(keys)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        removed = await super().delete(keys, only)
        self.deleted += 1
        await self.gate.wait()
        return removed


async def test_what_is_changed_during_a_long_settlement_is_settled_too(tmp_path: Path) -> None:
    first, second = Slow(), Slow()
    backend = FallbackBackend(first, second, str(tmp_path), pauses=(0.01, 0.01))
    first.is_away = True
    await backend.read(["default:0"])
    assert backend.is_away
    for n in range(101):  # so many that changes go on while they are settled
        await backend.write([record(str(n))])
    second.gate.clear()
    before = second.deleted
    first.is_away = False
    await poll(lambda: second.deleted > before, deadline=30)
    await backend.write([record("7")])
    second.gate.set()
    await poll(lambda: not backend.is_away, deadline=30)
    assert await second.read(["default:7"]) == {}
    await backend.close()


async def test_a_cleared_namespace_stays_cleared(own_redis: Server, cache: CacheManager) -> None:
    await cache.set("a", 1)
    await cache.namespace("other").set("a", 1)
    crash(own_redis)
    await cache.clear()
    own_redis.start()
    await is_back(cache)
    assert await cache.get("a") is None
    assert await cache.namespace("other").get("a") == 1


async def test_a_server_that_hangs_is_left_at_once_by_all(
    own_redis: Server, cache_dir: Path
) -> None:
    calls = 0
    async with CacheManager("redis", redis_url=own_redis.hasty_url, directory=cache_dir) as cache:

        @cached(cache=cache)
        async def function(number: int) -> int:
            nonlocal calls
            calls += 1
            return number

        assert await function(0) == 0
        own_redis.freeze()
        try:
            assert await asyncio.gather(*map(function, range(200))) == list(range(200))
            assert store(cache).is_away
            assert await asyncio.gather(*map(function, range(200))) == list(range(200))
            assert calls <= 201
        finally:
            own_redis.thaw()
        await is_back(cache)
        assert await function(5) == 5


async def test_a_server_that_is_away_at_the_start_is_found_later(
    own_redis: Server, cache_dir: Path
) -> None:
    own_redis.kill()
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
        own_redis.start()
        await is_back(cache)
        assert await cache.set("k", 2)
        with Redis.from_url(own_redis.url) as admin:
            blob: Any = admin.get("aiocache_pe:default:k")
        assert blob.endswith(b"2")


async def test_counters_wait_for_the_store_they_belong_to(
    own_redis: Server, cache: CacheManager
) -> None:
    await cache.set("k", 1)
    crash(own_redis)
    for _ in range(5):
        await cache.set("k", 1)
        await cache.get("k")
    own_redis.start()
    await is_back(cache)
    stats = await cache.get_stats()
    assert (stats.sets, stats.hits) == (6, 5)


async def test_what_a_killed_process_changed_is_settled_by_the_next(
    own_redis: Server, cache_dir: Path
) -> None:
    url = own_redis.url
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        await cache.set("deleted", "old")
        await cache.set("overwritten", "old")
    crash(own_redis)
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", DELETES_AND_DIES, url, str(cache_dir)], check=False
    )
    assert died.returncode == -signal.SIGKILL
    own_redis.start()
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        assert await cache.get("deleted") is None
        await is_back(cache)
        assert await cache.get("deleted") is None
        assert await cache.get("overwritten") is None
        assert list(cache_dir.rglob("journal-*")) == []


async def test_what_a_killed_process_changed_is_settled_by_one_that_lives(
    own_redis: Server, cache_dir: Path
) -> None:
    """The one that lives had no trouble itself: it asked nothing while the server was away."""
    url = own_redis.url
    async with (
        CacheManager("redis", redis_url=url, directory=cache_dir, memory_max_bytes=0) as one,
        CacheManager("redis", redis_url=url, directory=cache_dir, memory_max_bytes=0) as two,
    ):
        await one.set("deleted", "old")
        await one.set("overwritten", "old")
        assert await two.get("deleted") == "old"
        crash(own_redis)
        died = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", DELETES_AND_DIES, url, str(cache_dir)],
            check=False,
        )
        assert died.returncode == -signal.SIGKILL
        assert list(cache_dir.rglob("journal-*")) != []
        own_redis.start()
        await poll(lambda: list(cache_dir.rglob("journal-*")) == [], deadline=60)
        await is_back(one)
        await is_back(two)
        for cache in (one, two):
            assert await cache.get("deleted") is None
            assert await cache.get("overwritten") is None
        assert await one.set("overwritten", "newer")
        assert await two.get("overwritten") == "newer"


async def test_who_is_cancelled_leaves_nothing_behind(
    own_redis: Server, cache: CacheManager
) -> None:
    await cache.set("k", 1)
    own_redis.kill()
    for _ in range(50):
        task = asyncio.ensure_future(cache.set("k", 2))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    own_redis.start()
    await is_back(cache)
    assert await cache.get("k") is None
    assert [h async for heads in store(cache)._second.scan("default:") for h in heads] == []


async def test_without_a_fallback_the_store_is_just_broken(own_redis: Server) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, fallback=None) as cache:
        own_redis.kill()
        assert await cache.set("k", 1) is False
        assert await cache.get("k") is None
        own_redis.start()
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1


def test_a_cache_of_a_module_outlives_its_loops_and_an_outage(
    own_redis: Server, cache_dir: Path
) -> None:
    cache = CacheManager("redis", redis_url=own_redis.url, directory=cache_dir)

    async def use() -> object:
        await cache.set("k", 1)
        return await cache.get("k")

    assert asyncio.run(use()) == 1
    own_redis.kill()
    assert asyncio.run(use()) == 1
    own_redis.start()
    end = time.monotonic() + 60
    while store(cache).is_away:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert asyncio.run(use()) == 1
    asyncio.run(cache.close())


async def test_a_forked_child_has_a_journal_and_a_prober_of_its_own(
    own_redis: Server, cache: CacheManager
) -> None:
    own_redis.kill()
    await cache.set("k", 1)

    def child() -> int:
        async def use() -> bool:
            await cache.set("k", 2)
            return bool(await cache.get("k") == 2)

        return 0 if asyncio.run(use()) else 1

    def forked() -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = child()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert await asyncio.to_thread(forked) == 0
