"""What each verb costs, as the server counts it: round trips, and commands in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis import Redis

from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.testing.contract_support import AREA, record
from tests.support.servers.redis_server import Server

KEYS = [f"{AREA}k{n}" for n in range(1000)]
RECORDS = [record(f"k{n}") for n in range(1000)]

COSTS: dict[str, tuple[Callable[[RedisBackend], Awaitable[Any]], dict[str, int], int]] = {
    "write": (lambda store: store.write(RECORDS[:1]), {"set": 1}, 1),
    "write many": (lambda store: store.write(RECORDS), {"set": 1000}, 1),
    "read": (lambda store: store.read(KEYS[:1]), {"get": 1}, 1),
    "read what is absent": (lambda store: store.read(["absent"]), {"get": 1}, 1),
    "read many": (lambda store: store.read(KEYS), {"mget": 1}, 1),
    "update": (lambda store: store.update(KEYS[0], lambda _: RECORDS[0]), {"evalsha": 1}, 2),
    "update nothing": (lambda store: store.update(KEYS[0], lambda it: it), {"get": 1}, 1),
    "delete": (lambda store: store.delete(KEYS[:1]), {"evalsha": 1}, 1),
    "delete many": (lambda store: store.delete(KEYS), {"evalsha": 1000}, 1),
}
"""A verb, the commands that it sends, and in how many round trips."""

# What a script does inside the server is counted there, too, and so is who asks for it.
_INSIDE = {"get", "set", "unlink", "config", "config|resetstat"}


async def test_a_verb_costs_no_more_round_trips(own_redis: Server) -> None:
    store = RedisBackend(own_redis.url, tracking=False)
    await store.update(KEYS[0], lambda _: RECORDS[0])  # the server knows the scripts after this
    await store.delete(KEYS[:1])
    limit = store._clients.link().limit
    acquire, taken = limit.acquire, list[None]()

    async def counted() -> Any:
        taken.append(None)
        return await acquire()

    limit.acquire = counted  # type: ignore[method-assign]  # each round trip takes a turn
    with Redis.from_url(own_redis.url) as admin:
        for verb, (call, expected, trips) in COSTS.items():
            taken.clear()
            admin.config_resetstat()
            await call(store)
            stats: Any = admin.info("commandstats")
            calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
            assert len(taken) == trips, verb
            assert {name: calls.get(name) for name in expected} == expected, verb
            assert calls.keys() <= expected.keys() | _INSIDE, verb
    await store.close()
