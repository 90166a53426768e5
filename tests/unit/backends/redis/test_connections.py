"""Whenever a call is cancelled, and whatever is under way at the end, no socket is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import redis.asyncio
from redis import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from aiocache_pe import BackendError, CacheError
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.connections import Connections
from aiocache_pe.backends.redis.key_names import make_entry_name, make_lease_name
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.record import Record
from aiocache_pe.runtime.loops import LoopEndHook
from aiocache_pe.testing.contract_support import AREA, record
from tests.support.polling import poll
from tests.support.scale import scale_size
from tests.support.servers.deployments import Cluster, Sentinels
from tests.support.servers.redis_server import Server

KEYS = [f"{AREA}k{n}" for n in range(20)]


@pytest.fixture(params=["redis_server", "sentinels", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    server: Server | Sentinels | Cluster = request.getfixturevalue(request.param)
    return server.url


@pytest.fixture
async def backend(redis_server: Server) -> AsyncIterator[RedisBackend]:
    made = RedisBackend(redis_server.url, tracking=False)
    yield made
    await made.close()


def opened(backend: RedisBackend) -> Connections:
    connections = backend._clients.link().connections
    assert connections is not None
    return connections


async def lease(backend: RedisBackend) -> None:
    if (held := await backend.try_lease(KEYS[0])) is not None:
        await held.release()


VERBS: dict[str, Callable[[RedisBackend], Coroutine[Any, Any, object]]] = {
    "read": lambda backend: backend.read(KEYS[:1]),
    "read many": lambda backend: backend.read(KEYS),
    "write": lambda backend: backend.write([record(f"k{n}") for n in range(20)]),
    "update": lambda backend: backend.update(KEYS[0], lambda before: record("k0")),
    "clear": lambda backend: backend.clear(AREA),
    "lease": lease,
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_call_cancelled_while_it_connects_leaves_no_socket(url: str, verb: str) -> None:
    for moment in range(0, 60, 60 // min(60, scale_size(12))):
        backend = RedisBackend(url, tracking=False)
        connections = opened(backend)
        calls = [asyncio.ensure_future(VERBS[verb](backend)) for _ in range(3)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await backend.close()
        assert connections.connected == 0
        assert connections.is_closed


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    redis_server: Server, backend: RedisBackend
) -> None:
    await backend.write([record("k0")])
    with Redis.from_url(redis_server.url) as admin:
        own = admin.client_id()
        for client in admin.client_list():
            if int(client["id"]) != own:
                admin.client_kill_filter(_id=client["id"])
    # The end of it may be on its way still: then the read fails, and says so.
    with suppress(StoreUnavailableError):
        await backend.read(KEYS[:1])
    assert KEYS[0] in await backend.read(KEYS[:1])


async def test_a_refused_command_of_several_is_one_answer_and_no_more(
    redis_server: Server, backend: RedisBackend
) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.delete(make_entry_name(AREA + "k1"))
        admin.lpush(make_entry_name(AREA + "k1"), b"no record")
        commands = [("STRLEN", make_entry_name(key)) for key in KEYS[:3]]
        await backend.write([record("k0"), record("k2")])
        answers = await backend._commands.batch(commands)
        admin.delete(make_entry_name(AREA + "k1"))
    assert [type(answer) for answer in answers] == [int, BackendError, int]
    assert len(await backend.read([KEYS[0], KEYS[2]])) == 2


async def test_what_is_under_way_is_finished_before_the_client_is_closed(
    redis_server: Server, backend: RedisBackend
) -> None:
    connections = opened(backend)
    calls = [asyncio.ensure_future(backend.write([record(f"k{n}")])) for n in range(20)]
    taking = asyncio.ensure_future(backend.try_lease("closing"))
    await asyncio.sleep(0)
    taking.cancel()
    await backend.close()
    assert connections.connected == 0
    assert all(len(stored) == 1 for stored in await asyncio.gather(*calls))
    with Redis.from_url(redis_server.url) as admin:
        assert not admin.exists(make_lease_name("closing")), "its caller had gone"


@pytest.mark.usefixtures("lasting_leases")
async def test_a_lease_outlives_the_client_that_it_was_taken_by(
    redis_server: Server, backend: RedisBackend
) -> None:
    held = await backend.try_lease("outlives")
    assert held is not None
    before = opened(backend)
    await backend.close()
    with Redis.from_url(redis_server.url) as admin:
        admin.pexpire(make_lease_name("outlives"), 30_000)
        await poll(lambda: admin.pttl(make_lease_name("outlives")) > 40_000)
        await held.release()
        assert not admin.exists(make_lease_name("outlives"))
    assert before.connected == 0
    assert opened(backend) is not before


async def test_a_scan_goes_on_with_another_client(url: str) -> None:
    backend = RedisBackend(url, tracking=False)
    await backend.clear(AREA)
    await backend.write([record(f"scan{n}") for n in range(1500)])
    seen = 0
    clients: list[Connections] = []
    async for heads in backend.scan(AREA):
        seen += len(heads)
        clients.append(opened(backend))
        await backend.close()
    assert seen == 1500
    assert len(clients) > 1
    assert sum(each.connected for each in clients) == 0
    await backend.clear(AREA)
    await backend.close()


async def test_a_server_that_hangs_does_not_keep_a_client_from_closing(own_redis: Server) -> None:
    backend = RedisBackend(f"{own_redis.hasty_url}?socket_timeout=0.5", tracking=False)
    await backend.write([record("k0")])
    connections = opened(backend)
    own_redis.freeze()
    call = asyncio.ensure_future(backend.read(KEYS[:1]))
    await asyncio.sleep(0)
    await backend.close()
    assert connections.connected == 0
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], CacheError)
    own_redis.thaw()


async def test_nothing_connects_once_all_is_closed(redis_server: Server) -> None:
    owner = Connections()
    settings = {"host": "127.0.0.1", "port": redis_server.port}
    connection = owner.kind(Connection)(**settings)
    late = owner.kind(Connection)(**settings)
    connecting = asyncio.ensure_future(late.connect())
    await connection.connect()
    await connecting
    assert owner.connected == 2
    await connection.disconnect()
    again = asyncio.ensure_future(connection.connect())
    await asyncio.sleep(0)
    await owner.close()
    with pytest.raises(RedisConnectionError, match="closed"):
        await again
    with pytest.raises(RedisConnectionError, match="closed"):
        await late.connect()
    assert owner.connected == 0


async def test_what_the_kernel_does_not_take_at_once_is_sent_whole(backend: RedisBackend) -> None:
    large = bytes(16 * 1024 * 1024)
    await backend.write([record("large", large)])
    found = (await backend.read([f"{AREA}large"]))[f"{AREA}large"]
    assert isinstance(found, Record)
    assert found.payload == large
    await backend.delete([f"{AREA}large"])


async def test_a_connection_closed_by_another_task_is_told_as_such() -> None:
    connection = Connections().kind(Connection)(host="127.0.0.1", port=1)
    with pytest.raises(RedisConnectionError, match="closed meanwhile"):
        await connection._send_packed_command([b"PING"])


async def test_a_client_of_the_users_keeps_its_connections(redis_server: Server) -> None:
    async with redis.asyncio.Redis.from_url(redis_server.url, protocol=2) as client:
        backend = RedisBackend(client=client, tracking=False)
        await backend.write([record("k0")])
        await backend.close()
        assert len(client.connection_pool._available_connections) == 1
        assert client.connection_pool._available_connections[0].is_connected
        assert len(await backend.read(KEYS[:1])) == 1


def test_what_asks_for_one_more_at_the_end_of_a_loop_leaves_no_socket(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    made = list[Connections]()

    async def report() -> None:
        for _ in range(3):  # a report takes several calls
            await asyncio.sleep(0.01)
            await backend.read(KEYS)
            made.append(opened(backend))

    at_end = LoopEndHook(report)

    async def main() -> None:
        at_end.arm()
        await backend.read(KEYS)

    asyncio.run(main())
    assert len(made) == 3
    assert [each.connected for each in made] == [0, 0, 0]
    assert all(each.is_closed for each in made)
