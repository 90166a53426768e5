"""Routing in a Cluster: slots that move, and nodes that join, leave or are replaced.

redis-py sends ``ASKING`` on one connection and the redirected command on another one, knows no node
that has no slot yet, and closes all connections of the client when a slot has no primary. So the
store routes its commands itself, with the client's table of slots and its connections
(docs/design/decisions/0082).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.cluster import PRIMARY
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MaxConnectionsError,
    MovedError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aiocache_pe.backends.redis import scripts
from aiocache_pe.backends.redis.connections import (
    drop_lost_connections,
    get_time_limit,
    load_topology,
    refresh_topology,
)

SLOTS = 16_384
"""Number of slots of a Cluster."""

_PAUSES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3)
"""Seconds before the attempts after the first one: about as long as a slot takes to move."""

_TRIES_FOR_PARTS = 4  # of a script whose names are on two nodes; it is then run in parts
_TRIES_AFTER_LOSS = 2  # of a command whose connection was lost
_MAX_REDIRECTS = 5  # without a pause; while a slot moves, two nodes may redirect to each other
_MIN_ROUNDS = 2  # rounds that no time limit prevents, because the event loop may be busy
_ROUTED_COMMANDS = frozenset(("SET", "EVALSHA", "EVAL"))
_REPEATABLE_COMMANDS = frozenset(("GET", "GETRANGE", "STRLEN", "PTTL", "SET", "UNLINK"))
_REPEATABLE_SCRIPTS = frozenset(
    script.sha
    for script in (
        *(scripts.WRITE, scripts.WRITE_COMPUTED, scripts.INVALIDATE),
        *(scripts.RENEW_LEASE, scripts.RELEASE_LEASE),
    )
)
"""Commands and scripts that have the same result when they are executed twice."""

OnAsk = Callable[[bytes], object]
Command = tuple[Any, ...]
NodeAddress = tuple[str, int]


class Router:
    """Sends commands with a Cluster's client, and follows redirections.

    Args:
        client: the client.
        on_ask: called with the name of each command that a node executed without owning the slot.
    """

    def __init__(self, client: RedisCluster, on_ask: OnAsk) -> None:
        self._client = client
        self._on_ask = on_ask
        self._seconds = get_time_limit(client)

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answer of each command, or the client's error where there is none.

        A command is repeated as long as that cannot apply a change twice: after a redirection, and
        after a lost connection only if its result is the same. A slot that moves is worth half a
        second of waiting. No round after the second one begins later than the time in which a node
        connects and answers.
        """
        client, time = self._client, asyncio.get_running_loop().time
        deadline = time() + self._seconds
        answers: list[Any] = [None] * len(commands)
        routes: dict[int, ClusterNode | None] = dict.fromkeys(range(len(commands)))
        tries, rounds, redirects = 0, 0, 0
        while routes and (rounds < _MIN_ROUNDS or time() < deadline):
            await load_topology(client)
            await self._execute_round(commands, routes, answers)
            if not any(isinstance(answers[n], Exception) for n in routes):
                break
            is_circle = redirects >= _MAX_REDIRECTS
            waiting = {
                n
                for n in routes
                if self._is_worth_pause(commands[n], answers[n], tries, is_circle=is_circle)
            }
            following: dict[int, ClusterNode | None] = {}
            for n in routes:
                answer = answers[n]
                if n in waiting:
                    following[n] = None
                elif isinstance(answer, AskError) and not is_circle:
                    following[n] = await self._follow(answer, get_name(commands[n]))
            routes = following
            rounds += 1
            redirects += 1
            if waiting:
                await asyncio.sleep(_PAUSES[tries])
                tries += 1
                redirects = 0
                if any(not isinstance(answers[n], TryAgainError) for n in waiting):
                    await refresh_topology(client)
        return answers

    async def _execute_round(
        self,
        commands: Sequence[Command],
        routes: Mapping[int, ClusterNode | None],
        answers: list[Any],
    ) -> None:
        """Send commands to their nodes, those of one node in one round trip."""
        parts: dict[str, tuple[ClusterNode, list[PipelineCommand]]] = {}
        sent: dict[int, PipelineCommand] = {}
        for n, importing_node in routes.items():
            try:
                node = importing_node or _get_owner(self._client, get_name(commands[n]))
            except RedisClusterException as error:  # the slot has no primary
                answers[n] = error
                continue
            _, part = parts.setdefault(node.name, (node, []))
            if importing_node is not None:
                part.append(PipelineCommand(n, "ASKING"))
            sent[n] = PipelineCommand(n, *commands[n])
            part.append(sent[n])
        if len(parts) == 1:
            [(node, part)] = parts.values()
            await _execute_part(node, part)
        else:
            await asyncio.gather(*(_execute_part(node, part) for node, part in parts.values()))
        for n, command in sent.items():
            answers[n] = command.result

    async def _follow(self, error: AskError, name: bytes) -> ClusterNode | None:
        """Return the node to ask; ``None`` for the owner according to the client's table."""
        if isinstance(error, MovedError):
            await _move_slot(self._client, error)
            return None
        self._on_ask(name)
        return get_node(self._client, error.host, error.port)

    def _is_worth_pause(
        self, command: Command, answer: Any, tries: int, *, is_circle: bool
    ) -> bool:
        if tries >= len(_PAUSES) or not isinstance(answer, Exception):
            return False
        if isinstance(answer, AskError):
            return is_circle
        if isinstance(answer, TryAgainError):
            return tries < _TRIES_FOR_PARTS
        if isinstance(answer, (ClusterDownError, RedisClusterException)):
            return True
        if isinstance(answer, (AuthenticationError, MaxConnectionsError)):
            return False
        return isinstance(answer, (RedisConnectionError, ConnectionError)) and (
            tries < _TRIES_AFTER_LOSS and _is_repeatable(command)
        )


