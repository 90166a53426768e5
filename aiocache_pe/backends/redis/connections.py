"""Connections with one owner: the only module that uses private parts of redis-py.

`redis.asyncio` creates connections in many places. A Cluster's client creates them for nodes that
it drops when the topology changes, and for tasks that it no longer awaits after another one failed.
Here every connection registers with a `ConnectionOwner`. The owner closes all of them at the end
and lets no connection open after that.

These parts of redis-py are used without being documented. ``pyproject.toml`` bounds the version,
and ``tests/unit/backends/redis/test_connections.py`` fails when one of them changes
(docs/design/decisions/0053):

========================================  =========================================================
part                                      purpose
========================================  =========================================================
``_writer``                               send without a task for the time-out; abort a connection
``_connect``, ``_close``                  refuse connections of a closed owner; abort, never linger
``_connection_arguments``                 connect to the address to which a host was resolved
``_parser._reader``                       count the received bytes of an incomplete answer
``_parser.set_invalidation_push_handler`` receive invalidations
``RedisCluster.connection_kwargs``,       create this owner's connections; route commands
``nodes_manager``
``ClusterNode._free``                     find idle connections that the server has closed
========================================  =========================================================
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from weakref import WeakSet

from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aiocache_pe.backends.redis.running_timeout import RunningTimeout
from aiocache_pe.runtime.threads import call_in_thread

T = TypeVar("T")
_TIME_LIMITS = {"socket_timeout": 1.0, "socket_connect_timeout": 2.0}
"""Settings of a client with the seconds that count where a user's client has no limit."""


