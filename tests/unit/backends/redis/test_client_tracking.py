"""Client tracking: no outdated copy is served, with or without a connection to the server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.key_names import make_entry_name
from aiocache_pe.record import Record
from aiocache_pe.testing.contract_support import PREFIX, make_record
from tests.support.internals import (
    get_engine,
    get_redis_commands,
    get_tracker,
    is_entry_current,
)
from tests.support.polling import poll, poll_blocking
from tests.support.servers.deployments import Proxy
from tests.support.servers.redis_server import Server

KEY = PREFIX + "k"


@pytest.fixture
async def backend(own_redis: Server) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(own_redis.url)
    await store.write([make_record("k", b"1")])
    yield store
    await store.close()


@pytest.fixture
def messages_are_late(backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no message of the server arrive, as if each were still on its way."""

    async def delay(message: object) -> None:
        pass

    monkeypatch.setattr(get_tracker(backend), "_handle_invalidation", delay)


async def read_tracked(backend: RedisBackend) -> Record:
    """Read the entry until its copy may be kept in memory."""
    for _ in range(1000):
        found = (await backend.read([KEY]))[KEY]
        assert isinstance(found, Record)
        await asyncio.sleep(0.01)
        if found.stamp is not None and backend.is_current(found.stamp):
            return found
    raise AssertionError("no copy may be kept in memory")


async def invalidate(backend: RedisBackend) -> None:
    async for _ in backend.invalidate(PREFIX, "k*"):
        pass


OWN_CHANGES: dict[str, Callable[[RedisBackend], Awaitable[object]]] = {
    "delete": lambda backend: backend.delete([KEY]),
    "remove by update": lambda backend: backend.update(KEY, lambda before: None),
    "supersede": lambda backend: backend.begin_and_read([KEY], supersede=True),
    "invalidate": invalidate,
    "clear": lambda backend: backend.clear(PREFIX),
}


@pytest.mark.usefixtures("messages_are_late")
@pytest.mark.parametrize("change", OWN_CHANGES.values(), ids=OWN_CHANGES)
async def test_an_own_change_drops_the_copy_of_an_entry_that_another_client_has_removed(
    own_redis: Server,
    backend: RedisBackend,
    change: Callable[[RedisBackend], Awaitable[object]],
) -> None:
    copy = await read_tracked(backend)
    with Redis.from_url(own_redis.url) as other:
        other.delete(make_entry_name(KEY))
    assert backend.is_current(copy.stamp)
    await change(backend)
    assert not backend.is_current(copy.stamp)


CHANGES: dict[str, Callable[[CacheManager], Awaitable[object]]] = {
    "pop": lambda cache: cache.pop("k", "absent"),
    "add": lambda cache: cache.add("k", "new", tags=["tag"]),
    "set": lambda cache: cache.set("k", "new", tags=["tag"]),
    "touch": lambda cache: cache.touch("k", 60),
    "incr": lambda cache: cache.incr("k"),
}


@pytest.mark.usefixtures("messages_are_late")
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_does_not_depend_on_the_message_about_a_deleted_tag(
    own_redis: Server, backend: RedisBackend, change: str
) -> None:
    async with (
        CacheManager(backend) as cache,
        CacheManager("redis", redis_url=own_redis.url, fallback=None) as other,
    ):
        await cache.set("k", 1, tags=["tag"])
        while get_engine(cache).get_current_entry("default+tags:tag") is None:
            assert await cache.get("k") == 1
        assert await other.delete_by_tag("tag")
        expected = {"pop": "absent", "add": True, "set": True, "touch": False, "incr": 1}
        assert await CHANGES[change](cache) == expected[change]
        left = {"pop": None, "add": "new", "set": "new", "touch": None, "incr": 1}
        assert await other.get("k") == left[change]


@pytest.mark.usefixtures("messages_are_late")
async def test_removals_count_entries_by_the_tags_in_the_store(
    own_redis: Server, backend: RedisBackend
) -> None:
    async with (
        CacheManager(backend) as cache,
        CacheManager("redis", redis_url=own_redis.url, fallback=None) as other,
    ):
        await cache.set_many({"k": 1, "old": 1}, tags=["tag"])
        while get_engine(cache).get_current_entry("default+tags:tag") is None:
            assert await cache.get("k") == 1
        await other.delete_by_tag("tag")
        await other.set_many({"k": 2, "kept": 2}, tags=["tag"])
        assert await cache.delete_many(["k", "old"]) == 1
        assert await cache.cleanup_expired() == 0
        assert await other.get("kept") == 2