@dataclass(frozen=True, slots=True)
class Primary:
    """A primary, as it describes itself.

    Attributes:
        slots: the slots that it owns.
        sources: for each slot that it imports, the id of the node that owns it.
        node_id: the node's id.
    """

    node_id: str
    slots: frozenset[int]
    sources: Mapping[int, str]

    @property
    def known_slots(self) -> frozenset[int]:
        """Return the slots of which the node may hold names."""
        return self.slots | self.sources.keys()


async def list_primaries(client: RedisCluster) -> dict[NodeAddress, Primary]:
    """Return all primaries by address, also those without a slot, and those that just joined.

    Each primary is asked, because it alone knows which slots it imports. A node that has left owns
    no slot.

    Raises:
        ConnectionError: redis-py's; a primary cannot be reached, and no other one has its slots.
        RedisClusterException: a slot has no primary.
    """
    await load_topology(client)
    found: dict[NodeAddress, Primary] = {}
    errors: list[Exception] = []
    pending = {(node.host, int(node.port)) for node in client.get_primaries()}
    asked: set[NodeAddress] = set()
    while pending:
        addresses, pending = list(pending), set()
        asked.update(addresses)
        nodes = [get_node(client, *address) for address in addresses]
        views = await asyncio.gather(*(_describe(node) for node in nodes), return_exceptions=True)
        for address, view in zip(addresses, views, strict=True):
            if isinstance(view, BaseException):
                if not isinstance(view, (RedisConnectionError, RedisTimeoutError, OSError)):
                    raise view
                errors.append(view)
                continue
            own, others = view
            if own is not None:
                found[address] = own
            pending |= others - asked
    if len(frozenset[int]().union(*(each.slots for each in found.values()))) < SLOTS:
        raise errors[0] if errors else RedisClusterException("a slot has no primary")
    return found


def order_primaries(primaries: Mapping[NodeAddress, Primary]) -> list[NodeAddress]:
    """Return the addresses in an order in which a scan misses no name that moves meanwhile.

    A name moves from the owner of its slot to the node that imports it, so the owner precedes. A
    node of a cycle is returned twice.
    """
    addresses = {primary.node_id: address for address, primary in primaries.items()}
    sources = {
        address: {addresses[each] for each in primary.sources.values() if each in addresses}
        for address, primary in primaries.items()
    }
    order: list[NodeAddress] = []
    visited: set[NodeAddress] = set()

    def visit(address: NodeAddress) -> None:
        if address not in visited:
            visited.add(address)
            for source in sources[address]:
                visit(source)
            order.append(address)

    for address in primaries:
        visit(address)
    late = [each for n, each in enumerate(order) if sources[each] & set(order[n + 1 :])]
    return order + late


def find_gained_slots(
    before: Mapping[NodeAddress, Primary], now: Mapping[NodeAddress, Primary]
) -> dict[NodeAddress, frozenset[int]]:
    """Return the slots that primaries own or import now and did not before, if there are any."""
    nothing = Primary("", frozenset(), {})
    gained = {
        address: primary.known_slots - before.get(address, nothing).known_slots
        for address, primary in now.items()
    }
    return {address: slots for address, slots in gained.items() if slots}