class _OwnedConnection(AbstractConnection):
    """A connection that registers with its owner."""

    owner: ClassVar[ConnectionOwner]
    ssl_context: Any
    _reader: Any
    _writer: Any
    _parser: Any
    _abort_reason: str | None = None
    _address: str | None = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # redis-py's own time-outs count time in which the event loop was busy.
        self._limit, self.socket_timeout = self.socket_timeout, None
        self._connect_limit, self.socket_connect_timeout = self.socket_connect_timeout, None
        self._process_id = os.getpid()
        self.owner.add(self)

    @property
    def progress(self) -> tuple[int, int]:
        """Return the number of bytes still to be sent, and of bytes received and buffered."""
        writer, reader = self._writer, self._parser._reader  # noqa: SLF001 - redis-py offers no other way
        unsent = writer.transport.get_write_buffer_size() if writer is not None else 0
        return unsent, reader.len() if reader else 0

    def abort(self, reason: str) -> None:
        """Close the connection at once; the call that waits for it raises a `TimeoutError`."""
        self._abort_reason = reason
        self._writer.transport.abort()

    async def disconnect(self, nowait: bool = False, *args: Any, **options: Any) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the connection; with ``nowait`` at once, without the closing handshake of TLS."""
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        if asyncio.current_task() is None:  # a time-out needs a task
            await super().disconnect(nowait, *args, **options)
            return
        with suppress(TimeoutError):  # the transport is closing, and redis-py has dropped it
            async with RunningTimeout(self._connect_limit):
                await super().disconnect(nowait, *args, **options)

    def _close(self) -> None:
        if self._process_id != os.getpid():
            # The selector belongs to the parent, too, which would not be notified any more.
            self._writer = self._reader = None
        if self._writer is not None:
            self._writer.transport.abort()
        super()._close()  # type: ignore[no-untyped-call]  # redis-py has no annotation

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return the next answer."""
        return await self._read(partial(super().read_response, *args, **options))

    async def read_responses(self, count: int) -> list[Any]:
        """Return several answers under one time-out, with an error where a command is refused."""
        read_one = super().read_response
        answers: list[Any] = []

        async def read_all() -> None:
            while len(answers) < count:
                try:
                    answers.append(await read_one())
                except ResponseError as error:
                    answers.append(error)

        await self._read(read_all)
        return answers

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        try:
            async with RunningTimeout(self._limit, self):
                return await read()
        except TimeoutError:
            text = f"no answer from {self._host_error()} for {self._limit:g} s"
            raise RedisTimeoutError(text) from None
        except RedisConnectionError as error:
            if self._abort_reason is None:
                raise
            raise RedisTimeoutError(self._abort_reason) from error

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Send packed commands."""
        if self._writer is None:
            await self.connect()  # type: ignore[no-untyped-call]  # redis-py has no annotation
        if check_health and self.health_check_interval:
            await self.check_health()  # type: ignore[no-untyped-call]  # redis-py has no annotation
        writer = self._writer
        if writer is None:
            raise RedisConnectionError("another task closed the connection before the command")

        # Nearly always the kernel accepts all bytes at once, and there is nothing to wait for.
        writer.writelines(command if isinstance(command, list) else [command])
        if writer.transport.is_closing() or writer.transport.get_write_buffer_size():
            async with RunningTimeout(self._limit, self):
                await super().send_packed_command([], check_health=False)

    def _connection_arguments(self) -> Any:
        arguments = dict(super()._connection_arguments())  # type: ignore[misc]  # of the other base
        if self._address is not None:
            if "ssl" in arguments:
                arguments["server_hostname"] = arguments["host"]
            arguments["host"] = self._address
        return arguments

    async def _connect(self) -> None:
        self.owner.raise_if_closed()
        if isinstance(self, SSLConnection):
            await self.owner.renew_certificates(self.ssl_context)
        self._abort_reason = None
        try:
            async with RunningTimeout(self._connect_limit):
                await self._connect_to_any(await _resolve(getattr(self, "host", None)))
        except BaseException:  # it may have connected just before the time-out
            self._close()
            raise
        if self.owner.is_closed:
            self._close()
        self.owner.raise_if_closed()

    async def _connect_to_any(self, addresses: Sequence[str | None]) -> None:
        """Connect to the first of several addresses that accepts a connection."""
        for address in addresses:
            self._address = address
            try:
                await super()._connect()  # type: ignore[safe-super, no-untyped-call]  # of the other base
            except OSError:
                if address is addresses[-1]:
                    raise
            else:
                return


async def _resolve(host: str | None) -> Sequence[str | None]:
    """Return the addresses of a host; an address, or no host, stands for itself.

    The event loop would resolve the name in its default executor, which the application may have
    filled.
    """
    if host is None:
        return [None]
    with suppress(ValueError):
        ip_address(host.partition("%")[0])
        return [host]
    found = await call_in_thread(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _get_versions(paths: Sequence[str | None]) -> list[tuple[int, ...] | None]:
    """Return a version of each file, which differs after a change; ``None`` without a file."""
    versions: list[tuple[int, ...] | None] = []
    for path in paths:
        try:
            status = None if path is None else Path(path).stat()
        except OSError:
            status = None
        file = None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)
        versions.append(file)
    return versions


class ConnectionOwner:
    """The connections that one client of one event loop has opened.

    Attributes:
        is_closed: whether connections are refused.

    Example:
        >>> from redis.asyncio import Connection
        >>> owner = ConnectionOwner()
        >>> connection = owner.make_class(Connection)(host="localhost", port=1)
        >>> len(owner)
        1
    """

    def __init__(self) -> None:
        self._connections: WeakSet[AbstractConnection] = WeakSet()
        self._ssl_context: Any = None
        self._certificate_versions: object = None
        self.is_closed = False

    def __len__(self) -> int:
        """Return the number of connections, connected or not."""
        return len(self._connections)

    @property
    def connected_count(self) -> int:
        """Return the number of connections that have a socket."""
        return sum(connection.is_connected for connection in self._connections)

    def make_class(self, base: type[Any]) -> type[Any]:
        """Create a class of connections, from one of redis-py, that register with this owner."""
        return type("OwnedConnection", (_OwnedConnection, base), {"owner": self})

    def use_in_cluster(self, client: RedisCluster) -> None:
        """Let a Cluster's client create connections of this owner.

        The client accepts no connection class, but hands this dictionary to its nodes.
        """
        connection_class = self.make_class(client.connection_kwargs["connection_class"])
        client.connection_kwargs["connection_class"] = connection_class
        for node in client.nodes_manager.startup_nodes.values():
            node.connection_class = connection_class

    def add(self, connection: Any) -> None:
        """Register a new connection, and let it share the TLS certificates of the first one.

        Reading the system's certificates blocks the event loop for 40 ms; once is enough.
        """
        self._connections.add(connection)
        if isinstance(connection, SSLConnection):
            if self._ssl_context is None:
                self._ssl_context = connection.ssl_context
            connection.ssl_context = self._ssl_context

    async def renew_certificates(self, settings: Any) -> None:
        """Read the certificates again if one of their files has changed since the last time.

        A file that cannot be read, or is being written, leaves the certificates as they are until
        the next connection.

        Args:
            settings: redis-py's settings of TLS, which hold the certificates.
        """
        versions = await call_in_thread(
            _get_versions, (settings.ca_certs, settings.certfile, settings.keyfile)
        )
        if versions == self._certificate_versions and settings.context is not None:
            return
        renewed = copy(settings)
        renewed.context = None
        try:
            settings.context = await call_in_thread(renewed.get)
        except (OSError, ValueError) as error:
            if settings.context is None:
                raise OSError(f"the TLS certificates cannot be read: {error}") from error
        else:
            self._certificate_versions = versions

    def raise_if_closed(self) -> None:
        """Refuse a connection after `close`, by redis-py's `ConnectionError`."""
        if self.is_closed:
            raise RedisConnectionError("the client is closed; no new connection is opened")

    async def close(self) -> None:
        """Close all connections, and refuse later ones."""
        self.is_closed = True
        closing = (connection.disconnect() for connection in list(self._connections))
        await asyncio.gather(*closing, return_exceptions=True)


