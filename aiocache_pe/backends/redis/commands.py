"""Commands that the store's methods consist of, for one server and for a Cluster."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from redis.asyncio import RedisCluster
from redis.crc import key_slot
from redis.exceptions import (
    ClusterDownError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from aiocache_pe.backends.redis.client_tracking import Tracker
from aiocache_pe.backends.redis.clients import Client, Clients
from aiocache_pe.backends.redis.cluster import (
    Command,
    NodeAddress,
    Primary,
    Router,
    find_gained_slots,
    get_node,
    list_primaries,
    order_primaries,
)
from aiocache_pe.backends.redis.connection_pool import Pool, execute, execute_many
from aiocache_pe.backends.redis.connections import load_topology, refresh_topology
from aiocache_pe.backends.redis.errors import (
    CONNECTION_ERRORS,
    is_read_only,
    make_denied_error,
    translate_error,
    translate_errors,
)
from aiocache_pe.backends.redis.key_names import PROBE_NAME
from aiocache_pe.backends.redis.rights import BASIC_RIGHTS
from aiocache_pe.backends.redis.scripts import Script, ScriptCall
from aiocache_pe.backends.redis.server_clock import ServerClock
from aiocache_pe.backends.redis.split_scripts import PARTS
from aiocache_pe.exceptions import AccessDeniedError, BackendError, StoreUnavailableError

logger = logging.getLogger("aiocache_pe")
_SCAN_COUNT = 500
_BATCH_COMMANDS = 1000  # in one round trip; the server executes them in a few milliseconds
_BATCH_NAMES = 2500  # in one MGET: a thousand keys with their generations
_BATCH_BYTES = 1 << 20  # in one round trip, unless one command is larger
_MAX_SCANS = 50  # of a Cluster whose slots keep moving
_RECENT_NAMES = 20_000  # names of a scan that are checked for repetitions
_JOINED_CALLS = 500  # script calls in one command; the server does nothing else meanwhile
_RIGHTS_SECONDS = 60.0  # for which the missing rights are remembered
_HEAD_BYTES = 1023  # read to find a head; most heads have a fifth of that


class Commands:
    """Sends commands with the running loop's client.

    The methods raise `StoreUnavailableError` if the server is away. They raise `BackendError` if it
    refuses a command, unless an answer for each command is returned.

    Args:
        clients: the clients of all event loops.
        server: the server's name for errors.
        tracker: the listener to changes, which hears nothing of a node that does not own the slot
            of a name.
    """

    def __init__(self, clients: Clients, server: str, tracker: Tracker | None = None) -> None:
        self.clients = clients
        self.server = server
        self._tracker = tracker
        self._is_time_denied = False
        self._tried_rights: tuple[float, list[str]] = 0.0, []

    @property
    def is_cluster(self) -> bool:
        """Return whether the running loop's client is that of a Cluster."""
        return isinstance(self.clients.get_link().client, RedisCluster)

    async def call(self, *command: Any) -> Any:
        """Send one command and return its answer."""
        link = self.clients.get_link()
        with translate_errors(self.server):
            async with link.limit:
                if link.pool is None:
                    [answer] = await self._execute_with_client(link.client, [command])
                    if isinstance(answer, Exception):
                        raise answer
                    return answer
                try:
                    return await execute(link.pool, *command)
                except ResponseError as error:
                    if not is_read_only(error):
                        raise
                    await link.pool.disconnect(inuse_connections=False)
                    return await execute(link.pool, *command)

    async def call_without_key(self, *command: Any) -> Any:
        """Send a command without a key, in a Cluster to one primary; redis-py parses the answer."""
        link = self.clients.get_link()
        client: Any = link.client
        with translate_errors(self.server):
            async with link.limit:
                if isinstance(client, RedisCluster):
                    await load_topology(client)
                    client = client.get_primaries()[0]
                return await client.execute_command(*command)

    async def batch(self, commands: Sequence[Command], *, keeps_answers: bool = False) -> list[Any]:
        """Send commands; return answers, or a `BackendError` for a refusal.

        One round trip, or several for a batch that would take the server long. If the server
        becomes unavailable after the first one, and ``keeps_answers`` is true, the error takes the
        place of the later answers.
        """
        answers: list[Any] = []
        for part in _split(commands):
            try:
                answers += await self._batch_part(part)
            except StoreUnavailableError as error:
                if not answers or not keeps_answers:
                    raise
                return answers + [error] * (len(commands) - len(answers))
        return answers

    async def _batch_part(self, commands: Sequence[Command]) -> list[Any]:
        link = self.clients.get_link()
        with translate_errors(self.server):
            async with link.limit:
                if link.pool is not None:
                    answers = await _execute_on_primary(link.pool, commands)
                else:
                    answers = await self._execute_with_client(link.client, commands)
        return [self._translate_answer(answer) for answer in answers]

    async def _execute_with_client(self, client: Client, commands: Sequence[Command]) -> list[Any]:
        if isinstance(client, RedisCluster):
            return await Router(client, self._mark_changed).execute(commands)
        return await _execute_pipeline(client, commands)

    def _mark_changed(self, name: bytes) -> None:
        if self._tracker is not None:
            self._tracker.mark_changed([name])

    async def get(self, names: Sequence[bytes]) -> Sequence[Any]:
        """Return the values of several names: bytes, ``None``, or a `BackendError`."""
        if len(names) == 1:
            try:
                return [await self.call("GET", names[0])]
            except BackendError as error:
                if isinstance(error.__cause__, RedisError) and "WRONGTYPE" in str(error):
                    return [error]
                raise
        if self.is_cluster:
            return await self.batch([("GET", name) for name in names])
        values: list[Any] = []
        for start in range(0, len(names), _BATCH_NAMES):
            values += await self.call("MGET", *names[start : start + _BATCH_NAMES])
        return values

    async def run(self, script: Script, call: ScriptCall) -> Any:
        """Run a script once and return its answer."""
        [answer] = raise_refusals(await self.run_many(script, [call]))
        return answer

    async def run_many(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run a script for each call; see `batch` with ``keeps_answers``.

        One round trip for a batch if the server knows the script already.
        """
        tails = [(len(names), *names, *args) for names, args in calls]
        commands: list[Command] = [("EVALSHA", script.sha, *tail) for tail in tails]
        answers = await self.batch(commands, keeps_answers=True)
        unknown = [n for n, answer in enumerate(answers) if _is_unknown_script(answer)]
        commands = [("EVAL", script.source, *tails[n]) for n in unknown]
        later_answers = await self.batch(commands, keeps_answers=True)
        for n, answer in zip(unknown, later_answers, strict=True):
            answers[n] = answer
        for n, answer in enumerate(answers):
            if _is_split(answer) and script in PARTS:
                answers[n] = await self._run_in_parts(script, calls[n])
        denied = [n for n, answer in enumerate(answers) if _is_unnamed(answer)]
        if denied:
            named = await self.name_rights(answers[denied[0]])
            for n in denied:
                answers[n] = named
        return answers

    async def _run_in_parts(self, script: Script, call: ScriptCall) -> Any:
        """Run a script whose names are on two nodes; a cancelled caller does not stop it halfway.

        Returns:
            The answer, or the `BackendError` of a part.
        """
        parts = PARTS[script](self.run, self.call, *map(list, call))
        try:
            return await asyncio.shield(self.clients.get_link().start(parts))
        except BackendError as error:
            return error

    async def name_rights(self, error: AccessDeniedError) -> AccessDeniedError:
        """Return an error that names the missing rights, which an answer of a script does not.

        The rights are tried once a minute at most.
        """
        tried_at, missing = self._tried_rights
        if not missing or time.monotonic() - tried_at > _RIGHTS_SECONDS:
            missing = await self.find_missing_rights(BASIC_RIGHTS)
            self._tried_rights = time.monotonic(), missing
        cause, text = error.__cause__, str(error.__cause__ or error).partition("\n")[0]
        return make_denied_error(text, self.server, cause, " ".join(missing))

    async def measure_clock(self, server_clock: ServerClock) -> None:
        """Measure the difference to the server's clock, in a Cluster that of one primary.

        A server that refuses this is taken to have the same time.
        """
        began = server_clock.start()
        try:
            send = self.call_without_key if self.is_cluster else self.call
            answer = await send("TIME")
        except StoreUnavailableError:
            if not server_clock.is_known:
                raise
            return
        except BackendError as error:
            server_clock.finish(began, began + server_clock.difference)
            if not self._is_time_denied:
                self._is_time_denied = True
                logger.warning(
                    "%s: times count by this machine's clock, because the user lacks the right "
                    "+time (%s)",
                    *(self.server, error),
                )
            return
        seconds, microseconds = (int(part) for part in answer)
        server_clock.finish(began, seconds + microseconds / 1e6)

    async def find_missing_rights(self, rights: Mapping[str, Command]) -> list[str]:
        """Return those of some rights that the user lacks, by one attempt of each.

        Args:
            rights: harmless commands by the rights that they need.
        """
        missing: list[str] = []
        for right, command in rights.items():
            try:
                await self.call_without_key(*command)  # a redirection follows the check of rights
            except AccessDeniedError:
                missing.append(right)
            except StoreUnavailableError:
                raise
            except BackendError:  # another refusal, such as that of an unknown script
                continue
        return missing

    async def run_joined(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run a script that accepts the names and arguments of several calls at once.

        One round trip. Outside a Cluster, one script call serves hundreds of calls.
        """
        if self.is_cluster:
            return await self.run_many(script, calls)
        joined: list[ScriptCall] = []
        for start in range(0, len(calls), _JOINED_CALLS):
            names, args = zip(*calls[start : start + _JOINED_CALLS], strict=True)
            joined.append((list(chain.from_iterable(names)), list(chain.from_iterable(args))))
        return await self.run_many(script, joined)

    async def get_heads(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return the first lines of several values; ``None`` for a value without a line."""
        starts = await self.batch([("GETRANGE", name, 0, _HEAD_BYTES) for name in names])
        raise_denials(starts)
        lines: list[bytes | None] = [None] * len(names)
        incomplete: list[int] = []
        for n, start in enumerate(starts):
            if isinstance(start, bytes) and start:
                line, newline, _ = start.partition(b"\n")
                if newline:
                    lines[n] = line
                elif len(start) > _HEAD_BYTES:
                    incomplete.append(n)

        values = await self.get([names[n] for n in incomplete]) if incomplete else ()
        for n, value in zip(incomplete, values, strict=True):
            if isinstance(value, bytes):
                lines[n] = value.partition(b"\n")[0]
        return lines

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Iterate in batches over the names that match a pattern, on all primaries.

        ``SCAN`` repeats names only when a table shrinks during the scan, and then only those that
        it returned shortly before: it visits buckets in the order of their reversed bits
        (``dictScan`` in Redis' dict.c). Comparing with the latest names is enough to yield each
        name once. Names that a slot takes to another primary may be yielded twice.
        """
        recent: OrderedDict[bytes, None] = OrderedDict()
        batches = self._scan_cluster(pattern) if self.is_cluster else self._scan_node(None, pattern)
        async for names in batches:
            fresh = [name for name in dict.fromkeys(names) if name not in recent]
            recent.update(dict.fromkeys(fresh))
            while len(recent) > _RECENT_NAMES:
                recent.popitem(last=False)
            if fresh:
                yield fresh

    async def _scan_cluster(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Scan all primaries, and then those that gained slots meanwhile, until there are none.

        Raises:
            StoreUnavailableError: a primary cannot be reached, and no other one has its slots.
            BackendError: slots kept moving.
        """
        scanned: dict[NodeAddress, Primary] = {}
        for _ in range(_MAX_SCANS):
            primaries = await self._list_primaries()
            gained = find_gained_slots(scanned, primaries)
            if not gained:
                return
            for address in [each for each in order_primaries(primaries) if each in gained]:
                slots = gained[address]
                try:
                    async for names in self._scan_node(address, pattern):
                        yield [name for name in names if not scanned or key_slot(name) in slots]
                except StoreUnavailableError:  # it may have left, and then others have its slots
                    del primaries[address]
                    await self._raise_if_unavailable(address)
            scanned = primaries
        raise BackendError(
            f"{self.server}: slots moved during each of {_MAX_SCANS} scans; repeat the operation "
            "after the reshard"
        )

    async def _raise_if_unavailable(self, address: NodeAddress) -> None:
        """Raise if a node that could not be scanned still has slots."""
        primaries = await self._list_primaries()
        if address in primaries and primaries[address].known_slots:
            raise StoreUnavailableError(f"{self.server}: node {address} was lost during a scan")

    async def _list_primaries(self) -> dict[NodeAddress, Primary]:
        link = self.clients.get_link()
        client: Any = link.client
        with translate_errors(self.server):
            async with link.limit:
                return await list_primaries(client)

    async def _scan_node(
        self, address: NodeAddress | None, pattern: bytes
    ) -> AsyncIterator[list[bytes]]:
        cursor: Any = 0
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            if address is None:
                cursor, names = await self.call(*command)
            else:
                cursor, names = await self._call_node(address, *command)
            yield names
            if int(cursor) == 0:
                return

    async def probe(self) -> None:
        """Return if every primary answers, every slot has one, and the server accepts changes."""
        link = self.clients.get_link()
        client = link.client
        if not isinstance(client, RedisCluster):
            with suppress(AccessDeniedError):  # the server answers, so it is available
                await self.call("UNLINK", PROBE_NAME)
            return
        with translate_errors(self.server):
            async with link.limit:
                await refresh_topology(client)
                await asyncio.gather(*(_probe_node(node) for node in client.get_primaries()))

    def _translate_answer(self, answer: Any) -> Any:
        if not isinstance(answer, Exception):
            return answer
        error = translate_error(answer, self.server)
        if isinstance(error, StoreUnavailableError):
            raise error
        return error

    async def _call_node(self, address: NodeAddress, *command: Any) -> Any:
        link = self.clients.get_link()  # at each step, because it may be closed between two
        client: Any = link.client
        with translate_errors(self.server):
            async with link.limit:
                await load_topology(client)
                return await get_node(client, *address).execute_command(*command)


def raise_refusals(answers: list[Any], get_done: Callable[[], Sequence[Any]] = tuple) -> list[Any]:
    """Return answers; raise the first that is a `BackendError`.

    Args:
        answers: the answers of a batch.
        get_done: returns what was done (`BackendError.done`).
    """
    for answer in answers:
        if isinstance(answer, BackendError):
            answer.done = get_done()
            raise answer
    return answers


def raise_denials(answers: Sequence[Any]) -> None:
    """Raise the first answer that is an `AccessDeniedError`."""
    for answer in answers:
        if isinstance(answer, AccessDeniedError):
            raise answer


def _split(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """Split a batch into parts of a limited number and size."""
    start = size = 0
    for n, command in enumerate(commands):
        if n > start and (n - start >= _BATCH_COMMANDS or size >= _BATCH_BYTES):
            yield commands[start:n]
            start, size = n, 0
        size += sum(len(value) for value in command if isinstance(value, bytes))
    if commands:
        yield commands[start:]


async def _execute_on_primary(pool: Pool, commands: Sequence[Command]) -> list[Any]:
    """Execute commands; after a failover, execute those that were refused on new connections.

    The connections to a demoted primary stay open. The server's address may name another server by
    now.
    """
    answers = await execute_many(pool, commands)
    refused = [n for n, answer in enumerate(answers) if is_read_only(answer)]
    if refused:
        await pool.disconnect(inuse_connections=False)
        later_answers = await execute_many(pool, [commands[n] for n in refused])
        for n, answer in zip(refused, later_answers, strict=True):
            answers[n] = answer
    return answers


async def _execute_pipeline(client: Client, commands: Sequence[Command]) -> list[Any]:
    if len(commands) == 1:
        try:
            return [await client.execute_command(*commands[0])]
        except RedisError as error:
            if isinstance(error, CONNECTION_ERRORS):
                raise
            return [error]
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)


async def _probe_node(node: Any) -> None:
    try:
        await node.execute_command("UNLINK", PROBE_NAME)
    except ClusterDownError:
        raise
    except ResponseError:  # the slot belongs to another node: that is an answer
        return


def _is_split(answer: object) -> bool:
    return isinstance(answer, BackendError) and isinstance(answer.__cause__, TryAgainError)


def _is_unnamed(answer: object) -> bool:
    return isinstance(answer, AccessDeniedError) and not answer.right


def _is_unknown_script(answer: object) -> bool:
    return isinstance(answer, BackendError) and isinstance(answer.__cause__, NoScriptError)
