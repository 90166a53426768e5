"""Cost of each method of the Redis store: commands, and round trips that carry them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis import Redis

from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.testing.contract_support import PREFIX, make_record
from tests.support.internals import get_redis_link
from tests.support.servers.redis_server import Server

KEYS = [f"{PREFIX}k{n}" for n in range(1000)]
RECORDS = [make_record(f"k{n}") for n in range(1000)]


async def write_computed(store: RedisBackend, count: int) -> None:
    """Begin computations of some keys, and store their values."""
    generations, _ = await store.begin_and_read(KEYS[:count])
    assert None not in await store.write_computed(RECORDS[:count], generations)


COSTS: dict[str, tuple[Callable[[RedisBackend], Awaitable[Any]], dict[str, int], int]] = {
    "write": (lambda store: store.write(RECORDS[:1]), {"evalsha": 1}, 1),
    "write many": (lambda store: store.write(RECORDS), {"evalsha": 1000}, 1),
    "read": (lambda store: store.read(KEYS[:1]), {"get": 1}, 1),
    "read an absent key": (lambda store: store.read(["absent"]), {"get": 1}, 1),
    "read many": (lambda store: store.read(KEYS), {"mget": 1}, 1),
    "update": (lambda store: store.update(KEYS[0], lambda _: RECORDS[0]), {"evalsha": 1}, 2),
    "update nothing": (lambda store: store.update(KEYS[0], lambda it: it), {"get": 1}, 1),
    "begin": (lambda store: store.begin_and_read(KEYS[:1]), {"mget": 1}, 1),
    "begin many": (lambda store: store.begin_and_read(KEYS[:400]), {"mget": 1}, 1),
    "write a computed value": (
        lambda store: write_computed(store, 1),
        {"mget": 1, "evalsha": 1},
        2,
    ),
    "write computed values": (
        lambda store: write_computed(store, 400),
        {"mget": 1, "evalsha": 400},
        2,
    ),
    "delete": (lambda store: store.delete(KEYS[:1]), {"evalsha": 1}, 1),
    "delete many": (lambda store: store.delete(KEYS), {"evalsha": 1000}, 1),
}
"""Calls of methods, the commands that each sends, and the number of round trips."""

# The server also counts the commands inside a script, and those of this test.
_UNCOUNTED = {"get", "set", "unlink", "getrange", "config", "config|resetstat"}


async def test_each_method_sends_few_commands_in_few_round_trips(own_redis: Server) -> None:
    store = RedisBackend(own_redis.url, tracking=False)
    await store.update(KEYS[0], lambda _: RECORDS[0])  # the server knows the scripts after this
    await store.write(RECORDS[:1])
    await write_computed(store, 1)
    await store.delete(KEYS[:1])
    limit = get_redis_link(store).limit
    acquire, acquired = limit.acquire, list[None]()

    async def count_acquire() -> Any:
        acquired.append(None)
        return await acquire()

    limit.acquire = count_acquire  # type: ignore[method-assign]  # once in each round trip
    with Redis.from_url(own_redis.url) as admin:
        for method, (call, expected, round_trips) in COSTS.items():
            acquired.clear()
            admin.config_resetstat()
            await call(store)
            stats: Any = admin.info("commandstats")
            calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
            assert len(acquired) == round_trips, method
            assert {name: calls.get(name) for name in expected} == expected, method
            assert calls.keys() <= expected.keys() | _UNCOUNTED, method
    await store.close()
