"""Servers as fixtures: one of each kind for a whole worker, started when first wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aiocache_pe.backends.redis import leases
from tests.support.servers.deployments import Cluster, SecuredCluster, Sentinels, secured
from tests.support.servers.redis_server import Server, free_ports


@pytest.fixture
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases over Redis that a machine does not lose by standing still for some seconds."""
    monkeypatch.setattr(leases, "LIFE", 60.0)


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


@pytest.fixture(scope="session")
def secured_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A server with TLS and users: the URL of one who may do all, of one who may not track."""
    server, proxy, urls = secured(tmp_path_factory.mktemp("secured"))
    try:
        server.start()
        proxy.start()
        yield list(urls)
        proxy.stop()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    """Three Sentinels, a primary and a replica, shared by tests that leave them so."""
    deployment = Sentinels(tmp_path_factory.mktemp("sentinels"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Cluster of six, shared by tests that leave it so."""
    deployment = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture(scope="session")
def secured_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    """A Cluster with TLS and users, shared by tests that leave it so."""
    deployment = SecuredCluster(tmp_path_factory.mktemp("secured-cluster"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()
