"""Deployments of several servers: Sentinels with a primary, Clusters, and TLS proxies."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme
from redis import Redis
from redis.exceptions import RedisError

from tests.support.polling import poll_blocking
from tests.support.servers.redis_server import LONG_TIMEOUTS, Server, reserve_ports

USER, PASSWORD = "app", "correct horse"
USER_RIGHTS = (
    "~aiocache_pe* +get +set +getrange +mget +strlen +pttl +pexpire +unlink +scan "
    "+eval +evalsha +time"
)
"""The rights that `docs/redis.md` says a user needs, and no others."""

_CLUSTER_RIGHTS = "+cluster|slots +cluster|nodes +asking +command"
_USERS = (
    f'user {USER} on ">{PASSWORD}" {USER_RIGHTS} {_CLUSTER_RIGHTS} +client|tracking +ping +info',
    f'user untracked on ">pw" {USER_RIGHTS} {_CLUSTER_RIGHTS}',
    "user default off",
)
_SHORT_NODE_TIMEOUT = 2  # seconds, for a failover
_LONG_NODE_TIMEOUT = 60  # seconds that a server may pause on a busy machine without a failover


_NODE_LINES = (
    "cluster-enabled yes",
    "cluster-node-timeout 1000",
    "cluster-allow-replica-migration no",
    "repl-diskless-sync yes",
    "repl-diskless-sync-delay 0",
)


class Sentinels:
    """A primary with a replica, and three Sentinels that watch them."""

    service = "main"

    def __init__(self, directory: Path) -> None:
        ports = reserve_ports(5)
        primary = Server(directory / "primary", ports[0])
        replica = Server(
            directory / "replica",
            ports[1],
            [
                f"replicaof 127.0.0.1 {ports[0]}",
                "repl-diskless-sync yes",
                "repl-diskless-sync-delay 0",
            ],
        )
        lines = [
            f"sentinel monitor {self.service} 127.0.0.1 {ports[0]} 2",
            f"sentinel down-after-milliseconds {self.service} 500",
            f"sentinel failover-timeout {self.service} 3000",
        ]
        self.sentinels = [
            Server(directory / f"sentinel{n}", port, lines, sentinel=True)
            for n, port in enumerate(ports[2:])
        ]
        self.servers = [primary, replica]
        self._servers = [primary, replica, *self.sentinels]

    @property
    def url(self) -> str:
        """Return the URL of the service."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}{LONG_TIMEOUTS}"

    def start(self) -> None:
        """Start all servers, and wait until the Sentinels know each other and the replica."""
        for server in self._servers:
            server.start()
        poll_blocking(self._is_complete, deadline=60)
        self.set_down_after(_LONG_NODE_TIMEOUT)

    def kill(self) -> None:
        """Kill all servers."""
        for server in reversed(self._servers):
            server.kill()

    def set_down_after(self, seconds: float) -> None:
        """Set the time after which the Sentinels replace a silent primary; at first a minute."""
        for sentinel in self.sentinels:
            with Redis(port=sentinel.port) as client:
                milliseconds = round(seconds * 1000)
                client.sentinel_set(self.service, "down-after-milliseconds", milliseconds)

    def get_primary(self) -> Server:
        """Return the primary that most of the Sentinels name."""
        ports: list[int] = []
        for sentinel in self.sentinels:
            with Redis(port=sentinel.port) as client:
                address: Any = client.sentinel_get_master_addr_by_name(self.service)
                ports.append(int(address[1]))
        port = max(ports, key=ports.count)
        return next(server for server in self.servers if server.port == port)

    def _is_complete(self) -> bool:
        for sentinel in self.sentinels:
            with Redis(port=sentinel.port) as client, contextlib.suppress(RedisError):
                state: Any = client.sentinel_master(self.service)
                if state["num-slaves"] == 1 and state["num-other-sentinels"] == 2:
                    continue
            return False
        return True