async def test_a_change_by_another_client_invalidates_a_copy(
    own_redis: Server, backend: RedisBackend
) -> None:
    copy = await read_tracked(backend)
    with Redis.from_url(own_redis.url) as other:
        other.delete(make_entry_name(KEY))
    await poll(lambda: not backend.is_current(copy.stamp))


async def test_a_flush_invalidates_all_copies(own_redis: Server, backend: RedisBackend) -> None:
    copy = await read_tracked(backend)
    with Redis.from_url(own_redis.url) as other:
        other.flushall()
    await poll(lambda: not backend.is_current(copy.stamp))


async def test_a_lost_connection_invalidates_all_copies(
    own_redis: Server, backend: RedisBackend
) -> None:
    copy = await read_tracked(backend)
    with Redis.from_url(own_redis.url) as other:
        for client in other.client_list():
            if client["resp"] == "3" if "resp" in client else "B" in client["flags"]:
                other.client_kill_filter(_id=client["id"])
    await poll(lambda: not backend.is_current(copy.stamp))
    await read_tracked(backend)  # with a new connection


async def test_a_silent_connection_invalidates_all_copies(own_redis: Server) -> None:
    # As behind a firewall that dropped the connection, or when the server's machine died.
    proxy = Proxy(own_redis.port)
    proxy.start()
    backend = RedisBackend(f"redis://127.0.0.1:{proxy.port}?socket_timeout=1")
    try:
        await backend.write([make_record("k", b"1")])
        copy = await read_tracked(backend)
        proxy.silence()
        with Redis.from_url(own_redis.url) as other:
            other.delete(make_entry_name(KEY))
        await poll(lambda: not backend.is_current(copy.stamp), deadline=60)
        for _ in range(100):  # the connections of commands are silent, too
            with suppress(BackendError):
                await backend.write([make_record("k", b"2")])
                break
        await read_tracked(backend)
    finally:
        await backend.close()
        proxy.stop()


async def test_a_change_during_a_read_keeps_the_answer_out_of_memory(
    own_redis: Server, backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The invalidation arrives before the answer, which is outdated by then.
    await read_tracked(backend)
    tracker = get_tracker(backend)
    commands = get_redis_commands(backend)
    get = commands.get

    async def change_and_get(names: Sequence[bytes]) -> Sequence[Any]:
        answer = await get(names)
        version = tracker._versions[names[0]]
        with Redis.from_url(own_redis.url) as other:
            other.set(make_entry_name(KEY), b"new")
        await poll(lambda: not version.is_valid)
        return answer

    monkeypatch.setattr(commands, "get", change_and_get)
    found = (await backend.read([KEY]))[KEY]
    assert isinstance(found, Record)
    assert found.stamp is None


async def test_a_busy_event_loop_delays_no_invalidation(own_redis: Server) -> None:
    async with CacheManager(RedisBackend(own_redis.url)) as cache:
        await cache.set("k", 1)
        while not is_entry_current(cache, "default:k"):
            await cache.get("k")
            await asyncio.sleep(0.01)

        def delete() -> None:
            with Redis.from_url(own_redis.url) as other:
                other.delete(make_entry_name("default:k"))

        thread = threading.Thread(target=delete)
        thread.start()
        thread.join()
        # Polling blocks the event loop, which therefore cannot receive the invalidation itself.
        poll_blocking(lambda: not is_entry_current(cache, "default:k"))
        assert await cache.get("k") is None
        await get_engine(cache).backend.close()


async def test_a_user_without_permission_to_track_has_no_memory_tier(
    secured_redis: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    backend = RedisBackend(secured_redis[1])
    async with CacheManager(backend) as cache:
        await cache.set("k", 1)
        for _ in range(20):
            assert await cache.get("k") == 1
            await asyncio.sleep(0.005)
        await poll(lambda: "permits no tracking" in caplog.text)
        tier = get_engine(cache).tier
        assert tier is not None
        assert len(tier.nodes) == 0
    await backend.close()
    assert "pw" not in caplog.text


async def test_two_managers_see_the_writes_of_each_other(
    own_redis: Server, cache_dir: Path
) -> None:
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
