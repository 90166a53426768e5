"""Users of a Redis server with few rights: each refused command is counted, logged and named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import AccessDeniedError, BackendError, CacheManager
from aiocache_pe.backends import RedisBackend
from aiocache_pe.backends.redis import leases
from aiocache_pe.backends.redis.rights import BASIC_RIGHTS, CLUSTER_RIGHTS, TIER_RIGHTS
from tests.support.polling import poll
from tests.support.scale import report
from tests.support.servers.deployments import execute
from tests.support.servers.redis_server import LONG_TIMEOUTS, Server

DOCUMENTATION = Path(__file__).parents[2] / "docs/redis.md"
RIGHTS = [*BASIC_RIGHTS, *TIER_RIGHTS]


def make_user(
    admin: Redis, *, without: str = "", names: Sequence[str] = ("~aiocache_pe*",)
) -> None:
    """Create a user with all rights but one."""
    rights = [right for right in (*RIGHTS, "+info") if right != without]
    execute(admin, "ACL", "SETUSER", "app", "reset", "on", ">pw", *names, *rights)


async def use_everything(cache: CacheManager, admin: Redis) -> None:
    """Call each operation once, and compute a value for so long that its lease is renewed."""
    await cache.set_many({f"k{n}": n for n in range(3)}, tags=["tag"])
    await cache.get("k0")
    await cache.get_many(["k0", "k1"])
    await cache.add("added", 1)
    await cache.touch("k0", 60)
    await cache.pop("k1")
    try:
        await cache.incr("counter")
    except BackendError as error:
        assert isinstance(error.__cause__, AccessDeniedError)  # noqa: PT017 - it may not raise

    async def compute() -> int:
        executed: Any = admin.info("commandstats")
        count = executed.get("cmdstat_evalsha", {}).get("calls", 0)
        for _ in range(40):
            await asyncio.sleep(0.005)
            now: Any = admin.info("commandstats")
            if now.get("cmdstat_evalsha", {}).get("calls", 0) > count + 1:  # known by then
                break
        return 1

    await cache.get_or_set("computed", compute)
    await cache.delete("k0")
    listed = cache.keys()
    assert len([key async for key in listed]) < 10
    await cache.entry("k2")
    await cache.invalidate("k*")
    await cache.delete_by_tag("tag")
    await cache.get_stats()
    await cache.clear()
    await cache.set("used", 1)
    await cache.get("used")  # counted when the cache is closed


@pytest.mark.parametrize("right", RIGHTS)
async def test_a_missing_right_is_counted_logged_once_and_named_by_doctor(
    right: str,
    own_redis: Server,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.001)
    url = f"redis://app:pw@127.0.0.1:{own_redis.port}{LONG_TIMEOUTS}"
    with Redis.from_url(own_redis.url) as admin:
        make_user(admin, without=right)
        execute(admin, "SCRIPT", "FLUSH")
        async with CacheManager(
            "redis", redis_url=url, directory=cache_dir, fallback=None
        ) as cache:
            await use_everything(cache, admin)
            if right in TIER_RIGHTS:
                await poll(lambda: "tracking" in caplog.text, deadline=60)
            errors = (await cache.get_stats()).errors
        store = RedisBackend(url)
        checks = {check.name: check for check in await store.examine()}
        await store.close()

    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name == "aiocache_pe" and f"{right} " in record.getMessage() + " "
    ]
    if right in TIER_RIGHTS:
        assert checks["tracking"].level == "warning"
        assert right in checks["tracking"].detail
        assert checks["rights"].level == "ok"
        return
    found = checks["rights"]
    assert found.level == "failure"
    assert re.search(rf"lacks {re.escape(right)}:", found.detail), found.detail
    [line] = lines
    assert f"lacks the right {right} " in line
    report(f"| {right} | {errors} | {line} | {found.detail} |")


def test_the_documented_rights_are_those_that_doctor_tries() -> None:
    text = DOCUMENTATION.read_text()
    documented = set(re.findall(r"\+[a-z|]+", text[text.index("An ACL user needs") :]))
    tried = {*BASIC_RIGHTS, *TIER_RIGHTS, *CLUSTER_RIGHTS}
    assert documented - {"+select", "+info"} == tried


async def test_a_user_with_the_documented_rights_has_no_errors(
    own_redis: Server, cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://app:pw@127.0.0.1:{own_redis.port}{LONG_TIMEOUTS}"
    with Redis.from_url(own_redis.url) as admin:
        make_user(admin)
        async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
            await use_everything(cache, admin)
            assert (await cache.get_stats()).errors == 0
        store = RedisBackend(url)
        checks = {check.name: check.level for check in await store.examine()}
        await store.close()
        assert checks["rights"] == checks["tracking"] == "ok"
        refused = {entry[b"object"] for entry in execute(admin, "ACL", "LOG")}
        assert refused <= {b"client"}  # redis-py introduces itself, and needs no answer
    assert not caplog.records


async def test_names_without_access_are_named_by_doctor(own_redis: Server) -> None:
    with Redis.from_url(own_redis.url) as admin:
        make_user(admin, names=["~aiocache_pe:*", "~aiocache_pe~probe"])
    store = RedisBackend(f"redis://app:pw@127.0.0.1:{own_redis.port}{LONG_TIMEOUTS}")
    checks = {check.name: check for check in await store.examine()}
    await store.close()
    assert "~aiocache_pe~lease:*" in checks["rights"].detail
    assert "~aiocache_pe:*" not in checks["rights"].detail
