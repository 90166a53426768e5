"""Redis store: the record format, the server's expiry, URLs, users' clients, deployments."""

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
from aiocache_pe.testing.contract_support import PREFIX, make_record
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.internals import count_pooled_connections, get_backend, get_redis_link
from tests.support.scale import report, scale_size
from tests.support.servers.deployments import USER_RIGHTS, Cluster, SecuredCluster, Sentinels
from tests.support.servers.redis_server import Server, reserve_ports


async def test_the_bytes_are_those_of_every_store(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url)
    stored = make_record("bytes", b"payload")
    await backend.write([stored])
    with Redis.from_url(redis_server.url) as admin:
        value = admin.get(b"aiocache_pe:contract:bytes")
    assert value == pack_head(stored.head, stored.payload) + stored.payload
    await backend.close()


async def test_the_server_removes_entries_after_their_stale_lifetime(redis_server: Server) -> None:
    clock = FakeClock()
    backend = RedisBackend(redis_server.url, clock=clock)
    now = clock.time()
    await backend.write([make_record("plain", expires_at=now + 100.0)])
    await backend.write([make_record("stale", expires_at=now + 100.0, stale_until=now + 200.0)])
    await backend.write([make_record("permanent")])
    with Redis.from_url(redis_server.url) as admin:
        names = [make_entry_name(PREFIX + name) for name in ("plain", "stale", "permanent")]
        lifetimes = [admin.ttl(name) for name in names]
    assert 90 <= lifetimes[0] <= 100
    assert 190 <= lifetimes[1] <= 200
    assert lifetimes[2] == -1
    await backend.update(
        PREFIX + "plain", lambda before: make_record("plain", expires_at=now + 500.0)
    )
    with Redis.from_url(redis_server.url) as admin:
        assert admin.ttl(names[0]) > 400
    await backend.close()


async def test_a_damaged_value_is_reported_and_removed(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url)
    await backend.write([make_record("good"), make_record("bad")])
    with Redis.from_url(redis_server.url) as admin:
        admin.append(make_entry_name(PREFIX + "bad"), b"x")
        admin.delete(make_entry_name(PREFIX + "list"))
        admin.lpush(make_entry_name(PREFIX + "list"), b"x")
        found = await backend.read([PREFIX + "good", PREFIX + "bad"])
        assert isinstance(found[PREFIX + "bad"], CorruptRecordError)
        assert isinstance(found[PREFIX + "good"], Record)
        assert await backend.read([PREFIX + "bad"]) == {}
        found = await backend.read([PREFIX + "list"])
        assert isinstance(found[PREFIX + "list"], BackendError)
        admin.delete(make_entry_name(PREFIX + "list"))
    await backend.close()


async def test_a_users_client_is_used_and_not_closed(redis_server: Server) -> None:
    async with redis.asyncio.Redis.from_url(redis_server.url, protocol=2) as client:
        backend = RedisBackend(client=client)
        async with CacheManager(backend) as cache:
            await cache.set("of the user's client", 1)
            assert await cache.get("of the user's client") == 1
        await backend.close()
        assert await client.ping()
        assert "password" not in repr(backend)


def test_a_url_or_a_client_is_required() -> None:
    with pytest.raises(ConfigurationError, match="either a URL or a client; got neither"):
        RedisBackend()


