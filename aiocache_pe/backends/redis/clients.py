"""Clients of `redis.asyncio`, one for each event loop that needs one.

A client never retries by itself: a second attempt would apply a change twice, and what
to do while a server is away is decided above. Its pool is bounded by a semaphore, so a
caller waits for a connection instead of failing for want of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialBackoff, NoBackoff

from aiocache_pe.backends.redis.connection_pool import Pool, SentinelPool
from aiocache_pe.backends.redis.connections import Connections
from aiocache_pe.backends.redis.url import Address
from aiocache_pe.runtime.loops import LoopEndHook, PerLoop

Client = Redis | RedisCluster

T = TypeVar("T")

CONNECTIONS = 16
"""At most so many calls at once per event loop, if the URL says nothing else."""

_SILENCE = 0.3  # seconds without a sign of life, while several calls wait
_PATIENCE = 5.0  # seconds; what is under way is bounded by the client's own time-outs

_DEFAULTS: dict[str, Any] = {
    "socket_timeout": 1.0,  # seconds; a cache that takes longer is no cache
    "socket_connect_timeout": 2.0,
    # Nothing is pushed to the connections that carry commands, so that what waits in one
    # when it is taken from the pool is always a sign that it must not be used.
    "protocol": 2,
}


class LoopLink:
    """What an event loop has of its own.

    Attributes:
        client: its client.
        connections: what the client opened; those of a user's client are not known.
        limit: how many calls the client may carry at once.
        pool: the client's, if it is this library's own and of one server: commands may go
            past the client then.
        is_closed: whether it must not be used any more.
        turns: a lock for each key that is being changed in this loop, so that its
            changes wait for one another instead of failing and beginning again.
    """

    __slots__ = ("_calls", "_tasks", "client", "connections", "is_closed", "limit", "pool", "turns")

    def __init__(self, client: Client, connections: Connections | None, calls: int) -> None:
        self.client = client
        self.connections = connections
        self.limit = asyncio.Semaphore(calls)
        self._calls = calls
        pool = client.connection_pool if isinstance(client, Redis) else None
        self.pool = pool if isinstance(pool, Pool) else None
        self.turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self.is_closed = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def turn(self, name: bytes) -> asyncio.Lock:
        """The lock of a key."""
        return self.turns.setdefault(name, asyncio.Lock())

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin what must be finished though its caller may go; the link is not closed before."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Wait for what is under way, but not for ever, and close the client."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    while self._tasks:
                        await asyncio.wait(self._tasks)
                    for _ in range(self._calls):
                        await self.limit.acquire()
        finally:
            self.is_closed = True
            if self.connections is not None:
                try:
                    await self.client.aclose()
                finally:
                    await self.connections.close()


class Clients:
    """Gives every loop a client of its own, closed with that loop.

    Args:
        address: the server.
        client: a client of the user's, to be used instead, and never closed.
    """

    def __init__(self, address: Address, client: Client | None = None) -> None:
        self._address = address
        self._client = client
        self._at_end = LoopEndHook(self.close_here, last=True)
        self._links: PerLoop[list[LoopLink]] = PerLoop(list)
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def link(self) -> LoopLink:
        """The running loop's."""
        links = self._links.get()
        if not links:
            links.append(self._new())
        return links[0]

    async def close(self) -> None:
        """Close the clients of all loops that run; the next use makes others."""
        here = asyncio.get_running_loop()
        for loop in list(self._loops):
            if loop is not here and loop.is_running():
                asyncio.run_coroutine_threadsafe(self.close_here(), loop)
        await self.close_here()

    async def close_here(self) -> None:
        """Close the running loop's client."""
        links = self._links.get()
        while links:
            await links.pop().close()

    def _new(self) -> LoopLink:
        if self._client is not None:
            return LoopLink(self._client, None, _calls_of(self._client))
        connections = Connections()
        client = make_client(self._address, connections)
        self._at_end.arm()
        self._loops.add(asyncio.get_running_loop())
        return LoopLink(client, connections, _calls(self._address))


def _calls(address: Address) -> int:
    """How many calls may be under way at once, each of which takes a connection."""
    return int(address.options.get("max_connections", CONNECTIONS))


def _calls_of(client: Client) -> int:
    """The same with a client of the user's, which fails when its pool has no more."""
    most = client.connection_pool.max_connections if isinstance(client, Redis) else CONNECTIONS
    return max(1, min(CONNECTIONS, most))


def make_client(address: Address, connections: Connections) -> Client:
    """A client for the running loop; connects when it is first used.

    Args:
        address: the server.
        connections: the owner of what the client is going to open.
    """
    options = _DEFAULTS | address.options
    base = options.pop("connection_class", Connection)
    options.pop("max_connections", None)
    limit = _calls(address) + 8  # a few to look after itself, as a Cluster's client does
    if address.kind == "cluster":
        return _cluster(address, connections, limit, options, tls=base is SSLConnection)
    options["retry"] = Retry(NoBackoff(), 0)
    # Who says how long a call may take means all of them.
    patience = address.options.get("socket_timeout") or _SILENCE
    if address.kind == "sentinel":
        # The sentinels have no password of the server's, and no database.
        shared = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
        sentinel = Sentinel(  # type: ignore[no-untyped-call]  # the client's has no annotations
            list(address.hosts), sentinel_kwargs=shared | {"retry": options["retry"]}
        )
        for watcher in sentinel.sentinels:
            watcher.connection_pool.connection_class = connections.kind(Connection)
        tls = base is SSLConnection
        managed = SentinelManagedSSLConnection if tls else SentinelManagedConnection
        options["connection_class"] = connections.kind(managed)
        primary: Redis = sentinel.master_for(
            address.service,
            connection_pool_class=SentinelPool,
            patience=patience,
            max_connections=limit,
            **options,
        )
        return primary
    if address.hosts:
        options["host"], options["port"] = address.hosts[0]
    options["connection_class"] = connections.kind(base)
    return Redis.from_pool(Pool(patience=patience, max_connections=limit, **options))


def _cluster(
    address: Address, connections: Connections, limit: int, options: dict[str, Any], *, tls: bool
) -> RedisCluster:
    client = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        ssl=tls,
        max_connections=limit,
        # It would close all connections, those in use too, at every fifth slot that moved.
        reinitialize_steps=0,
        # A slot that moves, or a primary that was just replaced, is worth a moment.
        retry=Retry(ExponentialBackoff(cap=0.3, base=0.05), 4),
        **options,
    )
    # It takes no class of connections; what it hands to its nodes is in this dictionary.
    kind = connections.kind(client.connection_kwargs["connection_class"])
    client.connection_kwargs["connection_class"] = kind
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = kind
    return client
