"""Clients of `redis.asyncio`, one for each event loop that needs one.

A client never retries by itself: a second attempt would apply a change twice, and what
to do while a server is away is decided above. Its pool is bounded by a semaphore, so a
caller waits for a connection instead of failing for want of one.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from weakref import WeakSet, WeakValueDictionary

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialBackoff, NoBackoff

from aiocache_pe.backends.redis.address import Address
from aiocache_pe.lifecycle import AtLoopEnd
from aiocache_pe.per_loop import PerLoop

Client = Redis | RedisCluster

CONNECTIONS = 16
"""At most so many per event loop (and per node of a Cluster)."""

_DEFAULTS: dict[str, Any] = {
    "socket_timeout": 1.0,  # seconds; a cache that takes longer is no cache
    "socket_connect_timeout": 2.0,
    # Nothing is pushed to the connections that carry commands, so that what waits in one
    # when it is taken from the pool is always a sign that it must not be used.
    "protocol": 2,
}


class Link(NamedTuple):
    """What an event loop has of its own.

    Attributes:
        client: its client.
        limit: how many calls the client may carry at once.
        turns: a lock for each key that is being changed in this loop, so that its
            changes wait for one another instead of failing and beginning again.
    """

    client: Client
    limit: asyncio.Semaphore
    turns: WeakValueDictionary[bytes, asyncio.Lock]

    def turn(self, name: bytes) -> asyncio.Lock:
        """The lock of a key."""
        return self.turns.setdefault(name, asyncio.Lock())


class Clients:
    """Gives every loop a client of its own, closed with that loop.

    Args:
        address: the server.
        client: a client of the user's, to be used instead, and never closed.
    """

    def __init__(self, address: Address, client: Client | None = None) -> None:
        self._address = address
        self._client = client
        self._at_end = AtLoopEnd(self.close_here)
        self._links: PerLoop[list[Link]] = PerLoop(list)
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def link(self) -> Link:
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
            link = links.pop()
            if self._client is None:
                await link.client.aclose()
                if isinstance(link.client, RedisCluster):  # it may have got no further yet
                    await link.client.nodes_manager.aclose("startup_nodes")
                else:
                    pool = link.client.connection_pool
                    if isinstance(pool, SentinelConnectionPool):
                        for sentinel in pool.sentinel_manager.sentinels:
                            await sentinel.aclose()

    def _new(self) -> Link:
        client = self._client
        if client is None:
            client = make_client(self._address)
            self._at_end.arm()
            self._loops.add(asyncio.get_running_loop())
        return Link(client, asyncio.Semaphore(CONNECTIONS), WeakValueDictionary())


def make_client(address: Address) -> Client:
    """A client for the running loop; connects when it is first used."""
    options = _DEFAULTS | address.options
    limit = options.pop("max_connections", None) or CONNECTIONS + 8  # a few to look after itself
    if address.kind == "cluster":
        tls = options.pop("connection_class", None) is SSLConnection
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            ssl=tls,
            max_connections=limit,
            # A slot that moves, or a primary that was just replaced, is worth a moment.
            retry=Retry(ExponentialBackoff(cap=0.3, base=0.05), 4),
            **options,
        )
    options["retry"] = Retry(NoBackoff(), 0)
    if address.kind == "sentinel":
        tls = options.pop("connection_class", None) is SSLConnection
        # The sentinels have no password of the server's, and no database.
        shared = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            list(address.hosts), sentinel_kwargs=shared | {"retry": options["retry"]}
        )
        if tls:
            options["connection_class"] = _sharing_context(SentinelManagedSSLConnection)
        primary: Redis = sentinel.master_for(address.service, max_connections=limit, **options)
        return primary
    if options.get("connection_class") is SSLConnection:
        options["connection_class"] = _sharing_context(SSLConnection)
    if address.hosts:
        options["host"], options["port"] = address.hosts[0]
    return Redis.from_pool(ConnectionPool(max_connections=limit, **options))


def _sharing_context(kind: type[SSLConnection]) -> type[SSLConnection]:
    """A kind of connection whose instances share what they know of certificates.

    To read the system's takes 40 ms, in which the loop stands still; once is enough.
    """
    shared: list[Any] = []

    class Sharing(kind):  # type: ignore[valid-type, misc]
        ssl_context: Any

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            shared.append(self.ssl_context)
            del shared[1:]
            self.ssl_context = shared[0]

    return Sharing
