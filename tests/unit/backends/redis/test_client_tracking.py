"""What is in memory is never old: told by the server, and set aside when nobody tells."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.key_names import make_entry_name
from aiocache_pe.record import Record
from aiocache_pe.testing.contract_support import AREA, record
from tests.support.polling import poll, poll_blocking
from tests.support.servers.deployments import Proxy
from tests.support.servers.redis_server import Server

KEY = AREA + "k"


@pytest.fixture
async def backend(own_redis: Server) -> AsyncIterator[RedisBackend]:
    made = RedisBackend(own_redis.url)
    await made.write([record("k", b"1")])
    yield made
    await made.close()


async def kept(backend: RedisBackend) -> Record:
    """A read whose copy may be kept in memory."""
    for _ in range(1000):
        found = (await backend.read([KEY]))[KEY]
        assert isinstance(found, Record)
        await asyncio.sleep(0.01)
        if found.stamp is not None and backend.is_current(found.stamp):
            return found
    raise AssertionError("no copy may ever be kept")


async def test_another_clients_change_ends_a_copy(own_redis: Server, backend: RedisBackend) -> None:
    copy = await kept(backend)
    with Redis.from_url(own_redis.url) as other:
        other.delete(make_entry_name(KEY))
    await poll(lambda: not backend.is_current(copy.stamp))


async def test_a_flush_ends_all_copies(own_redis: Server, backend: RedisBackend) -> None:
    copy = await kept(backend)
    with Redis.from_url(own_redis.url) as other:
        other.flushall()
    await poll(lambda: not backend.is_current(copy.stamp))


async def test_a_lost_listener_ends_all_copies_until_there_is_another(
    own_redis: Server, backend: RedisBackend
) -> None:
    copy = await kept(backend)
    with Redis.from_url(own_redis.url) as other:
        for client in other.client_list():
            if client["resp"] == "3" if "resp" in client else "B" in client["flags"]:
                other.client_kill_filter(_id=client["id"])
    await poll(lambda: not backend.is_current(copy.stamp))
    await kept(backend)


async def test_a_listener_to_whom_nothing_comes_any_more_ends_all_copies(
    own_redis: Server,
) -> None:
    """As behind a firewall that forgot the connection, or when the server's machine died."""
    proxy = Proxy(own_redis.port)
    proxy.start()
    backend = RedisBackend(f"redis://127.0.0.1:{proxy.port}?socket_timeout=1")
    try:
        await backend.write([record("k", b"1")])
        copy = await kept(backend)
        proxy.deafen()
        with Redis.from_url(own_redis.url) as other:
            other.delete(make_entry_name(KEY))
        await poll(lambda: not backend.is_current(copy.stamp), deadline=60)
        for _ in range(100):  # commands meet connections of the same kind
            with suppress(BackendError):
                await backend.write([record("k", b"2")])
                break
        await kept(backend)
    finally:
        await backend.close()
        proxy.stop()


async def test_a_change_between_question_and_answer_keeps_the_answer_out(
    own_redis: Server, backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invalidation overtakes the answer: it is old before it is here."""
    await kept(backend)
    tracker = backend._tracker
    assert tracker is not None
    get = backend._commands.get

    async def slow(names: Sequence[bytes]) -> Sequence[Any]:
        answer = await get(names)
        stamp = tracker._stamps[names[0]]
        with Redis.from_url(own_redis.url) as other:
            other.set(make_entry_name(KEY), b"new")
        await poll(lambda: not stamp.valid)
        return answer

    monkeypatch.setattr(backend._commands, "get", slow)
    found = (await backend.read([KEY]))[KEY]
    assert isinstance(found, Record)
    assert found.stamp is None


async def test_a_loop_that_is_busy_delays_no_news(own_redis: Server) -> None:
    async with CacheManager(RedisBackend(own_redis.url)) as cache:
        await cache.set("k", 1)
        engine = cache._shared.engine

        def is_tracked() -> bool:
            slot = engine.tier.nodes.get("default:k") if engine.tier else None
            return slot is not None and engine._is_current(slot.stamp)

        while not is_tracked():
            await cache.get("k")
            await asyncio.sleep(0.01)

        def write() -> None:
            with Redis.from_url(own_redis.url) as other:
                other.delete(make_entry_name("default:k"))

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        poll_blocking(lambda: not is_tracked())  # the loop stands still, that is the point
        assert await cache.get("k") is None
        await cache._shared.engine.backend.close()


async def test_where_client_is_forbidden_everything_works_without_the_tier(
    secured_redis: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    backend = RedisBackend(secured_redis[1])
    async with CacheManager(backend) as cache:
        await cache.set("k", 1)
        for _ in range(20):
            assert await cache.get("k") == 1
            await asyncio.sleep(0.005)
        await poll(lambda: "permits no tracking" in caplog.text)
        tier = cache._shared.engine.tier
        assert tier is not None
        assert len(tier.nodes) == 0
    await backend.close()
    assert "pw" not in caplog.text


async def test_two_managers_see_each_others_writes(own_redis: Server, cache_dir: Path) -> None:
    url = own_redis.url
    async with (
        CacheManager("redis", redis_url=url, directory=cache_dir / "a") as one,
        CacheManager("redis", redis_url=url, directory=cache_dir / "b") as two,
    ):
        for n in range(200):
            await one.set("k", n)
            assert await one.get("k") == n
            end = time.monotonic() + 10
            while await two.get("k") != n:
                assert time.monotonic() < end
                await asyncio.sleep(0)
