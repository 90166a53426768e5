"""async-lru: the usual decorator where the memory of one process is enough."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from async_lru import alru_cache

from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import TTL


@asynccontextmanager
async def open_memory(job: Job) -> AsyncIterator[Store]:
    """Open a cache with a lifetime; its callers share one result object."""
    yield Store(decorate=alru_cache(maxsize=1024, ttl=TTL))
