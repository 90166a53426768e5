"""Redis servers that answer, and refuse changes: demoted, full, or unable to save."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from aiocache_pe import CacheManager
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.exceptions import BackendError
from tests.support.internals import get_backend
from tests.support.polling import poll
from tests.support.servers.deployments import Proxy, execute
from tests.support.servers.redis_server import LONG_TIMEOUTS, Server, reserve_ports


def is_away(cache: CacheManager) -> bool:
    backend = get_backend(cache)
    return isinstance(backend, FallbackBackend) and backend.is_away


@pytest.fixture
def replica(own_redis: Server, tmp_path: Path) -> Iterator[Server]:
    """Yield a second server, which the test makes the primary of `own_redis`."""
    server = Server(tmp_path / "second", reserve_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()


async def demote(server: Server, successor: Server) -> None:
    """Make a server the replica of another one, with the data of both."""

    def demote_now() -> None:
        with Redis.from_url(successor.url) as admin:
            admin.replicaof("127.0.0.1", server.port)
            while admin.info("replication")["master_link_status"] != "up":
                pass
            admin.replicaof("NO", "ONE")
        with Redis.from_url(server.url) as admin:
            admin.replicaof("127.0.0.1", successor.port)

    await asyncio.to_thread(demote_now)


@pytest.mark.parametrize("fallback", ["file", None])
@pytest.mark.parametrize("memory_max_bytes", [0, 1 << 20])
async def test_after_a_failover_behind_one_address_the_new_primary_is_used(
    fallback: Literal["file"] | None,
    memory_max_bytes: int,
    own_redis: Server,
    replica: Server,
    cache_dir: Path,
) -> None:
    proxy = Proxy(own_redis.port)
    proxy.start()
    try:
        async with CacheManager(
            "redis",
            redis_url=f"redis://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}",
            directory=cache_dir,
            fallback=fallback,
            memory_max_bytes=memory_max_bytes,
        ) as cache:
            await asyncio.gather(*(cache.set(f"k{n}", "old") for n in range(16)))
            await asyncio.gather(*(cache.get(f"k{n}") for n in range(16)))
            await demote(own_redis, replica)
            proxy.retarget(replica.port)
            assert await cache.set("k0", "new")
            assert await cache.set_many({f"k{n}": "new" for n in range(1, 8)})
            assert await cache.delete("k8")
            assert await cache.incr("counter") == 1
            assert [await cache.get(f"k{n}") for n in range(10)] == ["new"] * 8 + [None, "old"]
            assert not is_away(cache)
            with Redis.from_url(replica.url) as admin:
                stored: Any = admin.get("aiocache_pe:default:k0")
                assert stored.endswith(b'"new"')
                assert admin.exists("aiocache_pe:default:counter")
    finally:
        proxy.stop()


async def test_a_demoted_server_is_replaced_by_the_fallback(
    own_redis: Server, replica: Server, cache_dir: Path
) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        await cache.set_many({"changed": "old", "deleted": "old", "kept": "old"})
        await demote(own_redis, replica)
        assert await cache.set("changed", "new")
        await cache.delete("deleted")
        assert is_away(cache)
        assert await cache.get("changed") == "new"
        assert await cache.get("deleted") is None
        with Redis.from_url(own_redis.url) as admin:
            admin.replicaof("NO", "ONE")
        await poll(lambda: not is_away(cache), deadline=30)
        assert await cache.get("changed") in ("new", None)
        assert await cache.get("deleted") is None
        assert await cache.get("kept") == "old"


async def test_a_copy_of_a_demoted_server_is_not_served_for_long(
    own_redis: Server, replica: Server, cache_dir: Path
) -> None:
    proxy = Proxy(own_redis.port)
    proxy.start()
    url = f"redis://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}"
    try:
        async with (
            CacheManager("redis", redis_url=url, directory=cache_dir) as cache,
            CacheManager("redis", redis_url=replica.url, fallback=None) as other,
        ):
            await cache.set("k", "old")
            end = asyncio.get_running_loop().time() + 0.5
            while asyncio.get_running_loop().time() < end:
                assert await cache.get("k") == "old"
                await asyncio.sleep(0.002)
            await demote(own_redis, replica)
            with Redis.from_url(own_redis.url) as admin:  # it hears of no more changes
                admin.replicaof("127.0.0.1", reserve_ports(1)[0])
            proxy.retarget(replica.port)
            await other.set("k", "new")
            end = asyncio.get_running_loop().time() + 10
            while await cache.get("k") != "new":
                assert asyncio.get_running_loop().time() < end
                await asyncio.sleep(0.002)
                await cache.set("another", 1)
    finally:
        proxy.stop()


async def test_a_full_server_serves_no_value_that_it_could_not_replace(
    own_redis: Server, cache_dir: Path
) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        await cache.set_many({"changed": "old", "counted": 1, "other": "old"})
        with Redis.from_url(own_redis.url) as admin:
            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", 1)
            assert not await cache.set("changed", "new")
            assert await cache.get("changed") is None
            with pytest.raises(BackendError, match="OOM"):
                await cache.incr("counted")
            assert await cache.get("counted") == 1
            assert await cache.get("other") == "old"
            assert await cache.delete("other")
            admin.config_set("maxmemory", 0)
        assert await cache.set("changed", "new")
        assert await cache.get("changed") == "new"


@asynccontextmanager
async def without_replicas(server: Server) -> AsyncGenerator[None]:
    """Have a server refuse changes (NOREPLICAS), because it has too few replicas."""
    with Redis.from_url(server.url) as admin:
        execute(admin, "CONFIG SET", "min-replicas-to-write", "1")
        yield
        execute(admin, "CONFIG SET", "min-replicas-to-write", "0")


@asynccontextmanager
async def unable_to_save(server: Server) -> AsyncGenerator[None]:
    """Have a server refuse changes (MISCONF), because it cannot write its file."""
    place = server.directory / "dump.rdb"
    place.mkdir()  # the server cannot rename a file over it
    with Redis.from_url(server.url) as admin:
        execute(admin, "CONFIG SET", "save", "3600 1000000")
        admin.bgsave()
        await poll(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield
        place.rmdir()
        admin.bgsave()
        await poll(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "ok")


@asynccontextmanager
async def busy_with_a_script(server: Server) -> AsyncGenerator[None]:
    """Have a server refuse all commands (BUSY), because a script does not end."""
    with Redis.from_url(server.url) as admin, Redis.from_url(server.url) as caller:
        execute(admin, "CONFIG SET", "lua-time-limit", "1")
        script = asyncio.create_task(
            asyncio.to_thread(execute, caller, "EVAL", "while true do end", 0)
        )

        def is_busy() -> bool:
            try:
                return not admin.ping()
            except ResponseError as error:
                return str(error).startswith("Redis is busy") or "BUSY" in str(error)

        await poll(is_busy)
        yield
        execute(admin, "SCRIPT KILL")
        with pytest.raises(ResponseError):
            await script


@pytest.mark.parametrize("refuse", [without_replicas, unable_to_save, busy_with_a_script])
async def test_a_server_that_refuses_all_changes_is_replaced_by_the_fallback(
    refuse: Callable[[Server], AbstractAsyncContextManager[None]],
    own_redis: Server,
    cache_dir: Path,
) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        await cache.set_many({"changed": "old", "deleted": "old", "counted": 1})
        async with refuse(own_redis):
            assert await cache.set("changed", "new")
            await cache.delete("deleted")
            assert await cache.get("changed") == "new"
            assert await cache.get("deleted") is None
            assert await cache.get_or_set("computed", lambda: 1) == 1
            # A server before version 7 accepts the changes of scripts without replicas.
            assert is_away(cache) or refuse is without_replicas
        await poll(lambda: not is_away(cache), deadline=30)
        assert await cache.get("changed") in ("new", None)
        assert await cache.get("deleted") is None
        assert await cache.incr("counted") in (1, 2)
        with Redis.from_url(own_redis.url) as admin:
            stored: Any = admin.get("aiocache_pe:default:changed")
            assert stored is None or stored.endswith(b'"new"')
            assert not admin.exists("aiocache_pe:default:deleted")


@pytest.mark.parametrize("refuse", [unable_to_save, busy_with_a_script])
async def test_no_change_is_reported_done_that_a_server_without_fallback_has_refused(
    refuse: Callable[[Server], AbstractAsyncContextManager[None]], own_redis: Server
) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, fallback=None) as cache:
        await cache.set_many({"changed": "old", "deleted": "old", "counted": 1})
        async with refuse(own_redis):
            assert not await cache.set("changed", "new")
            assert not await cache.set_many({"changed": "new", "more": 1})
            assert not await cache.delete("deleted")
            assert await cache.delete_many(["deleted", "changed"]) == 0
            with pytest.raises(BackendError):
                await cache.incr("counted")
            assert await cache.get_or_set("computed", lambda: 1) == 1
        assert await cache.get("counted") == 1
        assert await cache.set("changed", "new")
        assert await cache.get("changed") == "new"


@pytest.mark.parametrize("fallback", ["file", None])
@pytest.mark.parametrize("fault", ["password", "host"])
async def test_a_faulty_configuration_is_an_error_in_the_log(
    fault: str,
    fallback: Literal["file"] | None,
    own_redis: Server,
    cache_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = own_redis.default_url
    if fault == "password":
        with Redis.from_url(own_redis.url) as admin:
            admin.config_set("requirepass", "right")
        url = url.replace("redis://", "redis://:wrong@")
    else:
        url = url.replace("127.0.0.1", "host.invalid")
    async with CacheManager(
        "redis", redis_url=url, directory=cache_dir, fallback=fallback
    ) as cache:
        for _ in range(2):
            assert await cache.set("k", 1) is (fallback is not None)
            assert await cache.get("k") == (1 if fallback else None)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "check the URL" in errors[0].getMessage()
    assert "host.invalid" in errors[0].getMessage() or fault == "password"