def get_node(client: RedisCluster, host: str, port: int) -> ClusterNode:
    """Return the node at an address; one that owns no slot is kept among the startup nodes.

    They are replaced when the client asks for the topology. The client's table of primaries stays
    as the Cluster describes it.
    """
    name = f"{host}:{port}"
    manager = client.nodes_manager
    node = manager.nodes_cache.get(name) or manager.startup_nodes.get(name)
    if node is None:
        node = manager.startup_nodes[name] = ClusterNode(host, port, **client.connection_kwargs)
    return node


def list_slots(client: RedisCluster) -> Iterator[tuple[str, int]]:
    """Yield the name of each slot's primary with the slot, as the client knows them."""
    for slot, nodes in client.nodes_manager.slots_cache.items():
        yield nodes[0].name, slot


def get_name(command: Command) -> bytes:
    """Return the first name of a command, which decides about its slot."""
    name = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
    return name if isinstance(name, bytes) else str(name).encode()


def _get_owner(client: RedisCluster, name: bytes) -> ClusterNode:
    node = client.get_node_from_key(name)  # type: ignore[arg-type]  # it accepts bytes, too
    if node is None:
        raise RedisClusterException("a slot has no primary")
    return node


async def _move_slot(client: RedisCluster, error: MovedError) -> None:
    """Enter the new owner of a slot in the client's table."""
    manager, name = client.nodes_manager, f"{error.host}:{error.port}"
    known = manager.nodes_cache.get(name)
    if known is None or known.server_type != PRIMARY:  # other slots have moved with this one
        await refresh_topology(client)
    node = get_node(client, error.host, error.port)
    node.server_type = PRIMARY
    manager.nodes_cache[name] = node
    owners = manager.slots_cache.get(error.slot_id)
    if not owners or owners[0] is not node:
        manager.slots_cache[error.slot_id] = [node]


async def _execute_part(node: ClusterNode, part: list[PipelineCommand]) -> None:
    """Execute commands on one node; each has its answer or its error afterwards."""
    await drop_lost_connections(node)
    try:
        if len(part) == 1:
            part[0].result = await node.execute_command(*part[0].args)
        else:
            await node.execute_pipeline(part)
    except (RedisError, OSError) as error:  # no command was sent, or not all of them
        for command in part:
            command.result = error


def _is_repeatable(command: Command) -> bool:
    if command[0] in ("EVAL", "EVALSHA"):
        sha = command[1] if command[0] == "EVALSHA" else scripts.compute_digest(command[1].encode())
        return sha in _REPEATABLE_SCRIPTS
    return command[0] in _REPEATABLE_COMMANDS


async def _describe(node: ClusterNode) -> tuple[Primary | None, set[NodeAddress]]:
    """Return a node as it describes itself if it is a primary, and the other primaries."""
    lines: Mapping[str, Mapping[str, Any]] = await node.execute_command("CLUSTER NODES")
    own: Primary | None = None
    others: set[NodeAddress] = set()
    for address, line in lines.items():
        flags = line["flags"].split(",")
        if "master" not in flags:
            continue
        if "myself" in flags:
            own = Primary(line["node_id"], _parse_slots(line["slots"]), _parse_sources(line))
        elif not {"fail", "handshake", "noaddr"} & set(flags):
            host, _, port = address.rpartition(":")
            others.add((host, int(port)))
    return own, others


def _parse_slots(ranges: Sequence[Sequence[str]]) -> frozenset[int]:
    bounds = [(int(each[0]), int(each[-1])) for each in ranges]
    return frozenset(slot for first, last in bounds for slot in range(first, last + 1))


def _parse_sources(line: Mapping[str, Any]) -> dict[int, str]:
    migrations = [each for each in line["migrations"] if each["state"] == "importing"]
    return {int(each["slot"]): each["node_id"] for each in migrations}


class RoutedCluster(RedisCluster):
    """A Cluster's client that routes commands with one name by `Router`, for redis-py's `Lock`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute one command and return its answer."""
        if options or args[0] not in _ROUTED_COMMANDS:
            return await super().execute_command(*args, **options)
        [answer] = await Router(self, lambda _: None).execute([args])
        if isinstance(answer, Exception):
            raise answer
        return answer
