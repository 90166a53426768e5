"""Commands on a connection of a pool, and their answers, and nothing besides.

What the client does beyond that (trying again, measuring, telling of every connection that
is taken and given back) is done for nobody here and took half of the time of a read.

Noticing that a server says nothing any more, sooner than each call would by itself.

A time-out for each call has to allow for the longest answer. That nothing at all comes
while several wait is known much earlier: no answer, no part of one, and nothing taken of
what is being sent. What counts is time in which the event loop was free to hear, so a
loop that is held up by other work blames no server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ResponseError

_TICK = 0.05  # seconds between two looks
_SEVERAL = 2  # one alone may have asked for something that takes its time


class HangDetector:
    """Watches the connections that are in use, and cuts them off when all are silent.

    Args:
        patience: for how many seconds.
        in_use: tells the connections.
    """

    __slots__ = ("_handle", "_heard", "_in_use", "_silent", "answers", "patience")

    def __init__(self, patience: float, in_use: Callable[[], Collection[Any]]) -> None:
        self.patience = patience
        self.answers = 0
        """To be raised with each answer."""
        self._in_use = in_use
        self._handle: asyncio.TimerHandle | None = None
        self._heard: object = None
        self._silent = 0

    def watch(self) -> None:
        """Begin, unless it has begun; it ends by itself when nothing is in use."""
        if self._handle is None:
            self._silent = 0
            self._handle = asyncio.get_running_loop().call_later(_TICK, self._look)

    def _look(self) -> None:
        waiting = [each for each in self._in_use() if each.is_connected]
        if not self._in_use():
            self._handle = None
            return
        heard = self.answers, [each.progress for each in waiting]
        self._silent = self._silent + 1 if heard == self._heard else 0
        self._heard = heard
        if len(waiting) >= _SEVERAL and self._silent * _TICK >= self.patience:
            for each in waiting:
                each.cut(f"no answer for {self.patience:g} s to {len(waiting)} calls")
        self._handle = asyncio.get_running_loop().call_later(_TICK, self._look)


class Pool(ConnectionPool):
    """Gives connections out and takes them back without telling anybody.

    Both are single steps for the other tasks of the loop, so there is no lock.

    Args:
        patience: seconds of silence after which none of its connections is waited for.
        settings: of its connections.
    """

    def __init__(self, *args: Any, patience: float, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._silence = HangDetector(patience, lambda: self._in_use_connections)

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


async def exchange(pool: Pool, *command: Any) -> Any:
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


async def exchange_many(pool: Pool, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
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