def get_time_limit(client: RedisCluster) -> float:
    """Return the seconds in which a Cluster's client connects to a node and has its answer."""
    settings = client.connection_kwargs
    return sum(settings.get(name) or seconds for name, seconds in _TIME_LIMITS.items())


async def load_topology(client: RedisCluster) -> None:
    """Ask the Cluster for its primaries, unless the client knows them.

    redis-py asks one node after the other, and each caller repeats that after the callers before it
    have failed. So the time of all of it is limited.

    Raises:
        TimeoutError: no node has answered in time.
    """
    if client.nodes_manager.slots_cache:
        await client.initialize()
        return
    async with RunningTimeout(get_time_limit(client)):
        await client.initialize()


async def refresh_topology(client: RedisCluster) -> None:
    """Ask the Cluster for its present primaries, which may have changed since the first request.

    Raises:
        TimeoutError: no node has answered in time.
    """
    async with RunningTimeout(get_time_limit(client)):
        await client.initialize()
        await client.nodes_manager.initialize()


async def drop_lost_connections(node: Any) -> None:
    """Close the idle connections of a node that the server has closed.

    They are known as soon as the event loop has run. A command on one of them would fail, and
    whether the server has executed it would be unknown.

    Args:
        node: a `ClusterNode`; redis-py offers no other way to its idle connections.
    """
    for connection in list(node._free):  # noqa: SLF001 - see above
        reader = connection._reader  # noqa: SLF001 - see above
        if reader is not None and reader.at_eof():
            await connection.disconnect(nowait=True)


def on_invalidation(
    connection: AbstractConnection, handler: Callable[[Sequence[Any]], Awaitable[None]]
) -> None:
    """Call a function with each invalidation message that a connection receives.

    Args:
        connection: of this owner's or of a user's client, before it connects.
        handler: receives the message: its kind, then the invalidated names or ``None`` for all.
    """
    connection._parser.set_invalidation_push_handler(handler)  # type: ignore[attr-defined]  # noqa: SLF001 - redis-py offers no other way
