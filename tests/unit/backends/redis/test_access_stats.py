"""Access statistics over Redis: stored beside the entry, and removed with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.key_names import (
    GENERATION_PREFIX,
    INVALIDATION_PREFIX,
    USAGE_PREFIX,
    make_entry_name,
    make_usage_name,
)
from aiocache_pe.record import Record
from aiocache_pe.testing.contract_support import PREFIX, make_record
from aiocache_pe.warming.warm import most_hit
from tests.support.internals import limit_tracking_silence
from tests.support.polling import poll
from tests.support.servers.redis_server import Server

KEY = PREFIX + "k"


@pytest.fixture
async def backend(
    own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisBackend]:
    # Otherwise copies would become outdated when the server is slow.
    limit_tracking_silence(monkeypatch, 60.0)
    store = RedisBackend(own_redis.url)
    yield store
    await store.close()


@pytest.fixture
def admin(own_redis: Server) -> Any:
    with Redis.from_url(own_redis.url) as client:
        yield client


@pytest.mark.parametrize("key", ["k", "{user}1", "f({})", "}", "}{", "{", "a}b", "{}{x}", "{}}"])
def test_the_statistics_of_an_entry_are_in_its_slot(key: str) -> None:
    name = make_entry_name(f"default:{key}")
    assert key_slot(make_usage_name(name)) == key_slot(name)
    assert make_usage_name(name).startswith(USAGE_PREFIX)


async def test_hits_of_several_managers_are_added(own_redis: Server, cache_dir: Path) -> None:
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


async def test_the_statistics_expire_and_are_removed_with_their_entry(
    admin: Any, backend: RedisBackend
) -> None:
    soon, late = time.time() + 10_000, time.time() + 1e9
    await backend.write([make_record("k", expires_at=soon), make_record("late", expires_at=late)])
    await backend.write([make_record("permanent")])
    usage = {PREFIX + name: (1, 5.0) for name in ("k", "late", "permanent")}
    await backend.add_usage(usage)
    lifetimes = [admin.ttl(make_usage_name(make_entry_name(key))) for key in usage]
    assert 9_000 < lifetimes[0] <= 10_000
    assert [89 < seconds / 86400 <= 90 for seconds in lifetimes[1:]] == [True, True]
    await backend.delete([KEY])
    await backend.update(PREFIX + "late", lambda before: None)
    await backend.clear(PREFIX)
    # The marks of the changes expire by themselves.
    marks = (GENERATION_PREFIX, INVALIDATION_PREFIX)
    names: list[bytes] = admin.keys()
    assert [name for name in names if not name.startswith(marks)] == []
    assert all(admin.ttl(name) > 0 for name in names)


async def test_a_late_report_does_not_lower_the_last_access(backend: RedisBackend) -> None:
    await backend.write([make_record("k")])
    await backend.add_usage({KEY: (2, 1600.25)})
    await backend.add_usage({KEY: (1, 1500.0)})
    assert await backend.usage(KEY) == (3, 1600.25)


async def test_counting_hits_does_not_invalidate_copies(backend: RedisBackend, admin: Any) -> None:
    await backend.write([make_record("k")])
    stamps: list[object] = []

    async def is_kept() -> bool:
        found = (await backend.read([KEY]))[KEY]
        assert isinstance(found, Record)
        stamps[:] = [found.stamp]
        return backend.is_current(found.stamp)

    while not await is_kept():
        pass
    await backend.add_usage({KEY: (1, 5.0)})
    # An invalidation of this entry arrives after any invalidation by the statistics.
    await backend.write([make_record("another")])
    other_stamps: list[object] = []
    while not other_stamps:
        found = (await backend.read([PREFIX + "another"]))[PREFIX + "another"]
        assert isinstance(found, Record)
        other_stamps = [found.stamp] if backend.is_current(found.stamp) else []
    admin.append(make_entry_name(PREFIX + "another"), b"")
    await poll(lambda: not backend.is_current(other_stamps[0]))
    assert backend.is_current(stamps[0])
    assert await backend.usage(KEY) == (1, 5.0)


async def test_a_long_head_is_counted_and_a_foreign_value_is_not(
    backend: RedisBackend, admin: Any
) -> None:
    tags = {f"tag{n}": "0123456789ab" for n in range(200)}
    await backend.write([make_record("k", tags=tags)])
    admin.set(make_entry_name(PREFIX + "text"), b"no record" * 200)
    admin.lpush(make_entry_name(PREFIX + "list"), b"no record")
    await backend.add_usage({PREFIX + "text": (1, 5.0), PREFIX + "list": (1, 5.0), KEY: (1, 5.0)})
    assert await backend.usage(KEY) == (1, 5.0)
    assert await backend.usage(PREFIX + "text") == (0, None)
    assert await backend.usage(PREFIX + "list") == (0, None)


async def test_hits_of_thousands_of_entries_take_few_script_calls(
    admin: Any, backend: RedisBackend
) -> None:
    records = [make_record(f"k{n}") for n in range(1200)]
    await backend.write(records)
    await backend.usage(KEY)  # the server knows the script after this
    admin.config_resetstat()
    await backend.add_usage({each.head.key: (n, 5.0) for n, each in enumerate(records, 1)})
    assert admin.info("commandstats")["cmdstat_evalsha"]["calls"] == 3
    assert await backend.usage(PREFIX + "k1199") == (1200, 5.0)


async def test_a_missing_permission_raises(own_redis: Server, admin: Any) -> None:
    allowed = ["+get", "+set", "+getrange", "+unlink", "+eval", "+evalsha"]  # without PTTL
    admin.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~aiocache_pe*", *allowed)
    backend = RedisBackend(own_redis.url.replace("://", "://narrow:pw@"), tracking=False)
    await backend.write([make_record("k")])
    with pytest.raises(BackendError):
        await backend.add_usage({KEY: (1, 5.0)})
    await backend.close()
