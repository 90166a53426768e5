"""Several servers that belong together: Sentinels with a primary, a Cluster, a TLS proxy."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme
from redis import Redis
from redis.exceptions import RedisError

from tests.support.polling import poll_blocking
from tests.support.servers.redis_server import PATIENT, Server, free_ports

USER, PASSWORD = "app", "correct horse"
_CALM = 60  # seconds that a server may stand still on a busy machine, and nobody takes its place
RIGHTS = (
    "~aiocache_pe* +get +set +getrange +mget +strlen +pttl +pexpire +del +unlink +scan "
    "+eval +evalsha +script|load"
)
"""What `docs/redis.md` says that a user needs, and nothing more."""
_CLUSTER = "+cluster|slots +command"
ACL = (
    f'user {USER} on ">{PASSWORD}" {RIGHTS} {_CLUSTER} +client|tracking +ping +info',
    f'user untracked on ">pw" {RIGHTS} {_CLUSTER}',
    "user default off",
)


class Sentinels:
    """A primary with a replica, and three Sentinels that watch them."""

    service = "main"

    def __init__(self, folder: Path) -> None:
        ports = free_ports(5)
        self.data = [Server(folder / "primary", ports[0])]
        self.data.append(
            Server(
                folder / "replica",
                ports[1],
                [
                    f"replicaof 127.0.0.1 {ports[0]}",
                    "repl-diskless-sync yes",
                    "repl-diskless-sync-delay 0",
                ],
            )
        )
        watch = [
            f"sentinel monitor {self.service} 127.0.0.1 {ports[0]} 2",
            f"sentinel down-after-milliseconds {self.service} 500",
            f"sentinel failover-timeout {self.service} 3000",
        ]
        self.watchers = [
            Server(folder / f"sentinel{n}", port, watch, sentinel=True)
            for n, port in enumerate(ports[2:])
        ]

    @property
    def url(self) -> str:
        """The URL of the service."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.watchers)
        return f"redis+sentinel://{hosts}/{self.service}{PATIENT}"

    def start(self) -> None:
        """Start all, until the Sentinels know one another and the replica."""
        for server in (*self.data, *self.watchers):
            server.start()
        poll_blocking(self._is_complete, deadline=60)
        for watcher in self.watchers:
            with Redis(port=watcher.port) as sentinel:
                sentinel.sentinel_set(self.service, "down-after-milliseconds", _CALM * 1000)

    def primary_port(self) -> int:
        """Where the Sentinels say the primary is."""
        with Redis(port=self.watchers[-1].port) as sentinel:
            address: Any = sentinel.sentinel_get_master_addr_by_name(self.service)
            return int(address[1])

    def kill(self) -> None:
        """End all."""
        for server in (*self.watchers, *self.data):
            server.kill()

    def _is_complete(self) -> bool:
        for watcher in self.watchers:
            with Redis(port=watcher.port) as sentinel, contextlib.suppress(RedisError):
                state: Any = sentinel.sentinel_master(self.service)
                if state["num-slaves"] == 1 and state["num-other-sentinels"] == 2:
                    continue
            return False
        return True


class Cluster:
    """Three primaries, each with a replica, or some of them without.

    Args:
        folder: for all of them.
        replicas: how many of the primaries have one.
        ports: where they listen.
        announced: the ports that clients are told instead.
    """

    def __init__(
        self,
        folder: Path,
        replicas: int = 3,
        ports: Sequence[int] = (),
        announced: Sequence[int] = (),
    ) -> None:
        ports = ports or free_ports(3 + replicas)
        lines = [
            "cluster-enabled yes",
            "cluster-node-timeout 1000",
            "repl-diskless-sync yes",
            "repl-diskless-sync-delay 0",
        ]
        self.nodes = [
            Server(folder / f"node{n}", port, lines + _announcing(port, announced[n : n + 1]))
            for n, port in enumerate(ports)
        ]

    @property
    def url(self) -> str:
        """A URL with two of the nodes."""
        one, two = self.nodes[:2]
        return f"redis+cluster://127.0.0.1:{one.port},127.0.0.1:{two.port}{PATIENT}"

    def start(self) -> None:
        """Start all and join them."""
        for node in self.nodes:
            node.start()
        clients = [Redis(port=node.port) for node in self.nodes]
        try:
            bounds = [0, 5461, 10923, 16384]
            for n, client in enumerate(clients):
                asked(client, "CLUSTER SET-CONFIG-EPOCH", n + 1)
                if n < 3:
                    asked(client, "CLUSTER ADDSLOTS", *range(bounds[n], bounds[n + 1]))
                asked(clients[0], "CLUSTER MEET", "127.0.0.1", self.nodes[n].port)
            poll_blocking(
                lambda: all(_known(client) == len(clients) for client in clients), deadline=60
            )
            names = [asked(client, "CLUSTER MYID").decode() for client in clients]
            for n, client in enumerate(clients[3:]):
                asked(client, "CLUSTER REPLICATE", names[n])
            poll_blocking(
                lambda: all(_is_whole(client, len(names) - 3) for client in clients), deadline=60
            )
            self.give_up_after(_CALM)
        finally:
            for client in clients:
                client.close()

    def give_up_after(self, seconds: float) -> None:
        """Let the nodes take one for dead that is silent for so long; first it is a minute."""
        for node in self.nodes:
            if node.process is not None:
                with Redis(port=node.port) as client:
                    client.config_set("cluster-node-timeout", round(seconds * 1000))

    def kill(self) -> None:
        """End all."""
        for node in self.nodes:
            node.kill()

    def flush(self) -> None:
        """Empty it."""
        for node in self.nodes:
            with Redis(port=node.port) as client, contextlib.suppress(RedisError):
                client.flushall()


