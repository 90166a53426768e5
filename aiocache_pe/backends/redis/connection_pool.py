"""Connection pool without the client's overhead, and detection of a hanging server.

`redis.asyncio.Redis` retries each command, measures it, and reports each connection that it takes
from the pool and returns. The pool here does none of this, and `execute` uses its connections
directly. A read takes half the processor time (docs/design/decisions/0053).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from aiocache_pe.backends.redis.primary_discovery import find_primary

_CHECK_SECONDS = 0.05
_MIN_WAITING = 2  # a single call may have requested a long answer


class HangDetector:
    """Aborts all connections in use when the server gives none of them a sign of life.

    A time-out per call has to allow for the longest answer. A server that is silent to several
    calls is noticed much earlier: no answer, no part of an answer, and no bytes accepted. The
    detector counts its own checks instead of time, so an event loop that is busy with other work
    blames no server.

    Args:
        hang_timeout: seconds of silence after which the server hangs.
        connections: the connections in use, as they change.

    Attributes:
        answer_count: number of answers; the owner increases it with each answer.
    """

    def __init__(self, hang_timeout: float, connections: Collection[Any]) -> None:
        self.hang_timeout = hang_timeout
        self.answer_count = 0
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._last_progress: object = None
        self._silent_checks = 0

    def start(self) -> None:
        """Start the checks, unless they run; they end when no connection is in use."""
        if self._timer is None:
            self._silent_checks = 0
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check)

    def _check(self) -> None:
        if not self._connections:
            self._timer = None
            return

        waiting = [connection for connection in self._connections if connection.is_connected]
        progress = self.answer_count, [connection.progress for connection in waiting]
        self._silent_checks = self._silent_checks + 1 if progress == self._last_progress else 0
        self._last_progress = progress

        silent_seconds = self._silent_checks * _CHECK_SECONDS
        if len(waiting) >= _MIN_WAITING and silent_seconds >= self.hang_timeout:
            for connection in waiting:
                connection.abort(f"no answer for {self.hang_timeout:g} s to {len(waiting)} calls")
        self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check)


class Pool(ConnectionPool):
    """A pool that hands out and takes back connections in single steps, so without a lock.

    Its connections are of a `ConnectionOwner`.

    Args:
        hang_timeout: seconds without a sign of life after which all its connections are aborted.
        settings: those of the connections, and ``max_connections``.
    """

    def __init__(self, *args: Any, hang_timeout: float, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._idle: list[Any] = []
        self._in_use: set[Any] = set()
        self._hang_detector = HangDetector(hang_timeout, self._in_use)

    async def get_connection(
        self, command_name: object = None, *keys: object, **options: object
    ) -> Any:
        """Return a connection that is connected and has no unread answer."""
        if self._idle:
            connection = self._idle.pop()
        elif len(self._in_use) < self.max_connections:
            connection = self.make_connection()  # type: ignore[no-untyped-call]  # redis-py has no annotation
        else:
            raise RedisConnectionError(f"all {self.max_connections} connections are in use")
        self._in_use.add(connection)
        self._hang_detector.start()
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back."""
        self._in_use.remove(connection)
        # A cancelled call has closed its connection, and is no answer.
        self._hang_detector.answer_count += connection.is_connected
        self._idle.append(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the idle connections, and those in use if ``inuse_connections`` is true."""
        closing = [*self._idle, *(self._in_use if inuse_connections else ())]
        results = await asyncio.gather(
            *(connection.disconnect() for connection in closing), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result


class SentinelPool(Pool, SentinelConnectionPool):
    """A `Pool` of connections to the primary that the Sentinels name."""

    async def get_master_address(self) -> tuple[str, int]:
        """Return the address of the primary; after a change, the idle connections are closed."""
        address = await self.find_primary()
        if self.master_address != address:
            self.master_address = address
            await self.disconnect(inuse_connections=False)
        return address

    async def find_primary(self) -> tuple[str, int]:
        """Return the address of the primary; see `primary_discovery`."""
        return await find_primary(self.sentinel_manager, self.service_name)


async def execute(pool: Pool, *command: Any) -> Any:
    """Send one command and return its answer.

    A cancelled call closes its connection, so no later call reads this answer.
    """
    connection: Any = await pool.get_connection()
    try:
        await connection.send_packed_command([hiredis.pack_command(command)])
        return await connection.read_response()
    finally:
        await pool.release(connection)


async def execute_many(pool: Pool, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send several commands at once and return their answers; an error where one is refused."""
    connection: Any = await pool.get_connection()
    try:
        packed = [hiredis.pack_command(command) for command in commands]
        await connection.send_packed_command(packed)
        return await connection.read_responses(len(commands))  # type: ignore[no-any-return]  # redis-py has no annotation
    finally:
        await pool.release(connection)
