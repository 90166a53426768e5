"""Memory tiers in front of servers that are no longer the primary, and are unaware of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from aiocache_pe import CacheManager
from tests.support.internals import is_entry_current
from tests.support.polling import poll, poll_blocking
from tests.support.scale import report
from tests.support.servers.deployments import Cluster, Proxy, Sentinels, execute, get_node_id
from tests.support.servers.redis_server import LONG_TIMEOUTS, Server, reserve_ports


@pytest.fixture
def own_sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """Yield a deployment of Sentinels for one test."""
    deployment = Sentinels(tmp_path / "sentinels")
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture
async def own_cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Yield a Cluster of three primaries for one test."""
    deployment = Cluster(tmp_path / "cluster", 0)
    try:
        await asyncio.to_thread(deployment.start)
        yield deployment
    finally:
        deployment.kill()


async def keep_in_memory(cache: CacheManager, key: str) -> None:
    """Read a key until its entry is kept in memory."""
    end = time.monotonic() + 60
    while not is_entry_current(cache, f"default:{key}"):
        assert time.monotonic() < end
        await cache.get(key)
        await asyncio.sleep(0.01)


def replace_unaware_primary(deployment: Sentinels) -> Server:
    """Replace the primary while it is paused, so that it learns nothing of it; return it."""
    old = deployment.get_primary()
    with Redis(port=old.port) as admin:  # the Sentinels cannot demote it
        execute(admin, "ACL", "SETUSER", "default", "-slaveof", "-replicaof")
    deployment.set_down_after(0.3)
    old.freeze()
    try:
        poll_blocking(lambda: deployment.get_primary() is not old, deadline=60)
    finally:
        old.thaw()
    return old


async def test_a_primary_that_the_sentinels_replaced_empties_the_tier(
    own_sentinels: Sentinels,
) -> None:
    async with CacheManager("redis", redis_url=own_sentinels.url, fallback=None) as cache:
        assert await cache.set("hot", "old")
        await keep_in_memory(cache, "hot")
        old = await asyncio.to_thread(replace_unaware_primary, own_sentinels)
        async with CacheManager(
            "redis", redis_url=own_sentinels.url, memory_max_bytes=0, fallback=None
        ) as writer:
            end = time.monotonic() + 60
            while not await writer.set("hot", "new"):
                assert time.monotonic() < end
                await asyncio.sleep(0.01)
        acknowledged = time.monotonic()
        while (value := await cache.get("hot")) != "new":
            assert value in ("old", None)
            assert time.monotonic() < acknowledged + 60
            await asyncio.sleep(0.002)
        report(f"Sentinel: an old value for {time.monotonic() - acknowledged:.2f} s")
        with Redis(port=old.port) as admin, suppress(RedisError):
            assert admin.info("replication")["role"] == "master"


async def test_a_primary_without_a_majority_empties_the_tier(own_cluster: Cluster) -> None:
    async with CacheManager("redis", redis_url=own_cluster.url, fallback=None) as cache:
        keys = [f"hot{n}" for n in range(20)]  # some on each primary
        assert await cache.set_many(dict.fromkeys(keys, "old"))
        for key in keys:
            await keep_in_memory(cache, key)
        # The node loses the others, and still answers PING.
        others = [get_node_id(node) for node in own_cluster.nodes[1:]]
        with Redis(port=own_cluster.nodes[0].port) as admin:
            for other in others:
                execute(admin, "CLUSTER FORGET", other)
            poll_blocking(lambda: execute(admin, "CLUSTER INFO")["cluster_state"] == "fail")
            began = time.monotonic()
            assert admin.ping()
        await poll(lambda: not is_entry_current(cache, "default:hot0"), deadline=60)
        report(f"minority: copies in memory for {time.monotonic() - began:.2f} s")


async def test_a_planned_failover_does_not_restart_a_counter(
    own_redis: Server, cache_dir: Path, tmp_path: Path
) -> None:
    successor = Server(tmp_path / "successor", reserve_ports(1)[0])
    proxy = Proxy(own_redis.port)
    proxy.start()
    url = f"redis://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}"
    try:
        successor.start()
        async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
            for n in range(5):
                assert await cache.incr("counter") == n + 1
            with Redis(port=successor.port) as admin:
                admin.replicaof("127.0.0.1", own_redis.port)
                await asyncio.to_thread(poll_blocking, lambda: is_linked(admin), deadline=60)
                admin.replicaof("NO", "ONE")
            with Redis(port=own_redis.port) as admin:
                admin.replicaof("127.0.0.1", successor.port)
            counting = asyncio.ensure_future(cache.incr("counter"))
            await poll(lambda: counting.done() or is_refused(own_redis), deadline=60)
            proxy.retarget(successor.port)
            assert await counting == 6
            assert await cache.incr("counter") == 7
    finally:
        proxy.stop()
        successor.kill()


def is_linked(client: Redis) -> bool:
    return bool(client.info("replication")["master_link_status"] == "up")


def is_refused(server: Server) -> bool:
    """Return whether a server has refused a command."""
    with Redis(port=server.port) as admin:
        return bool(admin.info("stats")["total_error_replies"])
