"""Clients of `redis.asyncio`, one for each event loop that needs one.

A client never retries by itself. A second attempt would apply a change twice, and the levels above
decide how to proceed while a server is away. A semaphore bounds the calls of each client, so a call
waits for a connection instead of failing when all are in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialBackoff, NoBackoff

from aiocache_pe.backends.redis.cluster import RoutedCluster
from aiocache_pe.backends.redis.connection_pool import Pool, SentinelPool
from aiocache_pe.backends.redis.connections import ConnectionOwner
from aiocache_pe.backends.redis.url import Address
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook, PerLoop

Client = Redis | RedisCluster

T = TypeVar("T")

MAX_CALLS = 16
"""Greatest number of simultaneous calls per event loop, unless the URL sets ``max_connections``."""

_EXTRA_CONNECTIONS = 8  # for the client itself; a Cluster's client asks for the topology
_HANG_SECONDS = 0.3  # silence to several calls after which the server hangs
_CLOSE_SECONDS = 5.0  # calls in flight end earlier, by the client's own time-outs

_DEFAULT_OPTIONS: dict[str, Any] = {
    "socket_timeout": 1.0,  # seconds; a slower cache is of no use
    "socket_connect_timeout": 2.0,
    # RESP2 pushes nothing to the connections of commands. So unread bytes in a pooled connection
    # always mean that it must not be used.
    "protocol": 2,
}


class LoopLink:
    """The link of one event loop to the server.

    Attributes:
        client: the loop's client.
        owner: the owner of the client's connections; ``None`` for a client of the user's.
        limit: bounds the client's simultaneous calls.
        pool: the client's pool if it belongs to the library and to one server, so that commands
            may bypass the client; ``None`` otherwise.
        key_locks: a lock for each key that this loop is changing, so that its changes wait for
            each other instead of failing and being repeated.
        measuring: the first measurement of the server's clock, which all callers share.
        is_closed: whether the client must not be used any more.
    """

    def __init__(self, client: Client, owner: ConnectionOwner | None, max_calls: int) -> None:
        self.client = client
        self.owner = owner
        self.limit = asyncio.Semaphore(max_calls)
        self._max_calls = max_calls
        pool = client.connection_pool if isinstance(client, Redis) else None
        self.pool = pool if isinstance(pool, Pool) else None
        self.key_locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self.measuring: asyncio.Task[None] | None = None
        self.is_closed = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def get_key_lock(self, name: bytes) -> asyncio.Lock:
        """Return the lock of a key."""
        return self.key_locks.setdefault(name, asyncio.Lock())

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that must finish even if its caller is cancelled; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Wait a limited time for the work in progress, then close the client."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    while self._tasks:
                        await asyncio.wait(self._tasks)
                    for _ in range(self._max_calls):
                        await self.limit.acquire()
        finally:
            self.is_closed = True
            if self.owner is not None:
                try:
                    await self.client.aclose()
                finally:
                    await self.owner.close()


class Clients:
    """The links of all event loops; each is closed at the end of its loop.

    Args:
        address: the server.
        client: a client of the user's, to use instead and never to close.
    """

    def __init__(self, address: Address, client: Client | None = None) -> None:
        self._address = address
        self._client = client
        self._at_end = LoopEndHook(self.close_here, last=True)
        self._inherited: list[object] = []
        self._links: PerLoop[list[LoopLink]] = PerLoop(list)
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without links: an answer on a connection of the parent's is for the parent.

        The parent's links stay referenced. Closing a connection here would remove it from the
        selector, which both processes share.
        """
        self._inherited.append(self._links)
        self._links = PerLoop(list)
        self._loops = WeakSet()

    def get_link(self) -> LoopLink:
        """Return the running loop's link, and create it if there is none."""
        links = self._links.get()
        if not links:
            links.append(self._make_link())
        return links[0]

    async def close(self) -> None:
        """Close the links of all running loops; a later use creates new ones."""
        here = asyncio.get_running_loop()
        for loop in list(self._loops):
            if loop is not here and loop.is_running():
                asyncio.run_coroutine_threadsafe(self.close_here(), loop)
        await self.close_here()

    def disconnect_idle(self) -> None:
        """Close the idle connections of all loops, because they may lead to a replaced primary."""
        for loop in list(self._loops):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(self._disconnect_idle_here(), loop)

    async def _disconnect_idle_here(self) -> None:
        for link in self._links.get():
            if link.pool is not None:
                await link.pool.disconnect(inuse_connections=False)

    async def close_here(self) -> None:
        """Close the running loop's link."""
        links = self._links.get()
        while links:
            await links.pop().close()

    def _make_link(self) -> LoopLink:
        client = self._client
        if client is not None:
            # A user's client fails when all connections of its pool are in use.
            max_calls = MAX_CALLS
            if isinstance(client, Redis):
                max_calls = max(1, min(max_calls, client.connection_pool.max_connections))
            return LoopLink(client, None, max_calls)

        owner = ConnectionOwner()
        client = _make_client(self._address, owner)
        self._at_end.arm()
        self._loops.add(asyncio.get_running_loop())
        return LoopLink(client, owner, _get_max_calls(self._address))


