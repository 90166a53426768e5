"""Connections: none is left open after a cancelled call or at the end of an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

import hiredis
import pytest
import redis.asyncio
from redis import Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from aiocache_pe import BackendError, CacheError
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.connections import ConnectionOwner, on_invalidation
from aiocache_pe.backends.redis.key_names import make_entry_name, make_lease_name
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.record import Record
from aiocache_pe.runtime.loops import LoopEndHook
from aiocache_pe.testing.contract_support import PREFIX, make_record
from tests.support.internals import get_redis_commands, get_redis_link
from tests.support.polling import poll
from tests.support.scale import scale_size
from tests.support.servers.deployments import Cluster, Sentinels
from tests.support.servers.redis_server import Server

KEYS = [f"{PREFIX}k{n}" for n in range(20)]


@pytest.fixture(params=["redis_server", "sentinels", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    server: Server | Sentinels | Cluster = request.getfixturevalue(request.param)
    return server.url


@pytest.fixture
async def backend(redis_server: Server) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(redis_server.url, tracking=False)
    yield store
    await store.close()


def get_owner(backend: RedisBackend) -> ConnectionOwner:
    owner = get_redis_link(backend).owner
    assert owner is not None
    return owner


async def acquire_and_release(backend: RedisBackend) -> None:
    if (lease := await backend.try_lease(KEYS[0])) is not None:
        await lease.release()


CALLS: dict[str, Callable[[RedisBackend], Coroutine[Any, Any, object]]] = {
    "read": lambda backend: backend.read(KEYS[:1]),
    "read many": lambda backend: backend.read(KEYS),
    "write": lambda backend: backend.write([make_record(f"k{n}") for n in range(20)]),
    "update": lambda backend: backend.update(KEYS[0], lambda before: make_record("k0")),
    "clear": lambda backend: backend.clear(PREFIX),
    "lease": acquire_and_release,
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_cancelled_while_it_connects_leaves_no_socket(url: str, call: str) -> None:
    for moment in range(0, 60, 60 // min(60, scale_size(12))):
        backend = RedisBackend(url, tracking=False)
        owner = get_owner(backend)
        tasks = [asyncio.ensure_future(CALLS[call](backend)) for _ in range(3)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await backend.close()
        assert owner.connected_count == 0
        assert owner.is_closed


async def test_a_connection_closed_by_the_server_is_not_used(
    redis_server: Server, backend: RedisBackend
) -> None:
    await backend.write([make_record("k0")])
    with Redis.from_url(redis_server.url) as admin:
        own = admin.client_id()
        for client in admin.client_list():
            if int(client["id"]) != own:
                admin.client_kill_filter(_id=client["id"])
    # If the end of the connection has not arrived yet, this read fails.
    with suppress(StoreUnavailableError):
        await backend.read(KEYS[:1])
    assert KEYS[0] in await backend.read(KEYS[:1])


async def test_a_refused_command_does_not_affect_the_others_of_its_batch(
    redis_server: Server, backend: RedisBackend
) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.delete(make_entry_name(PREFIX + "k1"))
        admin.lpush(make_entry_name(PREFIX + "k1"), b"no record")
        commands = [("STRLEN", make_entry_name(key)) for key in KEYS[:3]]
        await backend.write([make_record("k0"), make_record("k2")])
        answers = await get_redis_commands(backend).batch(commands)
        admin.delete(make_entry_name(PREFIX + "k1"))
    assert [type(answer) for answer in answers] == [int, BackendError, int]
    assert len(await backend.read([KEYS[0], KEYS[2]])) == 2


async def test_calls_in_flight_finish_before_the_client_is_closed(
    redis_server: Server, backend: RedisBackend
) -> None:
    owner = get_owner(backend)
    writes = [asyncio.ensure_future(backend.write([make_record(f"k{n}")])) for n in range(20)]
    acquiring = asyncio.ensure_future(backend.try_lease("closing"))
    await asyncio.sleep(0)
    acquiring.cancel()
    await backend.close()
    assert owner.connected_count == 0
    assert all(len(stored) == 1 for stored in await asyncio.gather(*writes))
    with Redis.from_url(redis_server.url) as admin:
        assert not admin.exists(make_lease_name(make_entry_name("closing"))), (
            "its caller was cancelled"
        )


@pytest.mark.usefixtures("lasting_leases")
async def test_a_lease_outlives_the_client_that_acquired_it(
    redis_server: Server, backend: RedisBackend
) -> None:
    held = await backend.try_lease("outlives")
    assert held is not None
    owner = get_owner(backend)
    await backend.close()
    with Redis.from_url(redis_server.url) as admin:
        admin.pexpire(make_lease_name(make_entry_name("outlives")), 30_000)
        await poll(lambda: admin.pttl(make_lease_name(make_entry_name("outlives"))) > 40_000)
        await held.release()
        assert not admin.exists(make_lease_name(make_entry_name("outlives")))
    assert owner.connected_count == 0
    assert get_owner(backend) is not owner


async def test_a_scan_continues_with_another_client(url: str) -> None:
    backend = RedisBackend(url, tracking=False)
    await backend.clear(PREFIX)
    await backend.write([make_record(f"scan{n}") for n in range(1500)])
    seen = 0
    owners: list[ConnectionOwner] = []
    async for heads in backend.scan(PREFIX):
        seen += len(heads)
        owners.append(get_owner(backend))
        await backend.close()
    assert seen == 1500
    assert len(owners) > 1
    assert sum(owner.connected_count for owner in owners) == 0
    await backend.clear(PREFIX)
    await backend.close()


async def test_a_hanging_server_does_not_delay_close(own_redis: Server) -> None:
    backend = RedisBackend(f"{own_redis.default_url}?socket_timeout=0.5", tracking=False)
    await backend.write([make_record("k0")])
    owner = get_owner(backend)
    own_redis.freeze()
    call = asyncio.ensure_future(backend.read(KEYS[:1]))
    await asyncio.sleep(0)
    await backend.close()
    assert owner.connected_count == 0
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], CacheError)
    own_redis.thaw()


async def test_no_connection_opens_after_its_owner_is_closed(redis_server: Server) -> None:
    owner = ConnectionOwner()
    settings = {"host": "127.0.0.1", "port": redis_server.port}
    one, two = (owner.make_class(Connection)(**settings) for _ in range(2))
    await asyncio.gather(one.connect(), two.connect())
    assert owner.connected_count == 2
    await one.disconnect()
    connecting = asyncio.ensure_future(one.connect())
    await asyncio.sleep(0)
    await owner.close()
    with pytest.raises(RedisConnectionError, match="closed"):
        await connecting
    with pytest.raises(RedisConnectionError, match="closed"):
        await two.connect()
    assert owner.connected_count == 0


async def test_a_value_larger_than_the_send_buffer_is_sent_whole(
    backend: RedisBackend,
) -> None:
    large = bytes(16 * 1024 * 1024)
    await backend.write([make_record("large", large)])
    found = (await backend.read([f"{PREFIX}large"]))[f"{PREFIX}large"]
    assert isinstance(found, Record)
    assert found.payload == large
    await backend.delete([f"{PREFIX}large"])


async def test_a_connection_closed_by_another_task_is_reported() -> None:
    class Closed(Connection):
        async def connect(self) -> None:
            """Return as if the connection was closed by the time the command is sent."""

    connection = ConnectionOwner().make_class(Closed)(host="127.0.0.1", port=1)
    with pytest.raises(RedisConnectionError, match="another task closed the connection"):
        await connection.send_packed_command([b"PING"])


async def test_a_users_client_keeps_its_connections(redis_server: Server) -> None:
    async with redis.asyncio.Redis.from_url(redis_server.url, protocol=2) as client:
        backend = RedisBackend(client=client, tracking=False)
        await backend.write([make_record("k0")])
        await backend.close()
        assert len(client.connection_pool._available_connections) == 1
        assert client.connection_pool._available_connections[0].is_connected
        assert len(await backend.read(KEYS[:1])) == 1


def test_calls_at_the_end_of_a_loop_leave_no_socket(redis_server: Server) -> None:
    backend = RedisBackend(redis_server.url, tracking=False)
    owners = list[ConnectionOwner]()

    async def read_repeatedly() -> None:
        for _ in range(3):
            await asyncio.sleep(0.01)
            await backend.read(KEYS)
            owners.append(get_owner(backend))

    at_end = LoopEndHook(read_repeatedly)

    async def main() -> None:
        at_end.arm()
        await backend.read(KEYS)

    asyncio.run(main())
    assert len(owners) == 3
    assert [owner.connected_count for owner in owners] == [0, 0, 0]
    assert all(owner.is_closed for owner in owners)


# The parts of redis-py that the module uses without documentation. If one of these tests fails with
# a new version, adapt `connections` before raising the bound in pyproject.toml.


async def test_redis_py_has_the_undocumented_attributes(redis_server: Server) -> None:
    connection: Any = Connection(host="127.0.0.1", port=redis_server.port, protocol=2)
    assert connection._writer is None
    await connection.connect()
    try:
        assert isinstance(connection._writer, asyncio.StreamWriter)
        assert not connection._reader.at_eof()
        reader = connection._parser._reader
        assert isinstance(reader, hiredis.Reader)
        buffered = reader.len()
        reader.feed(b"$10\r\npart")  # an incomplete answer
        assert reader.len() == buffered + 9
        on_invalidation(connection, handle_invalidation)
        assert connection._parser.invalidation_push_handler_func is handle_invalidation
    finally:
        await connection.disconnect()
    assert connection._writer is None

    cluster = redis.asyncio.RedisCluster(host="127.0.0.1", port=redis_server.port)
    assert cluster.connection_kwargs["connection_class"] is Connection
    [node] = cluster.nodes_manager.startup_nodes.values()
    assert node.connection_class is Connection
    assert inspect.iscoroutinefunction(cluster.nodes_manager.initialize)
    assert inspect.iscoroutinefunction(node.execute_pipeline)
    assert list(node._free) == []
    assert cluster.nodes_manager.nodes_cache == cluster.nodes_manager.slots_cache == {}


async def handle_invalidation(message: Sequence[Any]) -> None:
    """Handle an invalidation."""


async def test_redis_py_calls_the_overridden_methods(redis_server: Server) -> None:
    calls: list[str] = []

    class RecordingConnection(Connection):
        async def _connect(self) -> None:
            calls.append("_connect")
            await super()._connect()  # type: ignore[no-untyped-call]

        def _connection_arguments(self) -> Mapping[str, Any]:
            calls.append("_connection_arguments")
            return super()._connection_arguments()

    connection: Any = RecordingConnection(
        host="127.0.0.1", port=redis_server.port, protocol=2, socket_timeout=30
    )
    await connection.connect()
    assert calls == ["_connect", "_connection_arguments"]
    await connection.send_packed_command([hiredis.pack_command(("PING",))])
    assert await connection.read_response() == b"PONG"
    await connection.disconnect()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_close", ["self"]),
        ("_connect", ["self"]),
        ("send_packed_command", ["self", "command", "check_health"]),
        ("disconnect", ["self", "nowait"]),
    ],
)
def test_redis_py_has_the_signatures_of_the_overridden_methods(
    name: str, parameters: list[str]
) -> None:
    for connection_class in (Connection, SSLConnection, UnixDomainSocketConnection):
        signature = inspect.signature(getattr(connection_class, name))
        assert list(signature.parameters)[: len(parameters)] == parameters
