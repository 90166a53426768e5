"""Forked processes over Redis: each has connections and a memory tier of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from aiocache_pe import CacheManager
from aiocache_pe import sync as blocking
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.sentinels import PENDING
from tests.support.internals import get_engine, get_redis_link
from tests.support.polling import poll_blocking
from tests.support.servers.redis_server import Server

Work = Callable[[], None]


def run_in_fork(work: Work) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def run_in_multiprocessing(work: Work) -> None:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0


FORKS = pytest.mark.parametrize("fork", [run_in_fork, run_in_multiprocessing])


async def keep_in_memory(cache: CacheManager, key: str) -> None:
    """Read an entry until a copy of it is in the memory tier."""
    engine = get_engine(cache)
    end = time.monotonic() + 30
    while engine.peek(f"default:{key}") is PENDING:
        assert time.monotonic() < end
        await cache.get(key)


async def wait_for_value(cache: CacheManager, key: str, value: object) -> None:
    end = time.monotonic() + 30
    while await cache.get(key) != value:
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


@FORKS
@pytest.mark.parametrize("fallback", ["file", None])
def test_a_child_reads_what_it_and_its_parent_store(
    fork: Callable[[Work], None],
    fallback: Literal["file"] | None,
    redis_server: Server,
    cache_dir: Path,
) -> None:
    url = redis_server.url
    cache = CacheManager("redis", redis_url=url, directory=cache_dir, fallback=fallback)

    async def use_in_child() -> None:
        assert await cache.set("forked", "child")
        for _ in range(20):
            assert await cache.get("forked") == "child"
        await keep_in_memory(cache, "forked")
        async with CacheManager("redis", redis_url=url, fallback=None) as other:
            await other.set("forked", "changed")
        await wait_for_value(cache, "forked", "changed")

    with asyncio.Runner() as runner:
        runner.run(cache.set("forked", "old"))
        runner.run(keep_in_memory(cache, "forked"))
        fork(lambda: asyncio.run(use_in_child()))
        runner.run(wait_for_value(cache, "forked", "changed"))
        assert runner.run(cache.set("forked", "parent"))
        assert runner.run(cache.get("forked")) == "parent"
        runner.run(cache.close())


@FORKS
def test_a_blocking_child_reads_what_it_and_its_parent_store(
    fork: Callable[[Work], None], redis_server: Server, cache_dir: Path
) -> None:
    with blocking.CacheManager("redis", redis_url=redis_server.url, directory=cache_dir) as cache:
        cache.set("forked", "old")
        for _ in range(50):
            assert cache.get("forked") == "old"

        def use_in_child() -> None:
            assert cache.get("forked") == "old"
            assert cache.set("forked", "child")
            for _ in range(20):
                assert cache.get("forked") == "child"

        fork(use_in_child)
        poll_blocking(lambda: bool(cache.get("forked") == "child"), deadline=30)
        assert cache.set("forked", "parent")
        assert cache.get("forked") == "parent"


def test_a_child_uses_no_connection_of_its_parent(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(backend.read(["default:a"]))
        link = loop.run_until_complete(open_link(backend))

        def use_in_child() -> None:  # with the loop of the parent, which does not run now
            assert loop.run_until_complete(open_link(backend)) is not link

        run_in_fork(use_in_child)
        assert loop.run_until_complete(open_link(backend)) is link
        assert loop.run_until_complete(backend.read(["default:a"])) == {}
        loop.run_until_complete(backend.close())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def open_link(backend: RedisBackend) -> object:
    return get_redis_link(backend)
