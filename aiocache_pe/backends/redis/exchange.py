"""Commands on a connection of a pool, and their answers, and nothing besides.

What the client does beyond that (trying again, measuring, telling of every connection that
is taken and given back) is done for nobody here and took half of the time of a read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ResponseError

from aiocache_pe.backends.redis.silence import Silence


class Pool(ConnectionPool):
    """Gives connections out and takes them back without telling anybody.

    Both are single steps for the other tasks of the loop, so there is no lock.

    Args:
        patience: seconds of silence after which none of its connections is waited for.
        settings: of its connections.
    """

    def __init__(self, *args: Any, patience: float, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._silence = Silence(patience, lambda: self._in_use_connections)

    async def get_connection(
        self, command_name: object = None, *keys: object, **options: object
    ) -> Any:
        """A connection that is ready to be used."""
        connection: Any = self.get_available_connection()  # type: ignore[no-untyped-call]  # has no annotations
        self._silence.watch()
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Take it back."""
        self._in_use_connections.remove(connection)
        self._silence.answers += connection.is_connected  # it is not after a call was left
        try:
            if connection.should_reconnect():
                await connection.disconnect()
        finally:
            self._available_connections.append(connection)


class SentinelPool(Pool, SentinelConnectionPool):
    """The same of connections to the primary that Sentinels name."""


async def exchanged(pool: Pool, *command: Any) -> Any:
    """The answer to one command.

    A connection that is left before its answer came closes itself, so a caller that is
    cancelled leaves it to nobody.

    Raises:
        ResponseError: the server refuses it.
    """
    connection: Any = await pool.get_connection()
    try:
        await connection.send_packed_command([hiredis.pack_command(command)])
        return await connection.read_response()
    finally:
        await pool.release(connection)


async def exchanged_many(pool: Pool, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The answers to several commands, sent at once; an error where one is refused."""
    connection: Any = await pool.get_connection()
    try:
        await connection.send_packed_command([hiredis.pack_command(each) for each in commands])
        return [await _answer(connection) for _ in commands]
    finally:
        await pool.release(connection)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