def has_several_servers(client: Client) -> bool:
    """Return whether a client chooses among servers: of a Cluster, or those that Sentinels name."""
    if isinstance(client, RedisCluster):
        return True
    return isinstance(client.connection_pool, SentinelConnectionPool)


def _get_max_calls(address: Address) -> int:
    return int(address.options.get("max_connections", MAX_CALLS))


def _make_client(address: Address, owner: ConnectionOwner) -> Client:
    """Create a client for the running loop; it connects on first use."""
    options = _DEFAULT_OPTIONS | address.options
    base = options.pop("connection_class", Connection)
    is_tls = base is SSLConnection
    options["max_connections"] = _get_max_calls(address) + _EXTRA_CONNECTIONS
    if address.kind == "cluster":
        return _make_cluster_client(address, owner, options, is_tls=is_tls)

    options["retry"] = Retry(NoBackoff(), 0)
    # A time limit that the user sets for a call also applies to the detection of a hang.
    options["hang_timeout"] = address.options.get("socket_timeout") or _HANG_SECONDS
    if address.kind == "sentinel":
        base = SentinelManagedSSLConnection if is_tls else SentinelManagedConnection
        options["connection_class"] = owner.make_class(base)
        primary: Redis = _make_sentinel(address, owner, options).master_for(
            address.service, connection_pool_class=SentinelPool, **options
        )
        return primary

    if address.hosts:
        options["host"], options["port"] = address.hosts[0]
    options["connection_class"] = owner.make_class(base)
    return Redis.from_pool(Pool(**options))


def _make_sentinel(address: Address, owner: ConnectionOwner, options: dict[str, Any]) -> Sentinel:
    # The Sentinels have users of their own, and no database.
    names = ["socket_timeout", "socket_connect_timeout", "retry"]
    base: type[Connection] = Connection
    if address.sentinel_tls:
        base = SSLConnection
        names += [name for name in options if name.startswith("ssl_")]
    settings: dict[str, Any] = {name: options[name] for name in names}
    settings |= address.sentinel_options
    sentinel = Sentinel([])  # type: ignore[no-untyped-call]  # redis-py has no annotation
    for host, port in address.hosts:
        pool = ConnectionPool(
            connection_class=owner.make_class(base), host=host, port=port, **settings
        )
        sentinel.sentinels.append(Redis.from_pool(pool))
    return sentinel


def _make_cluster_client(
    address: Address, owner: ConnectionOwner, options: dict[str, Any], *, is_tls: bool
) -> RedisCluster:
    client = RoutedCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        ssl=is_tls,
        # Otherwise every fifth moved slot would close all connections, those in use included.
        reinitialize_steps=0,
        # A slot that moves or a primary that was just replaced is worth a few short retries.
        retry=Retry(ExponentialBackoff(cap=0.3, base=0.05), 4),
        **options,
    )
    owner.use_in_cluster(client)
    return client
