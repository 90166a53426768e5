"""Values of an outage: kept where no process changed them in Redis meanwhile, and never old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.fallback.backend import FallbackBackend
from tests.support.hostile import make_record
from tests.support.internals import get_backend
from tests.support.polling import poll
from tests.support.scale import report, scale_size
from tests.support.servers.deployments import Proxy
from tests.support.servers.redis_server import LONG_TIMEOUTS, Server

COUNT = 200
NAMES = [f"k{n:03}" for n in range(COUNT)]
DELETED, OVERWRITTEN, CHANGED, UNTAGGED = NAMES[:20], NAMES[20:40], NAMES[40:50], NAMES[50:55]
TAGGED, ALL_TAGGED = NAMES[55:75], [*NAMES[48:75]]


def is_away(cache: CacheManager) -> bool:
    backend = get_backend(cache)
    assert isinstance(backend, FallbackBackend)
    return backend.is_away


def get_tags(name: str) -> tuple[str, ...]:
    """Return the tags of an entry: one that stays, and those that a process deletes."""
    deleted = ("others",) if name in CHANGED else ("own",) if name in UNTAGGED else ()
    return ("stays", *deleted) if name in ALL_TAGGED else ()


async def compute_all(cache: CacheManager) -> None:
    async def compute() -> str:
        return "computed"

    for name in NAMES:
        assert await cache.get_or_set(name, compute, tags=get_tags(name)) == "computed"


@pytest.fixture
def proxy(own_redis: Server) -> Iterator[Proxy]:
    """Yield a proxy in front of the server, through which one of two processes reaches it."""
    started = Proxy(own_redis.port)
    started.start()
    yield started
    with suppress(RuntimeError):  # the test has stopped it
        started.stop()


@pytest.mark.parametrize("old", ["old values in Redis", "no values in Redis"])
async def test_values_of_an_outage_are_kept_unless_another_process_changed_them(
    old: str, own_redis: Server, proxy: Proxy, cache_dir: Path
) -> None:
    url = f"redis://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}"
    async with (
        CacheManager("redis", redis_url=url, directory=cache_dir) as cache,
        CacheManager("redis", redis_url=own_redis.url, fallback=None) as other,
    ):
        if old.startswith("old"):
            for name in NAMES:
                await other.set(name, "old", tags=get_tags(name))
        await cache.get("k")
        dead_port = proxy.port  # the server refuses no connection, but the proxy does
        proxy.stop()
        await compute_all(cache)
        assert is_away(cache)
        await asyncio.sleep(scale_size(1) * 0.5 if scale_size(1) > 1 else 0)  # 30 s: STRESS=60
        assert await cache.delete_many(DELETED) == len(DELETED)
        assert await cache.set_many(dict.fromkeys(OVERWRITTEN, "overwritten"))
        assert await cache.delete_by_tag("own")

        await other.delete_many(CHANGED[:3])
        await other.set_many(dict.fromkeys(CHANGED[3:6], "other's"))
        await other.invalidate(CHANGED[6])
        await other.invalidate(f"{CHANGED[7][:-1]}[{CHANGED[7][-1]}]")
        await other.delete_by_tag("others")

        again = Proxy(own_redis.port)
        again.port = dead_port
        again.start()
        try:
            await poll(lambda: not is_away(cache), deadline=60)
            found = await cache.get_many(NAMES)
            assert found == await other.get_many(NAMES)
            assert [name for name in DELETED if name in found] == []
            assert {found.get(name) for name in OVERWRITTEN} == {"overwritten"}
            assert {found.get(name) for name in CHANGED} <= {None, "other's"}
            assert {found.get(name) for name in UNTAGGED} == {None}
            assert {found.get(name) for name in TAGGED} == {"computed"}
            assert {found.get(name) for name in NAMES[75:]} == {"computed"}
            kept = sum(value in ("computed", "overwritten") for value in found.values())
            report(f"{COUNT} computed: {kept} kept, {COUNT - kept} dropped, 0 old values ({old})")
            assert kept == COUNT - len(DELETED) - len(CHANGED) - len(UNTAGGED)

            # The tags of the kept entries are those of Redis.
            assert await other.delete_by_tag("stays")
            assert await other.get_many(ALL_TAGGED) == {}
        finally:
            again.stop()


@pytest.mark.parametrize("saves", [True, False], ids=["saved", "lost"])
async def test_values_are_kept_after_a_restart_of_the_server(
    saves: bool, own_redis: Server, cache_dir: Path
) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        await cache.set_many({"deleted": "old", "overwritten": "old"})
        if saves:
            own_redis.save()
        own_redis.kill()
        await compute_all(cache)
        await cache.delete("deleted")
        await cache.set("overwritten", "new")
        await asyncio.to_thread(own_redis.start)
        await poll(lambda: not is_away(cache), deadline=60)
        found = await cache.get_many(NAMES)
        assert found == dict.fromkeys(NAMES, "computed")
        assert await cache.get("deleted") is None
        assert await cache.get("overwritten") == "new"


async def test_an_outage_does_not_invalidate_the_entries_of_a_tag_in_redis(
    own_redis: Server, proxy: Proxy, cache_dir: Path
) -> None:
    url = f"redis://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}"
    async with (
        CacheManager("redis", redis_url=url, directory=cache_dir) as cache,
        CacheManager("redis", redis_url=own_redis.url, fallback=None) as other,
    ):
        await other.set("before", 1, tags=["tag"])
        await cache.get("before")
        port = proxy.port
        proxy.stop()
        assert await cache.get_or_set("during", lambda: 2, tags=["tag"]) == 2
        again = Proxy(own_redis.port)
        again.port = port
        again.start()
        try:
            await poll(lambda: not is_away(cache), deadline=60)
            expected: dict[str, Any] = {"before": 1, "during": 2}
            assert await cache.get_many(["before", "during"]) == expected
            assert await other.get_many(["before", "during"]) == expected
        finally:
            again.stop()


async def test_a_record_of_a_later_release_in_the_fallback_is_a_miss_after_the_outage(
    own_redis: Server, cache_dir: Path
) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        await cache.set("k", "old")
        await asyncio.to_thread(own_redis.save)
        own_redis.kill()
        await cache.set("k", "present")
        [file] = cache_dir.glob(".fallback-*/default/*/*-k")
        file.write_bytes(make_record("default:k").replace(b'"v":1', b'"v":2'))
        await asyncio.to_thread(own_redis.start)
        await poll(lambda: not is_away(cache), deadline=60)
        assert await cache.get("k") is None
        assert not file.exists()
