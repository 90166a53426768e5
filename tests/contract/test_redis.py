"""Contract of the Redis store on every kind of deployment, and of the fallback."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.testing import BackendContract
from aiocache_pe.testing.contract_support import PREFIX
from tests.support.servers.deployments import Cluster, SecuredCluster, Sentinels
from tests.support.servers.redis_server import Server


@pytest.mark.usefixtures("lasting_leases")
class RedisContract(BackendContract):
    """Contract tests that clear their areas instead of starting a server for each test."""

    url: str

    async def make_backend(self) -> Backend:
        backend = RedisBackend(self.url)
        for area in (PREFIX, "contract2:", "contract+tags:"):
            await backend.clear(area)
        return backend


class TestStandalone(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Server) -> None:
        with Redis.from_url(redis_server.url) as admin:
            admin.flushall()
        self.url = redis_server.url


class TestTlsAndUsers(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, secured_redis: list[str]) -> None:
        self.url = secured_redis[0]


class TestSentinel(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, sentinels: Sentinels) -> None:
        self.url = sentinels.url


class TestCluster(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, cluster: Cluster) -> None:
        self.url = cluster.url


class TestSecuredCluster(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, secured_cluster: SecuredCluster) -> None:
        self.url = secured_cluster.url


class TestFallback(RedisContract):
    """Redis with a fallback to files, while the server is available."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Server, cache_dir: Path) -> None:
        self.url = redis_server.url
        self.directory = cache_dir

    async def make_backend(self) -> Backend:
        first = await super().make_backend()
        return FallbackBackend(first, FileBackend(self.directory), f"{self.directory}/journals")


class TestFallbackServing(BackendContract):
    """The fallback to files, while the server is away."""

    @pytest.fixture(autouse=True)
    def _directory(self, cache_dir: Path) -> None:
        self.directory = cache_dir

    async def make_backend(self) -> Backend:
        unavailable = RedisBackend("redis://127.0.0.1:1")
        return FallbackBackend(
            unavailable, FileBackend(self.directory), f"{self.directory}/journals"
        )
