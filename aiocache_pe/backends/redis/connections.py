"""Connections that their owner knows, so that none is left behind by whoever made it.

`redis.asyncio` makes connections in many places: a Cluster's client does for nodes that it
drops when the topology changes, and for tasks that it no longer waits for when another
one of them has failed. Here every connection is of a kind that tells its owner, who closes
all of them at the end and lets none be made after that.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar
from weakref import WeakSet

from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class _Owned(AbstractConnection):
    """A connection that tells its owner that it is there."""

    owner: ClassVar[Connections]
    ssl_context: Any
    _reader: Any
    _writer: Any
    _parser: Any
    _cut: str | None = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.owner.admit(self)

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes still to be sent, and those of an answer that is not whole yet."""
        part = self._parser._reader  # noqa: SLF001 - nobody else knows
        return self._writer.transport.get_write_buffer_size(), part.len() if part else 0

    def cut(self, why: str) -> None:
        """Let whoever waits for it know that nothing will come."""
        self._cut = why
        self._writer.transport.abort()

    async def disconnect(self, nowait: bool = False, *args: Any, **options: Any) -> None:  # noqa: FBT001, FBT002 - it is the client's
        """Close it; with ``nowait`` at once, without the farewell of TLS, which takes turns."""
        if nowait and self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait, *args, **options)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        super()._close()  # type: ignore[no-untyped-call]  # the client's has no annotations

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """The next answer."""
        try:
            return await super().read_response(*args, **options)
        except RedisConnectionError as error:
            if self._cut is None:
                raise
            raise RedisTimeoutError(self._cut) from error

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - it is the client's
        """Send what is packed."""
        writer = self._writer
        if writer is None or self.health_check_interval or not isinstance(command, list):
            await super().send_packed_command(command, check_health)
            return
        # The client begins a task to send, for its time-out; nearly always the kernel
        # takes all at once, and there is nothing to wait for.
        writer.writelines(command)
        if writer.transport.is_closing() or writer.transport.get_write_buffer_size():
            await super().send_packed_command([], check_health=False)

    async def _connect(self) -> None:
        self.owner.check()
        self._cut = None
        await super()._connect()  # type: ignore[safe-super, no-untyped-call]  # the other base's
        if self.owner.is_closed:
            self._close()
        self.owner.check()

    async def _send_packed_command(self, command: Any) -> None:
        if self._writer is None:  # closed by another task since it was connected
            raise RedisConnectionError("the connection was closed meanwhile")
        await super()._send_packed_command(command)


class Connections:
    """What one client of one event loop has opened.

    Example:
        >>> from redis.asyncio import Connection
        >>> owner = Connections()
        >>> made = owner.kind(Connection)(host="localhost", port=1)
        >>> len(owner)
        1
    """

    def __init__(self) -> None:
        self._made: WeakSet[AbstractConnection] = WeakSet()
        self._context: Any = None
        self.is_closed = False

    def __len__(self) -> int:
        """How many there are, connected or not."""
        return len(self._made)

    @property
    def connected(self) -> int:
        """How many have a socket."""
        return sum(each.is_connected for each in self._made)

    def kind(self, base: type[Any]) -> type[Any]:
        """A class of connections of this owner.

        Args:
            base: which of the client's kinds.
        """
        return type("Owned", (_Owned, base), {"owner": self})

    def admit(self, connection: Any) -> None:
        """Take in a new connection; it shares what the first one knows of certificates.

        To read the system's takes 40 ms, in which the loop stands still; once is enough.
        """
        self._made.add(connection)
        if isinstance(connection, SSLConnection):
            if self._context is None:
                self._context = connection.ssl_context
            connection.ssl_context = self._context

    def check(self) -> None:
        """Let nothing be opened any more once all is closed."""
        if self.is_closed:
            raise RedisConnectionError("the client was closed")

    async def close(self) -> None:
        """Close all, and those that come too late."""
        self.is_closed = True
        closing = (each.disconnect() for each in list(self._made))
        await asyncio.gather(*closing, return_exceptions=True)
