"""The Redis store keeps the contract, on every kind of deployment."""

from __future__ import annotations

import pytest
from redis import Redis

from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.protocols import Backend
from aiocache_pe.testing import BackendContract
from tests.servers.process import Server


class TestStandalone(BackendContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Server) -> None:
        with Redis.from_url(redis_server.url) as admin:
            admin.flushall()
        self.url = redis_server.url

    async def make_backend(self) -> Backend:
        return RedisBackend(self.url)
