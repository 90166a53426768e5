"""Contract of the spy backend, over the memory store."""

from __future__ import annotations

from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.testing import BackendContract, SpyBackend


class TestSpyBackend(BackendContract):
    async def make_backend(self) -> Backend:
        return SpyBackend(MemoryBackend())
