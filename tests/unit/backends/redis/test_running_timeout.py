"""Time-outs of Redis commands: a busy event loop is not mistaken for a dead server."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.redis.running_timeout import RunningTimeout
from tests.support.internals import get_backend
from tests.support.servers.deployments import Proxy
from tests.support.servers.redis_server import Server


class Download:
    """A transfer that receives a byte a turn."""

    progress = 0


async def test_a_time_without_progress_raises() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with RunningTimeout(0.1):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= 0.1


async def test_no_limit_waits() -> None:
    async with RunningTimeout(None):
        await asyncio.sleep(0)


async def test_progress_extends_the_time() -> None:
    download = Download()
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def receive() -> None:
        download.progress += 1
        if download.progress < 20:
            loop.call_later(0.05, receive)
        else:
            done.set_result(None)

    receive()
    async with RunningTimeout(0.4, download):
        await done


async def test_endless_progress_ends() -> None:
    class Endless:
        @property
        def progress(self) -> object:
            return object()

    with pytest.raises(TimeoutError):
        async with RunningTimeout(0.01, Endless()):
            await asyncio.Event().wait()


async def test_an_answer_that_arrived_while_the_loop_was_busy_counts() -> None:
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    async with RunningTimeout(0.2):
        there.sendall(b"answer")
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is to be busy
        assert await reader.read(6) == b"answer"
    writer.close()
    there.close()


@pytest.mark.parametrize("moment", ["connected", "connecting"])
async def test_reads_beside_a_busy_loop_are_hits(
    moment: str, own_redis: Server, cache_dir: Path
) -> None:
    url = own_redis.default_url

    def open_cache() -> CacheManager:
        return CacheManager("redis", redis_url=url, directory=cache_dir, memory_max_bytes=0)

    async with open_cache() as writer:
        await writer.set_many({f"k{n}": n for n in range(32)})
    async with open_cache() as cache:
        if moment == "connected":
            await asyncio.gather(*(cache.get(f"k{n}") for n in range(32)))
        reads = [asyncio.ensure_future(cache.get(f"k{n}")) for n in range(32)]
        await asyncio.sleep(0)
        time.sleep(2.5)  # noqa: ASYNC251 - the loop is to be busy, longer than each time-out
        assert await asyncio.gather(*reads) == list(range(32))
        backend = get_backend(cache)
        assert isinstance(backend, FallbackBackend)
        assert not backend.is_away


async def test_a_silent_server_is_noticed(own_redis: Server, cache_dir: Path) -> None:
    proxy = Proxy(own_redis.port)
    proxy.start()
    try:
        url = f"redis://127.0.0.1:{proxy.port}?socket_timeout=0.5"
        async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
            assert await cache.set("k", 1)
            proxy.silence()
            began = time.monotonic()
            assert await cache.set("k", 2)  # in the fallback store
            assert time.monotonic() - began < 5
    finally:
        proxy.stop()
