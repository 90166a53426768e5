"""Client tracking: the server reports changed keys, on a connection of its own.

Each key that is read gets a `TrackedVersion`, which is registered before the read is sent. An
invalidation of the key makes the version outdated, whether it arrives after the answer or before
it. Only a record that was read under a version that is still current may be kept in memory. So no
order of a read, a write and its invalidation leaves an outdated value in memory.

The process's own writes are no exception. The server collects the changes of one turn of its event
loop, and of two writers it names at most one (``trackingBroadcast...`` in Redis' tracking.c). So an
invalidation can never be recognized as the echo of an own write. A written value is read once
before it is kept.

A server that is no longer the primary reports nothing, and may be unaware of it. So each listener
proves once a second that its server is the primary: by a change, which a demoted server refuses; in
a Cluster by a change in one of its slots, which a node without a majority refuses, too; and by the
Sentinels, which name the primary of the newest configuration. Without the proof the session ends
(docs/design/decisions/0083).

The listeners run in the portal's thread. An event loop that is busy, or is stopped between two
runs, delays no invalidation.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from redis.asyncio import RedisCluster
from redis.asyncio.connection import Connection
from redis.exceptions import AskError, MovedError, ResponseError

from aiocache_pe.backends.redis.clients import Client, Clients
from aiocache_pe.backends.redis.cluster import list_slots
from aiocache_pe.backends.redis.connection_pool import Pool, SentinelPool
from aiocache_pe.backends.redis.connections import on_invalidation, refresh_topology
from aiocache_pe.backends.redis.errors import CLIENT_ERRORS
from aiocache_pe.backends.redis.key_names import (
    ENTRY_PREFIX,
    GENERATION_PREFIX,
    INVALIDATION_PREFIX,
    PROBE_NAME,
    make_probe_name,
)
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background
from aiocache_pe.runtime.short_locks import get_free

logger = logging.getLogger("aiocache_pe")

_PING_SECONDS = 1.0  # between two pings
_SILENCE_SECONDS = 3.0  # without an answer to a ping, after which the connection is lost
_RETRY_SECONDS = (0.1, 2.0)  # between two attempts to listen: the first pause, the longest
_FORBIDDEN_RETRY_SECONDS = 30.0  # the same where the server does not permit tracking
_STABLE_SECONDS = 10.0  # of listening, after which the pauses begin with the first one again
_PREFIXES = (ENTRY_PREFIX, GENERATION_PREFIX, INVALIDATION_PREFIX)
_START_COMMANDS = (
    ("PING",),
    (
        "CLIENT",
        "TRACKING",
        "ON",
        "BCAST",
        *(word for each in _PREFIXES for word in ("PREFIX", each)),
    ),
)
"""Commands to each primary at the start; the server may forbid them."""


@dataclass(slots=True, eq=False)
class TrackingSession:
    """A period in which every primary was listened to without a gap.

    Attributes:
        nodes: names of the primaries; one empty name for a server with a fixed address.
        is_alive: whether the period lasts.
    """

    nodes: frozenset[str]
    is_alive: bool = True


@dataclass(slots=True, eq=False, weakref_slot=True)
class TrackedVersion:
    """The present version of a key, until it changes.

    Attributes:
        session: the session in which a change would be reported.
        is_valid: whether no change of the key was reported.
    """

    session: TrackingSession
    is_valid: bool = True

    @property
    def is_current(self) -> bool:
        """Return whether the key has not changed, as far as the server has reported."""
        return self.is_valid and self.session.is_alive


class Tracker:
    """Listens to the server and marks versions of changed keys as outdated.

    Args:
        clients: the clients of all event loops.
        server: the server's name for the log.
    """

    def __init__(self, clients: Clients, server: str) -> None:
        self._clients = clients
        self._server = server
        self._background = Background()
        self._session: TrackingSession | None = None
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a listener: the parent's thread is not in this process.

        The parent's copies are in the child's memory, but no change of them is reported here.
        """
        if self._session is not None:
            self._session.is_alive = False
        self._session = None
        self._lock = threading.Lock()
        self._versions: WeakValueDictionary[bytes, TrackedVersion] = WeakValueDictionary()

    def make_versions(self, names: Sequence[bytes]) -> list[TrackedVersion | None] | None:
        """Return a version for each name to be read; without a session, ``None``, and start one."""
        session = self._session
        if session is None or not session.is_alive:
            self._background.start(self._listen)
            return None
        with get_free(self._lock):
            return [self._make_version(name, session) for name in names]

    def has_all_primaries(self) -> bool:
        """Return whether the session includes all primaries that the loop's client knows.

        If one is missing, the session ends and the listeners start a new one.
        """
        session = self._session
        if session is None:
            return False
        is_complete = _get_primary_names(self._clients.get_link().client) <= session.nodes
        if not is_complete:
            session.is_alive = False
        return is_complete

    def mark_changed(self, names: Iterable[bytes]) -> None:
        """Mark versions as outdated: their keys have changed, or may have."""
        with get_free(self._lock):
            for name in names:
                version = self._versions.pop(name, None)
                if version is not None:
                    version.is_valid = False

    def mark_matching_changed(self, matches: Callable[[bytes], bool]) -> None:
        """Mark the versions of all names that a function selects as outdated."""
        with get_free(self._lock):
            names = list(self._versions)
        self.mark_changed([name for name in names if matches(name)])

    def stop(self) -> None:
        """Stop to listen until the next read."""
        self._background.stop()
        self._end_session()

    def _make_version(self, name: bytes, session: TrackingSession) -> TrackedVersion:
        version = self._versions.get(name)
        if version is None or not version.is_current:
            version = self._versions[name] = TrackedVersion(session)
        return version

    def _end_session(self) -> None:
        with get_free(self._lock):
            if self._session is not None:
                self._session.is_alive = False
            self._session = None

    async def _listen(self) -> None:
        try:
            await self._run_sessions()
        finally:  # no other code uses the client that was opened in this loop
            await self._clients.close_here()

    async def _run_sessions(self) -> None:
        pause, longest_pause = _RETRY_SECONDS
        has_warned = False
        while True:
            began = time.monotonic()
            try:
                await self._run_session()
            except ResponseError as error:
                if not has_warned:
                    logger.warning(
                        "%s permits no tracking, so its entries are not kept in memory: %s",
                        self._server,
                        error,
                    )
                has_warned, pause = True, _FORBIDDEN_RETRY_SECONDS
            except (*CLIENT_ERRORS, ExceptionGroup) as error:
                logger.debug("%s: tracking connection lost: %s", self._server, error)

            if time.monotonic() - began >= _STABLE_SECONDS:
                pause, has_warned = _RETRY_SECONDS[0], False
            await asyncio.sleep(pause)
            pause = min(pause * 2, max(longest_pause, pause))

    async def _run_session(self) -> None:
        link = self._clients.get_link()
        async with link.limit:  # so that the client is not closed meanwhile
            connections = await _make_connections(link.client)
        try:
            for connection in connections.values():
                on_invalidation(connection, self._handle_invalidation)
                await connection.connect()
                for command in _START_COMMANDS:
                    await connection.send_command(*command)
                    await connection.read_response()
            session = TrackingSession(await self._get_proven_names(link.pool, connections))
            with get_free(self._lock):
                self._session = session
            logger.debug("%s: tracking started", self._server)
            async with asyncio.TaskGroup() as group:
                for name, connection in connections.items():
                    group.create_task(_receive(connection))
                    group.create_task(_ping(connection, session, _get_probe(link.client, name)))
                if isinstance(link.pool, SentinelPool):
                    group.create_task(self._ask_sentinels(link.pool, session))
        finally:
            self._end_session()
            for connection in connections.values():
                await connection.disconnect(nowait=True)

    async def _get_proven_names(
        self, pool: Pool | None, connections: Mapping[str, Any]
    ) -> frozenset[str]:
        """Return the names of the primaries to which connections were made.

        Raises:
            ConnectionResetError: the Sentinels name another primary.
        """
        if not isinstance(pool, SentinelPool):
            return frozenset(connections)
        [connection] = connections.values()
        name = _make_name((connection.host, connection.port))
        await self._check_name(pool, name)
        return frozenset([name])

    async def _ask_sentinels(self, pool: SentinelPool, session: TrackingSession) -> None:
        [name] = session.nodes
        while session.is_alive:
            await asyncio.sleep(_PING_SECONDS)
            await self._check_name(pool, name)

    async def _check_name(self, pool: SentinelPool, name: str) -> None:
        """Raise if the Sentinels name another primary; idle connections are closed then."""
        if _make_name(await pool.find_primary()) != name:
            self._clients.disconnect_idle()
            raise ConnectionResetError("the Sentinels name another primary")

    async def _handle_invalidation(self, message: Sequence[Any]) -> None:
        names = message[1]
        if names is None:  # the whole database was flushed
            self._end_session()
        else:
            self.mark_changed(names)


