"""py-key-value: a store interface with many backends, here memory and disk."""

from __future__ import annotations

from key_value.aio.stores.disk import DiskStore
from key_value.aio.stores.memory import MemoryStore

from benchmarks.job import Job, Sample
from benchmarks.payload import COMPLETION, TTL, around, keys
from benchmarks.timing import awaited, require

PACKAGES = ("py-key-value-aio", "cachetools", "diskcache")


async def memory_get(job: Job) -> Sample:
    """``get`` from memory; it decodes JSON every time, so callers share nothing."""
    return await _get(MemoryStore(), job.n)


async def disk_get(job: Job) -> Sample:
    """``get`` from disk; the read blocks the loop."""
    store = DiskStore(directory=job.directory)
    try:
        return await _get(store, job.n)
    finally:
        await store.close()


async def _get(store: MemoryStore | DiskStore, n: int) -> Sample:
    hot = keys(100)
    for key in hot:
        await store.put(key, COMPLETION, ttl=TTL)
    require(await store.get(hot[0]), COMPLETION)
    return Sample(await awaited(store.get, hot, around(hot, n)))
