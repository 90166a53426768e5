"""TLS and users of Redis deployments: certificates that are renewed, Sentinels with users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio.sentinel import MasterNotFoundError

from aiocache_pe import BackendError, CacheManager
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.connection_pool import SentinelPool
from aiocache_pe.exceptions import StoreUnavailableError
from tests.support.internals import get_redis_link
from tests.support.servers.deployments import Sentinels, TlsProxy, execute
from tests.support.servers.redis_server import LONG_TIMEOUTS, Server, reserve_ports


@pytest.fixture
def proxy(own_redis: Server, tmp_path: Path) -> Iterator[TlsProxy]:
    """Yield a TLS proxy before a server of the test's own."""
    server = TlsProxy(tmp_path / "proxy", own_redis.port)
    server.start()
    yield server
    server.stop()


async def test_renewed_certificates_are_used_by_new_connections(proxy: TlsProxy) -> None:
    url = f"rediss://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}&ssl_ca_certs={proxy.authority}"
    store = RedisBackend(url, tracking=False)
    try:
        assert await store.read(["ns:k"]) == {}
        for _ in range(2):
            proxy.renew_certificates()
            pool = get_redis_link(store).pool
            assert pool is not None
            await pool.disconnect()
            assert await store.read(["ns:k"]) == {}
    finally:
        await store.close()


async def test_a_certificate_that_is_being_written_leaves_the_old_one_in_use(
    proxy: TlsProxy,
) -> None:
    url = f"rediss://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}&ssl_ca_certs={proxy.authority}"
    store = RedisBackend(url, tracking=False)
    try:
        assert await store.read(["ns:k"]) == {}
        proxy.authority.write_text("-----BEGIN CERTIFICATE-----\nhalf")
        pool = get_redis_link(store).pool
        assert pool is not None
        await pool.disconnect()
        assert await store.read(["ns:k"]) == {}
    finally:
        await store.close()


async def test_certificates_that_cannot_be_read_are_named_in_the_error(proxy: TlsProxy) -> None:
    url = f"rediss://127.0.0.1:{proxy.port}{LONG_TIMEOUTS}&ssl_ca_certs={proxy.authority}"
    store = RedisBackend(url, tracking=False)
    proxy.authority.write_text("no certificate")
    with pytest.raises(StoreUnavailableError, match="the TLS certificates cannot be read"):
        await store.read(["ns:k"])
    await store.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a Sentinel with a user of its own that watches a server without one."""
    directory = tmp_path_factory.mktemp("guarded")
    primary_port, port = reserve_ports(2)
    primary = Server(directory / "primary", primary_port)
    lines = [f"sentinel monitor main 127.0.0.1 {primary_port} 1"]
    sentinel = Server(directory / "sentinel", port, lines, sentinel=True)
    try:
        primary.start()
        sentinel.start()
        with Redis(port=port) as admin:
            execute(admin, "ACL", "SETUSER", "watcher", "on", ">s3cret", "+@all")
            execute(admin, "ACL", "SETUSER", "default", "off")
        yield sentinel
    finally:
        sentinel.kill()
        primary.kill()


async def test_sentinels_have_a_user_and_a_password_of_their_own(guarded: Server) -> None:
    hosts = f"redis+sentinel://127.0.0.1:{guarded.port}/main{LONG_TIMEOUTS}"
    url = f"{hosts}&sentinel_username=watcher&sentinel_password=s3cret"
    async with CacheManager("redis", redis_url=url, fallback=None) as cache:
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
        assert "s3cret" not in repr(cache)


@pytest.mark.parametrize("credentials", ["", "&sentinel_password=wrong"])
async def test_sentinels_that_refuse_the_credentials_are_a_faulty_configuration(
    credentials: str, guarded: Server
) -> None:
    url = f"redis+sentinel://127.0.0.1:{guarded.port}/main{LONG_TIMEOUTS}{credentials}"
    store = RedisBackend(url, tracking=False)
    with pytest.raises(StoreUnavailableError) as caught:
        await store.read(["ns:k"])
    await store.close()
    assert caught.value.is_misconfigured
    assert f"127.0.0.1:{guarded.port}" in str(caught.value)
    assert "wrong" not in str(caught.value).replace("wrong number", "")


async def test_sentinels_are_asked_over_tls(sentinels: Sentinels, tmp_path: Path) -> None:
    sentinel = sentinels.sentinels[0]
    proxy = TlsProxy(tmp_path / "proxy", sentinel.port)
    proxy.start()
    query = f"?socket_connect_timeout=1&ssl_ca_certs={proxy.authority}"
    url = f"rediss+sentinel://127.0.0.1:{proxy.port}/{sentinels.service}{query}"
    try:
        for setting in ("true", "false"):
            store = RedisBackend(f"{url}&sentinel_ssl={setting}", tracking=False)
            pool = get_redis_link(store).pool
            assert isinstance(pool, SentinelPool)
            if setting == "true":
                assert await pool.find_primary() == ("127.0.0.1", sentinels.get_primary().port)
            else:
                with pytest.raises(MasterNotFoundError, match="no Sentinel names a primary"):
                    await pool.find_primary()
            await store.close()
    finally:
        proxy.stop()


async def test_the_reason_of_each_sentinel_is_in_the_error(sentinels: Sentinels) -> None:
    absent = reserve_ports(1)[0]
    url = f"redis+sentinel://127.0.0.1:{absent},127.0.0.1:{sentinels.sentinels[0].port}/other"
    store = RedisBackend(url, tracking=False)
    with pytest.raises(BackendError, match="it knows no service 'other'") as caught:
        await store.read(["ns:k"])
    await store.close()
    assert f"127.0.0.1:{absent}: " in str(caught.value)
    assert "object at" not in str(caught.value)