async def _make_connections(client: Client) -> dict[str, Any]:
    """Create a new RESP3 connection to every primary; the keys are the primaries' names."""
    settings: dict[str, Any] = {"protocol": 3, "socket_timeout": _SILENCE_SECONDS}
    if isinstance(client, RedisCluster):
        await refresh_topology(client)
        return {
            node.name: node.connection_class(**(node.connection_kwargs | settings))
            for node in client.get_primaries()
        }
    pool = client.connection_pool
    return {"": pool.connection_class(**(pool.connection_kwargs | settings))}


def _get_primary_names(client: Client) -> set[str]:
    """Return the names of the primaries that a client uses now."""
    if isinstance(client, RedisCluster):
        return {node.name for node in client.get_primaries()}
    pool = client.connection_pool
    return {_make_name(pool.master_address)} if isinstance(pool, SentinelPool) else {""}


def _make_name(address: tuple[str, int] | None) -> str:
    return "unknown" if address is None else f"{address[0]}:{address[1]}"


async def _receive(connection: Connection) -> None:
    # Every answer is one to a ping; invalidations are handled while it is read. Without an answer
    # the connection's own time-out raises. With a `timeout` argument the read would return instead.
    while True:
        try:
            await connection.read_response(push_request=True)
        except MovedError:
            raise
        except AskError:  # the slot moves, and the node still owns it
            continue


def _get_probe(client: Client, name: str) -> tuple[bytes | str, ...]:
    """Return the command that checks a primary: a change of a name in one of its slots.

    A demoted primary refuses it. So does a node of a Cluster that does not own the slot any more,
    or cannot reach a majority of the primaries.
    """
    if not isinstance(client, RedisCluster):
        return ("UNLINK", PROBE_NAME)
    slots = [slot for node, slot in list_slots(client) if node == name]
    return ("UNLINK", make_probe_name(secrets.choice(slots))) if slots else ("PING",)


async def _ping(
    connection: Connection, session: TrackingSession, command: tuple[bytes | str, ...]
) -> None:
    # A closed connection would connect again at the next command, without tracking.
    while session.is_alive and connection.is_connected:
        await connection.send_command(*command, check_health=False)
        await asyncio.sleep(_PING_SECONDS)
    raise ConnectionResetError("the tracking session has ended")
