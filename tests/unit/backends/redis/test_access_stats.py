"""Who was read how often, over Redis: beside the entry, and gone with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.redis import client_tracking
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.key_names import USAGE, make_entry_name, make_usage_name
from aiocache_pe.record import Record
from aiocache_pe.testing.contract_support import AREA, record
from aiocache_pe.warming.warm import most_hit
from tests.support.polling import poll
from tests.support.servers.redis_server import Server

KEY = AREA + "k"
NAME = make_entry_name(KEY)


@pytest.fixture
async def backend(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisBackend]:
    monkeypatch.setattr(client_tracking, "_PATIENCE", 60.0)  # or copies end when the server is late
    made = RedisBackend(own_redis.url)
    yield made
    await made.close()


@pytest.fixture
def admin(own_redis: Server) -> Any:
    with Redis.from_url(own_redis.url) as client:
        yield client


@pytest.mark.parametrize("key", ["k", "{user}1", "f({})", "}", "}{", "{", "a}b", "{}{x}", "{}}"])
def test_the_usage_of_an_entry_lies_in_its_slot(key: str) -> None:
    name = make_entry_name(f"default:{key}")
    assert key_slot(make_usage_name(name)) == key_slot(name)
    assert make_usage_name(name).startswith(USAGE)


async def test_managers_add_up_what_they_read(own_redis: Server, cache_dir: Path) -> None:
    for n in range(2):
        async with CacheManager(
            "redis", redis_url=own_redis.url, directory=cache_dir / str(n)
        ) as cache:
            await cache.add("often", 1)
            await cache.add("once", [2])
            for _ in range(3):
                assert await cache.get("often") == 1
            if n:
                assert await cache.get("once") == [2]
                entry = await cache.entry("often")
                assert entry is not None
                assert entry.hit_count == 6
                assert entry.created_at < entry.last_access <= time.time()
                assert await most_hit(cache) == ["often", "once"]


async def test_it_ends_with_its_entry(admin: Any, backend: RedisBackend) -> None:
    soon, late = time.time() + 10_000, time.time() + 1e9
    await backend.write([record("k", expires_at=soon), record("late", expires_at=late)])
    await backend.write([record("for ever")])
    keys = {AREA + name: (1, 5.0) for name in ("k", "late", "for ever")}
    await backend.add_usage(keys)
    left = [admin.ttl(make_usage_name(make_entry_name(key))) for key in keys]
    assert 9_000 < left[0] <= 10_000
    assert [89 < seconds / 86400 <= 90 for seconds in left[1:]] == [True, True]
    await backend.delete([KEY])
    await backend.update(AREA + "late", lambda before: None)
    await backend.clear(AREA)
    assert admin.keys() == []


async def test_what_is_told_late_makes_nothing_younger(backend: RedisBackend) -> None:
    await backend.write([record("k")])
    await backend.add_usage({KEY: (2, 1600.25)})
    await backend.add_usage({KEY: (1, 1500.0)})
    assert await backend.usage(KEY) == (3, 1600.25)


async def test_copies_stay_current_whoever_counts(backend: RedisBackend, admin: Any) -> None:
    await backend.write([record("k")])
    stamps: list[object] = []

    async def is_kept() -> bool:
        found = (await backend.read([KEY]))[KEY]
        assert isinstance(found, Record)
        stamps[:] = [found.stamp]
        return backend.is_current(found.stamp)

    while not await is_kept():
        pass
    await backend.add_usage({KEY: (1, 5.0)})
    await backend.write([record("another")])  # news of it comes after any of the usage
    heard: list[object] = []
    while not heard:
        found = (await backend.read([AREA + "another"]))[AREA + "another"]
        assert isinstance(found, Record)
        heard = [found.stamp] if backend.is_current(found.stamp) else []
    admin.append(make_entry_name(AREA + "another"), b"")
    await poll(lambda: not backend.is_current(heard[0]))
    assert backend.is_current(stamps[0])
    assert await backend.usage(KEY) == (1, 5.0)


async def test_a_long_head_and_what_is_no_entry(backend: RedisBackend, admin: Any) -> None:
    tags = {f"tag{n}": "0123456789ab" for n in range(200)}
    await backend.write([record("k", tags=tags)])
    admin.set(make_entry_name(AREA + "text"), b"no record" * 200)
    admin.lpush(make_entry_name(AREA + "list"), b"no record")
    await backend.add_usage({AREA + "text": (1, 5.0), AREA + "list": (1, 5.0), KEY: (1, 5.0)})
    assert await backend.usage(KEY) == (1, 5.0)
    assert await backend.usage(AREA + "text") == (0, None)
    assert await backend.usage(AREA + "list") == (0, None)


async def test_thousands_take_one_round_trip(admin: Any, backend: RedisBackend) -> None:
    records = [record(f"k{n}") for n in range(1200)]
    await backend.write(records)
    await backend.usage(KEY)  # the server knows the script after this
    admin.config_resetstat()
    await backend.add_usage({each.head.key: (n, 5.0) for n, each in enumerate(records, 1)})
    assert admin.info("commandstats")["cmdstat_evalsha"]["calls"] == 3
    assert await backend.usage(AREA + "k1199") == (1200, 5.0)


async def test_a_user_who_may_not_count_is_told(own_redis: Server, admin: Any) -> None:
    allowed = ["+get", "+set", "+getrange", "+eval", "+evalsha"]  # and no PTTL
    admin.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~aiocache_pe*", *allowed)
    backend = RedisBackend(own_redis.url.replace("://", "://narrow:pw@"), tracking=False)
    await backend.write([record("k")])
    with pytest.raises(BackendError):
        await backend.add_usage({KEY: (1, 5.0)})
    await backend.close()
