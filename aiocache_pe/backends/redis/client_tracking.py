"""Being told by the server what changes: broadcast tracking, on a connection of its own.

Every key that is read gets a `Stamp`, registered before the read is sent. An invalidation
of the key makes it invalid, whether it comes after the answer or overtakes it; only
what was read with a stamp that is still valid then may be kept. So of all orders in
which a read, a write and its invalidation can meet, none leaves an old value in memory.

What this process wrote itself is no exception: the server gathers what happened in one
turn of its loop, and of two writers it names one, if any (``trackingBroadcast...`` in
Redis' tracking.c). So no invalidation can be taken for the echo of an own write; what
was written is read once before it is kept.

The listeners live in the portal's thread, so a loop that is busy, or stands still
between two runs, delays no invalidation.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from redis.asyncio import RedisCluster
from redis.asyncio.connection import Connection
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from aiocache_pe.backends.redis.clients import Client, Clients
from aiocache_pe.backends.redis.key_names import ENTRIES
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background

logger = logging.getLogger("aiocache_pe")

_PING = 1.0  # seconds between two signs of life
_PATIENCE = 3.0  # seconds without one
_PAUSES = (0.1, 2.0)  # seconds between two tries to listen: the first, the longest
_BEGIN = (("PING",), ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", ENTRIES))
"""What is asked of each primary, and may be forbidden."""
_HEALTHY = 10.0  # seconds of listening, after which a loss is a new one
_FORBIDDEN = 30.0  # seconds, where the server does not permit it


class TrackedKey:
    """A time without a gap in which every primary was listened to.

    Attributes:
        alive: whether it lasts.
        nodes: the primaries' names; empty where there is only one.
    """

    __slots__ = ("alive", "nodes")

    def __init__(self, nodes: frozenset[str]) -> None:
        self.alive = True
        self.nodes = nodes


class TrackedVersion:
    """What stands for a key as it is now, until it changes."""

    __slots__ = ("__weakref__", "valid", "watch")

    def __init__(self, watch: TrackedKey) -> None:
        self.valid = True
        self.watch = watch

    @property
    def is_current(self) -> bool:
        """Whether nothing was heard of a change, and would have been."""
        return self.valid and self.watch.alive


class Tracker:
    """Listens, and knows which stamps are still current.

    Args:
        clients: where to find the server.
        place: its name for the log.
    """

    def __init__(self, clients: Clients, place: str) -> None:
        self._clients = clients
        self._place = place
        self._background = Background()
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a listener: the parent's thread is not in this process."""
        self._lock = threading.Lock()
        self._stamps: WeakValueDictionary[bytes, TrackedVersion] = WeakValueDictionary()
        self._watch: TrackedKey | None = None

    def make_versions(self, names: Sequence[bytes]) -> list[TrackedVersion | None] | None:
        """Stamps for names that are about to be read; ``None`` while nobody listens."""
        watch = self._watch
        if watch is None or not watch.alive:
            self._background.start(self._listen)
            return None
        with self._lock:
            return [self._stamp(name, watch) for name in names]

    def is_covered(self, client: Client) -> bool:
        """Whether all primaries that a client knows of are listened to."""
        watch = self._watch
        if watch is None or not isinstance(client, RedisCluster):
            return watch is not None
        covered = {node.name for node in client.get_primaries()} <= watch.nodes
        if not covered:
            watch.alive = False  # its listeners see that and begin anew
        return covered

    def mark_changed(self, names: Iterable[bytes]) -> None:
        """Let nobody take these for current: they were changed, or may have been."""
        with self._lock:
            for name in names:
                stamp = self._stamps.pop(name, None)
                if stamp is not None:
                    stamp.valid = False

    def mark_prefix_changed(self, prefix: bytes) -> None:
        """The same for all names that begin so."""
        with self._lock:
            names = [name for name in self._stamps if name.startswith(prefix)]
        self.mark_changed(names)

    def stop(self) -> None:
        """End the listening, until somebody reads again."""
        self._background.stop()
        with self._lock:
            self._lose()

    def _stamp(self, name: bytes, watch: TrackedKey) -> TrackedVersion:
        stamp = self._stamps.get(name)
        if stamp is None or not stamp.is_current:
            stamp = self._stamps[name] = TrackedVersion(watch)
        return stamp

    def _lose(self) -> None:
        if self._watch is not None:
            self._watch.alive = False
        self._watch = None

    async def _listen(self) -> None:
        try:
            await self._keep_listening()
        finally:  # what it opened in this loop has no other owner
            await self._clients.close_here()

    async def _keep_listening(self) -> None:
        pause, longest = _PAUSES
        told = False
        while True:
            begun = time.monotonic()
            try:
                await self._listen_once()
            except ResponseError as error:
                if not told:
                    logger.warning(
                        "%s permits no tracking, so nothing is kept in memory: %s",
                        self._place,
                        error,
                    )
                told, pause = True, _FORBIDDEN
            except (RedisError, RedisClusterException, OSError, ExceptionGroup) as error:
                logger.debug("%s: listener lost: %s", self._place, error)
            finally:
                with self._lock:
                    self._lose()
            if time.monotonic() - begun >= _HEALTHY:
                pause, told = _PAUSES[0], False
            await asyncio.sleep(pause)
            pause = min(pause * 2, max(longest, pause))

    async def _listen_once(self) -> None:
        link = self._clients.link()
        async with link.limit:  # so that the client is not closed while it begins
            connections = await _connections(link.client)
        try:
            for connection in connections.values():
                connection._parser.set_invalidation_push_handler(self._invalidated)  # noqa: SLF001 - no public way
                await connection.connect()
                for command in _BEGIN:
                    await connection.send_command(*command)
                    await connection.read_response()
            watch = TrackedKey(frozenset(connections))
            with self._lock:
                self._watch = watch
            logger.debug("%s: listening", self._place)
            async with asyncio.TaskGroup() as group:
                for connection in connections.values():
                    group.create_task(_hear(connection))
                    group.create_task(_ping(connection, watch))
        finally:
            with self._lock:
                self._lose()
            for connection in connections.values():
                await connection.disconnect(nowait=True)

    async def _invalidated(self, message: Sequence[Any]) -> None:
        names = message[1]
        if names is None:  # the whole database was flushed
            with self._lock:
                self._lose()
        else:
            self.mark_changed(names)


async def _connections(client: Client) -> dict[str, Any]:
    """A connection of its own, in RESP3, to every primary."""
    own: dict[str, Any] = {"protocol": 3, "socket_timeout": _PATIENCE}
    if isinstance(client, RedisCluster):
        await client.initialize()
        await client.nodes_manager.initialize()  # who is primary now, not when it began
        return {
            node.name: node.connection_class(**(node.connection_kwargs | own))
            for node in client.get_primaries()
        }
    pool = client.connection_pool
    return {"": pool.connection_class(**(pool.connection_kwargs | own))}


async def _hear(connection: Connection) -> None:
    # Every answer is one to a ping; pushes are handled on the way. Who hears nothing for as
    # long as the connection has patience gets an error: a time-out given here would be none.
    while True:
        await connection.read_response(push_request=True)


async def _ping(connection: Connection, watch: TrackedKey) -> None:
    while watch.alive and connection.is_connected:  # else it would connect anew, to hear nothing
        await connection.send_command("PING", check_health=False)
        await asyncio.sleep(_PING)
    raise ConnectionResetError("listening has to begin anew")
