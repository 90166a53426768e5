"""Servers as fixtures: one of each kind for a whole worker, started when first wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import Server, free_ports


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One standalone server, shared by tests that leave it as it was."""
    server = Server(tmp_path_factory.mktemp("redis"), free_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    """A standalone server of one test's own, to be killed and frozen."""
    server = Server(tmp_path / "redis", free_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()
