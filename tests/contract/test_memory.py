"""Contract of the memory store."""

from __future__ import annotations

from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.eviction.s3fifo import S3Fifo
from aiocache_pe.testing import BackendContract, FakeClock


class TestMemory(BackendContract):
    async def make_backend(self) -> Backend:
        return MemoryBackend()


class TestBoundedMemory(BackendContract):
    async def make_backend(self) -> Backend:
        return MemoryBackend(max_entries=10_000, max_bytes=100_000_000, policy=S3Fifo)


class TestMemoryWithClock(BackendContract):
    """With a clock at which no record of the contract has expired."""

    async def make_backend(self) -> Backend:
        return MemoryBackend(clock=FakeClock(1000.0))