async def test_no_error_contains_the_password() -> None:
    backend = RedisBackend("redis://user:hunter2@127.0.0.1:1/3")
    with pytest.raises(StoreUnavailableError) as caught:
        await backend.read([PREFIX + "k"])
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
def test_the_rest_of_an_unencoded_password_is_in_no_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisBackend(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("max_connections", [1, 4])
async def test_calls_wait_when_all_connections_are_in_use(
    redis_server: Server, max_connections: int
) -> None:
    url = f"{redis_server.url}&max_connections={max_connections}"
    keys = [f"{PREFIX}wait{n}" for n in range(50)]
    for backend in (
        RedisBackend(url, tracking=False),
        RedisBackend(client=redis.asyncio.Redis.from_url(url), tracking=False),
    ):
        await asyncio.gather(
            *(backend.write([make_record(key.removeprefix(PREFIX))]) for key in keys)
        )
        found = await asyncio.gather(*(backend.read([key]) for key in keys))
        assert [list(each) for each in found] == [[key] for key in keys]
        link = get_redis_link(backend)
        await backend.close()
        if link.owner is None:
            await link.client.aclose()


async def test_a_wrong_password_is_reported_without_the_password(
    secured_redis: list[str], secured_cluster: SecuredCluster
) -> None:
    for url in (secured_redis[0], secured_cluster.url):
        backend = RedisBackend(url.replace("correct%20horse", "hunter2"))
        with pytest.raises(StoreUnavailableError) as caught:
            await backend.read([PREFIX + "k"])
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(backend)
        await backend.close()


async def test_a_server_is_reached_through_a_unix_socket() -> None:
    with TemporaryDirectory() as directory:  # a short path: the kernel accepts 107 bytes
        server = Server(Path(directory), reserve_ports(1)[0], [f"unixsocket {directory}/s"])
        try:
            server.start()
            url = f"unix://{directory}/s?db=3"
            async with (
                CacheManager(url, directory=directory, fallback=None) as one,
                CacheManager(url, directory=directory, fallback=None) as other,
            ):
                assert await one.set("k", [1])
                assert await other.get("k") == [1]
                assert await one.incr("n") == 1
                assert await other.incr("n") == 2
            with Redis(port=server.port, db=3) as admin:
                assert admin.exists(make_entry_name("default:k"))
        finally:
            server.kill()


def test_the_documentation_names_the_rights_of_these_tests() -> None:
    page = Path(__file__).parents[4] / "docs" / "redis.md"
    words = page.read_text(encoding="utf-8").split()
    assert f"`{USER_RIGHTS}`" in " ".join(words)


async def test_every_primary_of_a_secured_cluster_answers_its_user(
    secured_cluster: SecuredCluster,
) -> None:
    async with CacheManager(
        "redis", redis_url=secured_cluster.url, fallback=None, namespace="secured"
    ) as cache:
        items = {f"k{n}": n for n in range(200)}  # in slots of all three primaries
        assert await cache.set_many(items, tags=["all"])
        assert await cache.get_many(items) == items
        assert sorted([key async for key in cache.keys("*")]) == sorted(items)
        assert await cache.incr("counted") == 1
        backend = get_backend(cache)
        assert isinstance(backend, RedisBackend)
        await backend.probe()
        checks = await backend.examine()
        assert [check for check in checks if check.level == "failure"] == []
        assert await cache.clear() == 201


def test_a_module_level_store_works_in_several_event_loops(
    redis_server: Server, sentinels: Sentinels, cluster: Cluster
) -> None:
    for url in (redis_server.url, sentinels.url, cluster.url):
        backend = RedisBackend(url, tracking=False)

        async def use(backend: RedisBackend = backend, *, n: int = 0) -> None:
            await backend.write([make_record(f"loop{n}")])
            assert len(await backend.read([PREFIX + f"loop{n}"])) == 1

        for n in range(3):
            asyncio.run(use(n=n))


async def test_no_call_receives_the_answer_of_a_cancelled_call(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    keys = [f"cancel{n}" for n in range(50)]
    await backend.write([make_record(key, key.encode()) for key in keys])
    dice = random.Random(7)

    async def read_and_check(key: str) -> None:
        found = (await backend.read([PREFIX + key]))[PREFIX + key]
        assert isinstance(found, Record)
        assert found.payload == key.encode()

    async def read_and_cancel(key: str) -> None:
        task = asyncio.ensure_future(read_and_check(key))
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for _ in range(scale_size(5)):
        await asyncio.gather(*(read_and_cancel(dice.choice(keys)) for _ in range(100)))
        await asyncio.gather(*(read_and_check(dice.choice(keys)) for _ in range(100)))
    pool = get_redis_link(backend).pool
    assert pool is not None
    in_use, idle = count_pooled_connections(pool)
    assert in_use == 0
    assert idle <= 24
    calls = scale_size(5) * 100
    report(f"{calls} calls cancelled, {calls} checked: no answer was mixed up")
    await backend.close()


async def test_a_scan_yields_each_of_many_keys_once(cluster: Cluster) -> None:
    backend = RedisBackend(cluster.url, tracking=False)
    await backend.write([make_record(f"scan{n}") for n in range(2000)])
    seen = [head.key async for heads in backend.scan(PREFIX, "scan*") for head in heads]
    assert len(seen) == len(set(seen)) == 2000
    assert await backend.totals(PREFIX) >= (2000, 0)
    assert await backend.clear(PREFIX) >= 2000
    await backend.close()


async def test_a_cluster_is_available_when_every_primary_is(tmp_path: Path) -> None:
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
        await wait_until_available(backend)
    finally:
        await backend.close()
        deployment.kill()


async def wait_until_available(backend: RedisBackend) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            return await backend.probe()
        except StoreUnavailableError:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_a_refused_clear_raises(redis_server: Server) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.acl_setuser(
            "keeper", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-scan"]
        )
    url = redis_server.url.replace("redis://", "redis://keeper:pw@")
    backend = RedisBackend(url)
    await backend.write([make_record("kept")])
    with pytest.raises(BackendError, match="permission"):
        await backend.clear(PREFIX)
    await backend.close()
    async with CacheManager("redis", redis_url=url, fallback=None, namespace="keeper") as cache:
        await cache.set("k", 1)
        assert await cache.clear() == 0
        assert (await cache.get_stats()).errors == 1


def test_a_users_cluster_client_is_not_tracked() -> None:
    cluster = redis.asyncio.RedisCluster(host="127.0.0.1", port=1)
    assert RedisBackend(client=cluster)._tracker is None
