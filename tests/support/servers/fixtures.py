"""Servers as fixtures: one of each kind for each test worker, started on first use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aiocache_pe.backends.redis import leases
from tests.support.servers.deployments import (
    Cluster,
    SecuredCluster,
    Sentinels,
    make_secured_server,
)
from tests.support.servers.redis_server import Server, reserve_ports


@pytest.fixture
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make leases over Redis last for a minute, so that none is lost on a busy machine."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 60.0)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a standalone server that tests share and leave running."""
    server = Server(tmp_path_factory.mktemp("redis"), reserve_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    """Yield a standalone server for one test, to be killed and frozen."""
    server = Server(tmp_path / "redis", reserve_ports(1)[0])
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def secured_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Yield two URLs of a server with TLS: of a user with all rights, of one without tracking."""
    server, proxy, urls = make_secured_server(tmp_path_factory.mktemp("secured"))
    try:
        server.start()
        proxy.start()
        yield list(urls)
        proxy.stop()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    """Yield three Sentinels, a primary and a replica, which tests share."""
    deployment = Sentinels(tmp_path_factory.mktemp("sentinels"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a Cluster of six nodes, which tests share."""
    deployment = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture(scope="session")
def secured_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    """Yield a Cluster with TLS and users, which tests share."""
    deployment = SecuredCluster(tmp_path_factory.mktemp("secured-cluster"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()