class Cluster:
    """A Cluster of three primaries, with replicas of some of them.

    Args:
        directory: for the files of all nodes.
        replicas: number of primaries with a replica.
        ports: where the nodes listen; reserved ports if empty.
        announced_ports: ports that the nodes announce to clients instead.
    """

    def __init__(
        self,
        directory: Path,
        replicas: int = 3,
        ports: Sequence[int] = (),
        announced_ports: Sequence[int] = (),
    ) -> None:
        self._directory = directory
        ports = ports or reserve_ports(3 + replicas)
        self.nodes = [
            self._make_node(n, port, _make_announcements(port, announced_ports[n : n + 1]))
            for n, port in enumerate(ports)
        ]

    def _make_node(self, number: int, port: int, lines: Sequence[str] = ()) -> Server:
        return Server(self._directory / f"node{number}", port, [*_NODE_LINES, *lines])

    @property
    def url(self) -> str:
        """Return a URL with two of the nodes."""
        one, two = self.nodes[:2]
        return f"redis+cluster://127.0.0.1:{one.port},127.0.0.1:{two.port}{LONG_TIMEOUTS}"

    def start(self) -> None:
        """Start all nodes and join them to a Cluster."""
        for node in self.nodes:
            node.start()
        clients = [Redis(port=node.port) for node in self.nodes]
        try:
            bounds = [0, 5461, 10923, 16384]
            for n, client in enumerate(clients):
                execute(client, "CLUSTER SET-CONFIG-EPOCH", n + 1)
                if n < 3:
                    execute(client, "CLUSTER ADDSLOTS", *range(bounds[n], bounds[n + 1]))
                execute(clients[0], "CLUSTER MEET", "127.0.0.1", self.nodes[n].port)
            self._wait_until_known()
            ids = [execute(client, "CLUSTER MYID").decode() for client in clients]
            for n, client in enumerate(clients[3:]):
                execute(client, "CLUSTER REPLICATE", ids[n])
            poll_blocking(
                lambda: all(_is_complete(client, len(ids) - 3) for client in clients), deadline=60
            )
            self.set_node_timeout(_LONG_NODE_TIMEOUT)
        finally:
            for client in clients:
                client.close()

    def add_primary(self) -> Server:
        """Start a node without slots, and let it join; return it."""
        node = self._make_node(len(self.nodes), reserve_ports(1)[0])
        self.nodes.append(node)
        node.start()
        with Redis(port=node.port) as client:
            execute(client, "CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
            self._wait_until_known()
            poll_blocking(lambda: _is_up(client), deadline=60)
        return node

    def remove_node(self, node: Server) -> None:
        """Let all other nodes forget a node, and kill it."""
        removed = get_node_id(node)
        self.nodes.remove(node)
        for other in self.nodes:
            with Redis(port=other.port) as client:
                execute(client, "CLUSTER FORGET", removed)
        node.kill()

    def list_primaries(self) -> list[Server]:
        """Return the running primaries, also those without slots."""
        return [node for node in self.nodes if node.process and _get_role(node) == "master"]

    def fail_over(self, option: str = "") -> None:
        """Let a replica replace its primary, which becomes its replica.

        Args:
            option: ``"FORCE"`` to ask the primary for no consent; otherwise no write is lost.
        """
        replica = self._find_replica()
        # The nodes vote about a primary once in twice this time.
        self.set_node_timeout(_SHORT_NODE_TIMEOUT)
        with Redis(port=replica.port) as client:
            for _ in range(10):
                # The server gives up after five seconds.
                with contextlib.suppress(RedisError, AssertionError):
                    execute(client, f"CLUSTER FAILOVER {option}".rstrip())
                    poll_blocking(lambda: _get_role(replica) == "master", deadline=6)
                    break
        self.set_node_timeout(_LONG_NODE_TIMEOUT)
        assert _get_role(replica) == "master"
        self._wait_until_known()

    def replace_primary(
        self, stop: Callable[[Server], None], resume: Callable[[Server], None]
    ) -> None:
        """Stop a primary, wait until its replica has replaced it, and let it return as a replica.

        Args:
            stop: stops the server, for instance `Server.kill`.
            resume: lets it run again, for instance `Server.start`.
        """
        replica = self._find_replica()
        with Redis(port=replica.port) as client:
            port = client.info("replication")["master_port"]
        primary = next(node for node in self.nodes if node.port == port)
        self.set_node_timeout(_SHORT_NODE_TIMEOUT)
        stop(primary)
        poll_blocking(lambda: _get_role(replica) == "master", deadline=60)
        resume(primary)
        self.set_node_timeout(_LONG_NODE_TIMEOUT)
        self._wait_until_known()

    def _find_replica(self) -> Server:
        """Return a replica that has the data of its primary; the last failover may still go on."""
        poll_blocking(lambda: any(map(_is_linked_replica, self.nodes)), deadline=60)
        return next(filter(_is_linked_replica, self.nodes))

    def _wait_until_known(self) -> None:
        clients = [Redis(port=node.port) for node in self.nodes]
        try:
            poll_blocking(
                lambda: all(_count_known_nodes(client) == len(clients) for client in clients),
                deadline=60,
            )
        finally:
            for client in clients:
                client.close()

    def set_node_timeout(self, seconds: float) -> None:
        """Set the time after which the running nodes replace a silent one; at first a minute."""
        for node in self.nodes:
            if node.process is not None:
                with Redis(port=node.port) as client:
                    client.config_set("cluster-node-timeout", round(seconds * 1000))

    def kill(self) -> None:
        """Kill all nodes."""
        for node in self.nodes:
            node.kill()


class SlotMove:
    """The move of a slot from one node to another, as ``redis-cli --cluster reshard`` does it.

    Args:
        slot: the slot.
        source: the node that owns it.
        target: the node that will own it.
    """

    def __init__(self, slot: int, source: Server, target: Server) -> None:
        self._slot = slot
        self._source, self._target = source, target
        self._ids = [get_node_id(node) for node in (source, target)]

    def begin(self) -> None:
        """Let the target import the slot."""
        with Redis(port=self._source.port) as here, Redis(port=self._target.port) as there:
            execute(there, "CLUSTER SETSLOT", self._slot, "IMPORTING", self._ids[0])
            execute(here, "CLUSTER SETSLOT", self._slot, "MIGRATING", self._ids[1])

    def move_names(self, limit: int = 1 << 30) -> int:
        """Move names, at most as many as given; return their number."""
        moved = 0
        with Redis(port=self._source.port) as here:
            # redis-py would decode the names after "CLUSTER GETKEYSINSLOT" as one word.
            command = ("CLUSTER", "GETKEYSINSLOT", self._slot)
            while names := execute(here, *command, min(100, limit - moved)):
                target = ("127.0.0.1", self._target.port, "", 0, 5000, "REPLACE", "KEYS")
                execute(here, "MIGRATE", *target, *names)
                moved += len(names)
                if moved >= limit:
                    break
        return moved

    def end(self) -> None:
        """Move the remaining names, and make the target the owner."""
        self.move_names()
        for node in (self._target, self._source):
            with Redis(port=node.port) as client:
                execute(client, "CLUSTER SETSLOT", self._slot, "NODE", self._ids[1])


def move_slots(slots: Iterable[int], source: Server, target: Server) -> None:
    """Move slots from one node to another."""
    for slot in slots:
        move = SlotMove(slot, source, target)
        move.begin()
        move.end()


def list_slots(node: Server) -> list[int]:
    """Return the slots of a Cluster's node."""
    with Redis(port=node.port) as client:
        nodes = execute(client, "CLUSTER NODES").values()
        [own] = [each for each in nodes if "myself" in each["flags"]]
    return [
        slot
        for low, *high in own["slots"]
        for slot in range(int(low), int(high[-1] if high else low) + 1)
    ]


def get_node_id(node: Server) -> str:
    """Return the id of a Cluster's node."""
    with Redis(port=node.port) as client:
        return str(execute(client, "CLUSTER MYID").decode())


def _make_announcements(port: int, announced_ports: Sequence[int]) -> list[str]:
    return [
        line
        for announced in announced_ports
        for line in (
            f"cluster-announce-port {announced}",
            f"cluster-announce-bus-port {port + 10_000}",
        )
    ]


class SecuredCluster:
    """A Cluster with users and with a TLS proxy before each primary; clients see the proxies."""

    def __init__(self, directory: Path) -> None:
        ports = reserve_ports(3)
        self._proxies = [TlsProxy(directory / f"proxy{n}", port) for n, port in enumerate(ports)]
        self._cluster = Cluster(directory, 0, ports, [proxy.port for proxy in self._proxies])
        authorities = directory / "authorities.pem"
        authorities.write_bytes(b"".join(proxy.authority.read_bytes() for proxy in self._proxies))
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self._proxies[:2])
        self.url = (
            f"rediss+cluster://{USER}:{quote(PASSWORD)}@{hosts}{LONG_TIMEOUTS}"
            f"&ssl_ca_certs={authorities}"
        )

    def start(self) -> None:
        """Start all nodes and proxies, and admit only the users."""
        self._cluster.start()
        for node, proxy in zip(self._cluster.nodes, self._proxies, strict=True):
            proxy.start()
            with Redis(port=node.port) as admin:
                for line in _USERS:
                    user, _, rules = line.removeprefix("user ").partition(" ")
                    execute(admin, "ACL", "SETUSER", user, *shlex.split(rules))

    def kill(self) -> None:
        """Kill all nodes and stop all proxies."""
        self._cluster.kill()
        for proxy in self._proxies:
            proxy.stop()


