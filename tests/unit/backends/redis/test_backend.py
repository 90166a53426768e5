"""The Redis store: one format, the server's own expiry, clients of others, and no leaks."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis.asyncio
from redis import Redis

from aiocache_pe import BackendError, CacheManager, CorruptRecordError
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.key_names import make_entry_name
from aiocache_pe.exceptions import ConfigurationError, StoreUnavailableError
from aiocache_pe.record import Record, pack_head
from aiocache_pe.testing.contract_support import AREA, record
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.scale import report, scale_size
from tests.support.servers.deployments import RIGHTS, Cluster, SecuredCluster, Sentinels
from tests.support.servers.redis_server import Server, free_ports


async def test_the_bytes_are_those_of_every_store(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url)
    stored = record("bytes", b"payload")
    await backend.write([stored])
    with Redis.from_url(redis_server.url) as admin:
        blob = admin.get(b"aiocache_pe:contract:bytes")
    assert blob == pack_head(stored.head, stored.payload) + stored.payload
    await backend.close()


async def test_the_server_lets_entries_expire_once_they_may_not_even_be_stale(
    redis_server: Server,
) -> None:
    clock = FakeClock()
    backend = RedisBackend(redis_server.url, clock=clock)
    now = clock.time()
    await backend.write([record("plain", expires_at=now + 100.0)])
    await backend.write([record("stale", expires_at=now + 100.0, stale_until=now + 200.0)])
    await backend.write([record("for ever")])
    with Redis.from_url(redis_server.url) as admin:
        left = [admin.ttl(make_entry_name(AREA + name)) for name in ("plain", "stale", "for ever")]
    assert 90 <= left[0] <= 100
    assert 190 <= left[1] <= 200
    assert left[2] == -1
    await backend.update(AREA + "plain", lambda before: record("plain", expires_at=now + 500.0))
    with Redis.from_url(redis_server.url) as admin:
        assert admin.ttl(make_entry_name(AREA + "plain")) > 400
    await backend.close()


async def test_what_is_damaged_is_told_and_removed(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url)
    await backend.write([record("good"), record("bad")])
    with Redis.from_url(redis_server.url) as admin:
        admin.append(make_entry_name(AREA + "bad"), b"x")
        admin.delete(make_entry_name(AREA + "list"))
        admin.lpush(make_entry_name(AREA + "list"), b"x")
        found = await backend.read([AREA + "good", AREA + "bad"])
        assert isinstance(found[AREA + "bad"], CorruptRecordError)
        assert isinstance(found[AREA + "good"], Record)
        assert await backend.read([AREA + "bad"]) == {}
        other = await backend.read([AREA + "list"])
        assert isinstance(other[AREA + "list"], BackendError)
        admin.delete(make_entry_name(AREA + "list"))
    await backend.close()


async def test_a_client_of_the_users_is_used_and_not_closed(redis_server: Server) -> None:
    async with redis.asyncio.Redis.from_url(redis_server.url, protocol=2) as client:
        backend = RedisBackend(client=client)
        async with CacheManager(backend) as cache:
            await cache.set("of the user's client", 1)
            assert await cache.get("of the user's client") == 1
        await backend.close()
        assert await client.ping()
        assert "password" not in repr(backend)


def test_a_url_or_a_client() -> None:
    with pytest.raises(ConfigurationError, match="a URL or a client"):
        RedisBackend()


async def test_no_error_tells_the_password() -> None:
    backend = RedisBackend("redis://user:hunter2@127.0.0.1:1/3")
    with pytest.raises(StoreUnavailableError) as caught:
        await backend.read([AREA + "k"])
    error: BaseException | None = caught.value
    assert "redis://127.0.0.1:1/3" in str(error)
    while error is not None:
        assert "hunter2" not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    assert "hunter2" not in repr(backend)
    await backend.close()


@pytest.mark.parametrize(
    "url",
    [
        *("redis://:1/hunter2@host:6379/0", "redis://:1?hunter2@host:6379/0"),
        *("redis://:1#hunter2@host:6379/0", "redis+cluster://:1/hunter2@host"),
        *("redis+sentinel://:1/hunter2@host:26379/0", "unix://user:hunter2/x@/run/redis.sock"),
        *("unix://user:1@/run/hunter2@redis.sock", "unix://hunter2/x/run/redis.sock"),
    ],
)
def test_what_is_left_of_a_password_that_was_not_encoded_is_not_told(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisBackend(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("most", [1, 4])
async def test_more_calls_than_connections_wait_for_one(redis_server: Server, most: int) -> None:
    url = f"{redis_server.url}&max_connections={most}"
    keys = [f"{AREA}wait{n}" for n in range(50)]
    for backend in (
        RedisBackend(url, tracking=False),
        RedisBackend(client=redis.asyncio.Redis.from_url(url), tracking=False),
    ):
        await asyncio.gather(*(backend.write([record(key.removeprefix(AREA))]) for key in keys))
        found = await asyncio.gather(*(backend.read([key]) for key in keys))
        assert [list(each) for each in found] == [[key] for key in keys]
        link = backend._clients.link()
        await backend.close()
        if link.connections is None:
            await link.client.aclose()


async def test_a_wrong_password_is_told_without_it(
    secured_redis: list[str], secured_cluster: SecuredCluster
) -> None:
    for url in (secured_redis[0], secured_cluster.url):
        backend = RedisBackend(url.replace("correct%20horse", "hunter2"))
        with pytest.raises(StoreUnavailableError) as caught:
            await backend.read([AREA + "k"])
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(backend)
        await backend.close()


async def test_a_server_is_reached_by_a_socket_of_the_machine() -> None:
    with TemporaryDirectory() as folder:  # a short path: the kernel takes 107 bytes
        server = Server(Path(folder), free_ports(1)[0], [f"unixsocket {folder}/s"])
        try:
            server.start()
            url = f"unix://{folder}/s?db=3"
            async with (
                CacheManager(url, directory=folder, fallback=None) as one,
                CacheManager(url, directory=folder, fallback=None) as other,
            ):
                assert await one.set("k", [1])
                assert await other.get("k") == [1]
                assert await one.incr("n") == 1
                assert await other.incr("n") == 2
            with Redis(port=server.port, db=3) as admin:
                assert admin.exists(make_entry_name("default:k"))
        finally:
            server.kill()


def test_the_users_of_these_tests_have_the_rights_that_the_docs_name() -> None:
    page = Path(__file__).parents[4] / "docs" / "redis.md"
    assert f"`{RIGHTS}`" in page.read_text(encoding="utf-8")


async def test_every_primary_of_a_secured_cluster_answers_its_user(
    secured_cluster: SecuredCluster,
) -> None:
    async with CacheManager(
        "redis", redis_url=secured_cluster.url, fallback=None, namespace="secured"
    ) as cache:
        wanted = {f"k{n}": n for n in range(200)}  # in slots of all three
        assert await cache.set_many(wanted, tags=["all"])
        assert await cache.get_many(wanted) == wanted
        assert sorted([key async for key in cache.keys("*")]) == sorted(wanted)
        assert await cache.incr("counted") == 1
        backend = cache._shared.engine.backend
        assert isinstance(backend, RedisBackend)
        await backend.probe()
        checks = await backend.examine()
        assert [check for check in checks if check.level == "failure"] == []
        assert await cache.clear() == 201


def test_a_store_of_a_module_outlives_its_loops(
    redis_server: Server, sentinels: Sentinels, cluster: Cluster
) -> None:
    for url in (redis_server.url, sentinels.url, cluster.url):
        backend = RedisBackend(url, tracking=False)

        async def use(backend: RedisBackend = backend, *, n: int = 0) -> None:
            await backend.write([record(f"loop{n}")])
            assert len(await backend.read([AREA + f"loop{n}"])) == 1

        for n in range(3):
            asyncio.run(use(n=n))


async def test_a_cancelled_call_hands_its_answer_to_nobody(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    keys = [f"cancel{n}" for n in range(50)]
    await backend.write([record(key, key.encode()) for key in keys])
    dice = random.Random(7)

    async def checked(key: str) -> None:
        found = (await backend.read([AREA + key]))[AREA + key]
        assert isinstance(found, Record)
        assert found.payload == key.encode()

    async def cancelled(key: str) -> None:
        task = asyncio.ensure_future(checked(key))
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for _ in range(scale_size(5)):
        await asyncio.gather(*(cancelled(dice.choice(keys)) for _ in range(100)))
        await asyncio.gather(*(checked(dice.choice(keys)) for _ in range(100)))
    client = backend._clients.link().client
    assert isinstance(client, redis.asyncio.Redis)
    pool = client.connection_pool
    assert len(pool._in_use_connections) == 0
    assert len(pool._available_connections) <= 24
    report(
        f"{scale_size(5) * 100} calls cancelled, {scale_size(5) * 100} checked: none got another's"
    )
    await backend.close()


async def test_a_scan_tells_each_of_many_keys_once(cluster: Cluster) -> None:
    backend = RedisBackend(cluster.url, tracking=False)
    await backend.write([record(f"scan{n}") for n in range(2000)])
    seen = [head.key async for heads in backend.scan(AREA, "scan*") for head in heads]
    assert len(seen) == len(set(seen)) == 2000
    assert await backend.totals(AREA) >= (2000, 0)
    assert await backend.clear(AREA) >= 2000
    await backend.close()


async def test_a_cluster_is_there_when_every_primary_is(tmp_path: Path) -> None:
    deployment = Cluster(tmp_path / "cluster", replicas=0)
    backend = RedisBackend(deployment.url, tracking=False)
    try:
        deployment.start()
        await backend.probe()
        last = deployment.nodes[-1]
        last.kill()
        with pytest.raises(StoreUnavailableError):
            await backend.probe()
        await asyncio.to_thread(last.start)
        await poll_probe(backend)
    finally:
        await backend.close()
        deployment.kill()


async def poll_probe(backend: RedisBackend) -> None:
    """Wait until it says that all is there."""
    end = time.monotonic() + 60
    while True:
        try:
            return await backend.probe()
        except StoreUnavailableError:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_clearing_that_the_server_refuses_is_no_success(redis_server: Server) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.acl_setuser(
            "keeper", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-unlink"]
        )
    backend = RedisBackend(redis_server.url.replace("redis://", "redis://keeper:pw@"))
    await backend.write([record("kept")])
    with pytest.raises(BackendError, match="permission"):
        await backend.clear(AREA)
    await backend.close()
    async with CacheManager(
        "redis", redis_url=redis_server.url.replace("redis://", "redis://keeper:pw@"), fallback=None
    ) as cache:
        await cache.set("k", 1)
        assert await cache.clear() == 0
        assert (await cache.get_stats()).errors == 1


def test_a_clusters_client_of_the_users_has_nobody_listening() -> None:
    cluster = redis.asyncio.RedisCluster(host="127.0.0.1", port=1)
    assert RedisBackend(client=cluster)._tracker is None