def _announcing(port: int, announced: Sequence[int]) -> list[str]:
    return [
        line
        for other in announced
        for line in (f"cluster-announce-port {other}", f"cluster-announce-bus-port {port + 10_000}")
    ]


class SecuredCluster:
    """A Cluster with users, each of its primaries behind TLS, which is all that clients see."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(3)
        self._proxies = [TlsProxy(folder / f"proxy{n}", port) for n, port in enumerate(ports)]
        self._cluster = Cluster(folder, 0, ports, [proxy.port for proxy in self._proxies])
        authorities = folder / "authorities.pem"
        authorities.write_bytes(b"".join(each.authority.read_bytes() for each in self._proxies))
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self._proxies[:2])
        self.url = (
            f"rediss+cluster://{USER}:{quote(PASSWORD)}@{hosts}{PATIENT}&ssl_ca_certs={authorities}"
        )

    def start(self) -> None:
        """Start all, join them, and let only the users in."""
        self._cluster.start()
        for node, proxy in zip(self._cluster.nodes, self._proxies, strict=True):
            proxy.start()
            with Redis(port=node.port) as admin:
                for line in ACL:
                    user, _, rules = line.removeprefix("user ").partition(" ")
                    asked(admin, "ACL", "SETUSER", user, *shlex.split(rules))

    def kill(self) -> None:
        """End all."""
        self._cluster.kill()
        for proxy in self._proxies:
            proxy.stop()


def asked(client: Redis, *command: Any) -> Any:
    """A command's answer; the client does not say of which type."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _known(client: Redis) -> int:
    return int(asked(client, "CLUSTER INFO")["cluster_known_nodes"])


def _is_whole(client: Redis, expected: int) -> bool:
    nodes = asked(client, "CLUSTER NODES")
    replicas = sum("slave" in node["flags"] for node in nodes.values())
    info = asked(client, "CLUSTER INFO")
    replication: Any = client.info("replication")
    linked = replication["role"] == "master" or replication["master_link_status"] == "up"
    return replicas == expected and info["cluster_state"] == "ok" and linked


class Proxy:
    """Takes connections on a port of its own and passes on what comes to a server.

    Args:
        target: the server's port.
        context: of TLS, for those who connect; ``None`` for none.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.port = free_ports(1)[0]
        self._context = context
        self._target = target
        self._deaf = asyncio.Event()  # of the connections that there are by now
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        """End it, with all connections, if it began."""
        if not self._ready.is_set():
            return
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(30)

    def deafen(self) -> None:
        """Pass nothing on any more of the connections that there are, and leave them open."""

        def deafen() -> None:
            self._deaf.set()
            self._deaf = asyncio.Event()

        self._loop.call_soon_threadsafe(deafen)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(
            self._pass_on, "127.0.0.1", self.port, ssl=self._context
        )
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deaf = self._deaf
        with contextlib.suppress(OSError, asyncio.CancelledError, ssl.SSLError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ways = [
                asyncio.ensure_future(self._copy(reader, back, deaf)),
                asyncio.ensure_future(self._copy(there, writer, deaf)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                back.close()
                writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65_536):
                if deaf.is_set():
                    await self._stopped.wait()
                writer.write(data)
                await writer.drain()


class TlsProxy(Proxy):
    """Takes TLS and passes on to a server that knows none."""

    def __init__(self, folder: Path, target: int) -> None:
        self.authority = folder / "ca.pem"
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        super().__init__(target, context)


def secured(folder: Path) -> tuple[Server, TlsProxy, Sequence[str]]:
    """A server with users, behind TLS; the last is a URL for each of them."""
    server = Server(folder / "secured", free_ports(1)[0], ACL)
    proxy = TlsProxy(folder / "proxy", server.port)
    # The proxy has this process's interpreter to share with those who connect to it.
    query = f"{PATIENT}&ssl_ca_certs={proxy.authority}"
    urls = [
        f"rediss://{user}:{word}@127.0.0.1:{proxy.port}/0{query}"
        for user, word in ((USER, "correct%20horse"), ("untracked", "pw"))
    ]
    return server, proxy, urls