def execute(client: Redis, *command: Any) -> Any:
    """Execute a command and return its answer, for which redis-py has no type."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _count_known_nodes(client: Redis) -> int:
    return int(execute(client, "CLUSTER INFO")["cluster_known_nodes"])


def _get_role(node: Server) -> str:
    with Redis(port=node.port) as client:
        replication: Any = client.info("replication")
        return str(replication["role"])


def _is_linked_replica(node: Server) -> bool:
    if node.process is None:
        return False
    with Redis(port=node.port) as client:
        replication: Any = client.info("replication")
        return bool(replication.get("master_link_status") == "up")


def _is_up(client: Redis) -> bool:
    return bool(execute(client, "CLUSTER INFO")["cluster_state"] == "ok")


def _is_complete(client: Redis, expected_replicas: int) -> bool:
    nodes = execute(client, "CLUSTER NODES")
    replicas = sum("slave" in node["flags"] for node in nodes.values())
    info = execute(client, "CLUSTER INFO")
    replication: Any = client.info("replication")
    is_linked = replication["role"] == "master" or replication["master_link_status"] == "up"
    return replicas == expected_replicas and info["cluster_state"] == "ok" and is_linked


class Proxy:
    """A server that forwards the connections to a port of its own to another server.

    Args:
        target_port: port of the other server.
        context: TLS context for the clients; ``None`` for no TLS.

    Attributes:
        bytes_per_second: speed of each connection in each direction; 0 for no limit.
    """

    def __init__(self, target_port: int, context: ssl.SSLContext | None = None) -> None:
        self.port = reserve_ports(1)[0]
        self.bytes_per_second = 0
        self._context = context
        self._target_port = target_port
        self._is_silent = asyncio.Event()  # of the connections that were opened since `silence`
        self._tasks = set[asyncio.Future[None]]()
        self._is_ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start to listen."""
        self._thread.start()
        assert self._is_ready.wait(30)

    def stop(self) -> None:
        """Stop to listen and close all connections, if the proxy was started."""
        if not self._is_ready.is_set():
            return
        self._loop.call_soon_threadsafe(self._is_stopped.set)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()  # the last one it accepts
        self._thread.join(30)

    def retarget(self, target_port: int) -> None:
        """Forward new connections to another server, and the present ones as before."""
        self._target_port = target_port

    def silence(self) -> None:
        """Forward no more bytes of the present connections, and keep them open."""

        def silence() -> None:
            self._is_silent.set()
            self._is_silent = asyncio.Event()

        self._loop.call_soon_threadsafe(silence)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._is_stopped = asyncio.Event()
        with socket.create_server(("127.0.0.1", self.port)) as listener:
            listener.setblocking(False)
            self._is_ready.set()
            # `asyncio.Server` leaves a socket open that it accepts while it is closed.
            while True:
                connection, _ = await self._loop.sock_accept(listener)
                if self._is_stopped.is_set():
                    connection.close()
                    break
                task = asyncio.ensure_future(self._serve_client(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        # Each connection ends by itself, too. Only a handshake of TLS may take longer.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            _, late = await asyncio.wait(tasks, timeout=5)
            for task in late:
                task.cancel()
        await asyncio.sleep(0.05)  # the transports close after their tasks

    async def _serve_client(self, connection: socket.socket) -> None:
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._forward)
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._context
            )

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_silent, writers = self._is_silent, [writer]
        ends: list[asyncio.Task[object]] = [asyncio.ensure_future(self._is_stopped.wait())]
        with contextlib.suppress(OSError, asyncio.CancelledError, ssl.SSLError):
            try:
                target_reader, target_writer = await asyncio.open_connection(
                    "127.0.0.1", self._target_port
                )
                writers.append(target_writer)
                ends += [
                    asyncio.ensure_future(self._copy(reader, target_writer, is_silent)),
                    asyncio.ensure_future(self._copy(target_reader, writer, is_silent)),
                ]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                for each in writers:
                    each.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_silent: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65_536):
                if is_silent.is_set():
                    await self._is_stopped.wait()
                writer.write(data)
                await writer.drain()
                if self.bytes_per_second:
                    await asyncio.sleep(len(data) / self.bytes_per_second)


