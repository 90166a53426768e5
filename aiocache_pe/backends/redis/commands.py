"""The few commands that the verbs are made of, on one server and on a Cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ClusterDownError, NoScriptError, RedisError, ResponseError

from aiocache_pe.backends.redis.clients import Client, Clients
from aiocache_pe.backends.redis.connection_pool import exchange, exchange_many
from aiocache_pe.backends.redis.errors import AWAY, describe_error, translate_errors
from aiocache_pe.backends.redis.key_names import ENTRIES
from aiocache_pe.backends.redis.scripts import Script
from aiocache_pe.exceptions import BackendError, StoreUnavailableError

Command = tuple[Any, ...]
ScriptCall = tuple[Sequence[bytes], Sequence[bytes | str]]
"""The names and the arguments of a call of a script; the names lie in one slot."""

_SCAN_COUNT = 500
_REMEMBERED = 20_000
_TOGETHER = 500  # calls of a script; the server does nothing else meanwhile
_HEAD_GUESS = 1023  # bytes; most heads are a fifth of that


class Commands:
    """Sends commands with the running loop's client.

    Args:
        clients: where the clients are from.
        place: the server's name for errors.
    """

    def __init__(self, clients: Clients, place: str) -> None:
        self._clients = clients
        self.place = place

    async def call(self, *command: Any) -> Any:
        """One command, one answer.

        Raises:
            StoreUnavailableError: the server is away.
            BackendError: it refuses.
        """
        link = self._clients.link()
        with translate_errors(self.place):
            async with link.limit:
                if link.pool is not None:
                    return await exchange(link.pool, *command)
                return await link.client.execute_command(*command)

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        """Several commands in one round trip, and their answers.

        An answer may be a `BackendError`, of a command that was refused.

        Raises:
            StoreUnavailableError: the server is away.
        """
        if not commands:
            return []
        link = self._clients.link()
        with translate_errors(self.place):
            async with link.limit:
                if link.pool is not None:
                    answers = await exchange_many(link.pool, commands)
                else:
                    answers = await _pipelined(link.client, commands)
        return [self._answer(each) for each in answers]

    async def get(self, names: Sequence[bytes]) -> Sequence[Any]:
        """The values of several names: bytes, ``None``, or a `BackendError`."""
        if len(names) == 1:
            try:
                return [await self.call("GET", names[0])]
            except BackendError as error:
                if isinstance(error.__cause__, RedisError) and "WRONGTYPE" in str(error):
                    return [error]
                raise
        if isinstance(self._clients.link().client, RedisCluster):
            return await self.batch([("GET", name) for name in names])
        return await self.call("MGET", *names)  # type: ignore[no-any-return]  # it is the server's answer

    async def run(self, script: Script, call: ScriptCall) -> Any:
        """Run a script once."""
        [answer] = await self.run_many(script, [call])
        if isinstance(answer, BackendError):
            raise answer
        return answer

    async def run_many(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run a script several times, in one round trip once the server knows it."""
        tails = [(len(names), *names, *args) for names, args in calls]
        answers = await self.batch([("EVALSHA", script.sha, *tail) for tail in tails])
        unknown = [n for n, each in enumerate(answers) if _is_unknown_script(each)]
        again = await self.batch([("EVAL", script.source, *tails[n]) for n in unknown])
        for n, answer in zip(unknown, again, strict=True):
            answers[n] = answer
        return answers

    async def run_together(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run a script that takes the names and arguments of several calls one after the other.

        In one round trip, and where there are no slots to part them by, hundreds at a time.
        """
        if isinstance(self._clients.link().client, RedisCluster):
            return await self.run_many(script, calls)
        joined: list[ScriptCall] = []
        for start in range(0, len(calls), _TOGETHER):
            names, args = zip(*calls[start : start + _TOGETHER], strict=True)
            joined.append((list(chain.from_iterable(names)), list(chain.from_iterable(args))))
        return await self.run_many(script, joined)

    async def heads(self, names: Sequence[bytes]) -> list[bytes | None]:
        """The first lines of several values; ``None`` where there is none."""
        starts = await self.batch([("GETRANGE", name, 0, _HEAD_GUESS) for name in names])
        lines: list[bytes | None] = [None] * len(names)
        longer: list[int] = []
        for n, start in enumerate(starts):
            if isinstance(start, bytes) and start:
                line, newline, _ = start.partition(b"\n")
                if newline:
                    lines[n] = line
                elif len(start) > _HEAD_GUESS:
                    longer.append(n)
        values = await self.get([names[n] for n in longer]) if longer else ()
        for n, value in zip(longer, values, strict=True):
            if isinstance(value, bytes):
                lines[n] = value.partition(b"\n")[0]
        return lines

    async def scan(self, match: bytes) -> AsyncIterator[list[bytes]]:
        """Names that match a pattern, a batch at a time, on all primaries.

        ``SCAN`` repeats itself only when a table shrinks under it, and then only what it
        told just before: it visits buckets in the order of their reversed bits
        (``dictScan`` in Redis' dict.c). So remembering the last names is enough to tell
        each once.
        """
        told_before: dict[bytes, None] = {}
        order: deque[bytes] = deque()
        link = self._clients.link()
        client = link.client
        nodes: Sequence[str] = ("",)
        if isinstance(client, RedisCluster):
            with translate_errors(self.place):
                async with link.limit:
                    await client.initialize()
            nodes = [node.name for node in client.get_primaries()]
        for node in nodes:
            cursor: Any = 0
            while True:
                cursor, names = await self._scan_step(node, cursor, match)
                fresh = [name for name in dict.fromkeys(names) if name not in told_before]
                told_before.update(dict.fromkeys(fresh))
                order.extend(fresh)
                while len(order) > _REMEMBERED:
                    del told_before[order.popleft()]
                if fresh:
                    yield fresh
                if int(cursor) == 0:
                    break

    async def probe(self) -> None:
        """Return if every primary answers.

        Raises:
            StoreUnavailableError: one does not, or slots have none.
        """
        link = self._clients.link()
        client = link.client
        if not isinstance(client, RedisCluster):
            await self.call("GET", ENTRIES)
            return
        with translate_errors(self.place):
            async with link.limit:
                await client.initialize()
                await client.nodes_manager.initialize()  # who is primary now
                nodes = client.get_primaries()
                await asyncio.gather(*(_answers(node) for node in nodes))

    def _answer(self, answer: Any) -> Any:
        if not isinstance(answer, Exception):
            return answer
        error = describe_error(answer, self.place)
        if isinstance(error, StoreUnavailableError):
            raise error
        return error

    async def _scan_step(self, name: str, cursor: Any, match: bytes) -> tuple[Any, list[bytes]]:
        command = ("SCAN", cursor, "MATCH", match, "COUNT", _SCAN_COUNT)
        link = self._clients.link()  # each time, for it may be closed between two steps
        if not isinstance(link.client, RedisCluster):
            answer = await self.call(*command)
            return answer[0], answer[1]
        with translate_errors(self.place):
            async with link.limit:
                await link.client.initialize()
                node = link.client.get_node(node_name=name)
                if node is None:
                    raise BackendError(f"{self.place}: {name} left the Cluster during a scan")
                answer = await node.execute_command(*command)
        return answer[0], answer[1]


async def _pipelined(client: Client, commands: Sequence[Command]) -> list[Any]:
    if len(commands) == 1:
        try:
            return [await client.execute_command(*commands[0])]
        except RedisError as error:
            if isinstance(error, AWAY):
                raise
            return [error]
    if isinstance(client, RedisCluster):
        async with client.pipeline() as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)


async def _answers(node: Any) -> None:
    try:
        await node.execute_command("GET", ENTRIES)
    except ClusterDownError:
        raise
    except ResponseError:  # the slot is another's: that is an answer
        return


def _is_unknown_script(answer: object) -> bool:
    return isinstance(answer, BackendError) and isinstance(answer.__cause__, NoScriptError)
