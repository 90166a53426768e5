"""`update_unchanged`: stores a record unless another process changed its key lately."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis import Redis

from aiocache_pe.backends import RedisBackend, Settleable
from aiocache_pe.backends.redis.key_names import make_entry_name, make_generation_name
from aiocache_pe.record import Record
from aiocache_pe.testing.contract_support import PREFIX, make_record
from tests.support.hostile import make_record as make_raw_record
from tests.support.polling import poll
from tests.support.servers.deployments import Cluster
from tests.support.servers.redis_server import Server

KEY, RECORD = f"{PREFIX}k", make_record("k", b"2")
HOUR = 3600.0


async def invalidate(store: RedisBackend, pattern: str) -> None:
    async for _ in store.invalidate(PREFIX, pattern):
        pass


CHANGES: dict[str, Callable[[RedisBackend], Awaitable[Any]]] = {
    "delete": lambda other: other.delete([KEY]),
    "write": lambda other: other.write([make_record("k", b"3")]),
    "update": lambda other: other.update(KEY, lambda _: make_record("k", b"4")),
    "clear": lambda other: other.clear(PREFIX),
    "invalidate": lambda other: invalidate(other, "k*"),
}


@pytest.fixture(params=["standalone", "cluster"])
async def stores(
    request: pytest.FixtureRequest, redis_server: Server
) -> AsyncIterator[tuple[RedisBackend, RedisBackend]]:
    """Yield the stores of two processes over one server, or over one Cluster."""
    url = redis_server.url
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        url = cluster.url
    else:
        with Redis.from_url(url) as admin:
            admin.flushall()
    pair = RedisBackend(url), RedisBackend(url)
    await pair[0].clear(PREFIX)
    yield pair
    for store in pair:
        await store.close()


async def store_unchanged(store: RedisBackend, seconds: float = HOUR) -> Record | None:
    assert isinstance(store, Settleable)
    return await store.update_unchanged(KEY, seconds, lambda _: RECORD)


async def test_a_record_of_an_unchanged_key_is_stored(
    stores: tuple[RedisBackend, RedisBackend],
) -> None:
    store, other = stores
    stored = await store_unchanged(store, 0.0)
    assert stored is not None
    found = (await other.read([KEY]))[KEY]
    assert isinstance(found, Record)
    assert (found.head, found.payload) == (RECORD.head, RECORD.payload)


@pytest.mark.parametrize("change", CHANGES)
async def test_after_a_change_of_another_process_the_key_is_removed(
    stores: tuple[RedisBackend, RedisBackend], change: str
) -> None:
    store, other = stores
    await store.write([make_record("k")])
    await CHANGES[change](other)
    assert await store_unchanged(store) is None
    assert await other.read([KEY]) == {}


async def test_a_change_before_the_last_seconds_does_not_count(
    stores: tuple[RedisBackend, RedisBackend],
) -> None:
    store, other = stores
    await other.delete([KEY])
    began = time.monotonic()
    await poll(lambda: time.monotonic() - began > 0.01)
    assert await store_unchanged(store, 0.001) is not None
    assert KEY in await other.read([KEY])


async def test_an_invalidation_of_other_keys_does_not_count(redis_server: Server) -> None:
    store, other = RedisBackend(redis_server.url), RedisBackend(redis_server.url)
    with Redis.from_url(redis_server.url) as admin:
        admin.flushall()
    await invalidate(other, "other*")
    assert await store_unchanged(store) is not None
    await invalidate(other, "k*")
    assert await store_unchanged(store) is None
    await store.close()
    await other.close()


async def test_changes_of_this_process_do_not_count(redis_server: Server) -> None:
    store, other = RedisBackend(redis_server.url), RedisBackend(redis_server.url)
    with Redis.from_url(redis_server.url) as admin:
        admin.flushall()
    await store.write([make_record("k")])
    await store.delete([KEY])
    assert await store_unchanged(store) is not None
    assert await store_unchanged(other) is None
    await store.close()
    await other.close()


async def test_a_lost_generation_counts_as_not_raised(redis_server: Server) -> None:
    store, other = RedisBackend(redis_server.url), RedisBackend(redis_server.url)
    await other.delete([KEY])
    with Redis.from_url(redis_server.url) as admin:
        admin.delete(make_generation_name(make_entry_name(KEY)))
    assert await store_unchanged(store, 0.0) is not None
    await store.close()
    await other.close()


async def test_a_record_of_a_later_release_is_removed(redis_server: Server) -> None:
    store = RedisBackend(redis_server.url)
    with Redis.from_url(redis_server.url) as admin:
        name = make_entry_name(KEY)
        admin.set(name, make_raw_record(KEY).replace(b'"v":1', b'"v":2'))
        assert await store_unchanged(store) is None
        assert admin.get(name) is None
    await store.close()