class TlsProxy(Proxy):
    """A proxy that accepts TLS connections for a server without TLS.

    Args:
        directory: for the certificate of the authority.
        target_port: port of the server.

    Attributes:
        authority: path of the authority's certificate.
    """

    def __init__(self, directory: Path, target_port: int) -> None:
        self.authority = directory / "ca.pem"
        directory.mkdir(parents=True, exist_ok=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        super().__init__(target_port, context)
        self._server_context = context
        self.renew_certificates()

    def renew_certificates(self) -> None:
        """Use a new certificate, of a new authority, for new connections."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._server_context)


def make_secured_server(directory: Path) -> tuple[Server, TlsProxy, Sequence[str]]:
    """Create a server with users, its TLS proxy, and a URL for each user."""
    server = Server(directory / "secured", reserve_ports(1)[0], _USERS)
    proxy = TlsProxy(directory / "proxy", server.port)
    # The long time-outs are needed because proxy and clients share an interpreter.
    query = f"{LONG_TIMEOUTS}&ssl_ca_certs={proxy.authority}"
    urls = [
        f"rediss://{user}:{password}@127.0.0.1:{proxy.port}/0{query}"
        for user, password in ((USER, "correct%20horse"), ("untracked", "pw"))
    ]
    return server, proxy, urls
