"""Access to private parts of the library, for tests that have no public way.

No other helper, and no test outside tests/unit, uses private names of the library;
tests/architecture/test_tests.py checks this.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.base import Backend
from aiocache_pe.backends.file import atomic_write, disk_executor
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.reading import CachedReader
from aiocache_pe.backends.redis import client_tracking, cluster
from aiocache_pe.backends.redis.backend import RedisBackend
from aiocache_pe.backends.redis.client_tracking import Tracker
from aiocache_pe.backends.redis.clients import LoopLink
from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.connection_pool import Pool
from aiocache_pe.decorators.streams import chunk_buffer
from aiocache_pe.engine import stats_reporter
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.maintenance import Maintenance
from aiocache_pe.engine.stats_reporter import StatsReporter
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.loading import background_refresh
from aiocache_pe.loading.background_refresh import BackgroundRefreshes
from tests.support.polling import poll


def get_engine(cache: CacheManager) -> Engine:
    """Return the engine of a cache, which all its namespaces share."""
    return cache._shared.engine


def get_backend(cache: CacheManager) -> Backend:
    """Return the store of a cache."""
    return get_engine(cache).backend


def get_maintenance(cache: CacheManager) -> Maintenance:
    """Return the background maintenance of a cache."""
    return cache._shared.maintenance


def get_reporter(cache: CacheManager) -> StatsReporter:
    """Return the part of a cache that writes its counters to the store."""
    return cache._shared.reporter


async def trigger_maintenance(cache: CacheManager) -> None:
    """Use a cache so that it reports its counters and starts a maintenance round that is due."""
    get_reporter(cache)._scheduled_loop = None
    await cache.get("absent")


async def wait_for_round(cache: CacheManager) -> None:
    """Wait until a cache has no maintenance round in progress."""
    await poll(lambda: get_maintenance(cache)._loop is None, deadline=60)


def get_refreshes(cache: CacheManager) -> BackgroundRefreshes:
    """Return the background refreshes of a cache."""
    return cache._shared.refreshes


def count_refreshes(cache: CacheManager) -> int:
    """Return the number of background refreshes of a cache that run in this event loop."""
    return len(get_refreshes(cache)._tasks.get())


async def wait_for_refreshes(cache: CacheManager) -> None:
    """Wait for the background refreshes of a cache that run in this event loop."""
    await get_refreshes(cache).settle()


def cancel_computation(cache: CacheManager) -> None:
    """Cancel the task that computes a value in this event loop; exactly one must run."""
    [flight] = cache._shared.flights._flights.get().values()
    flight.task.cancel()


def count_batch_flights(cache: CacheManager) -> int:
    """Return the number of items and callers that batches in this event loop still hold."""
    in_flight = cache._shared.coalescer._in_flight.get()
    return len(in_flight.chunks) + len(in_flight.watchers)


def is_batch_item_shared(cache: CacheManager) -> bool:
    """Return whether two batches, in any event loop, wait for the same item."""
    loops = list(cache._shared.coalescer._in_flight._values.values())
    return any(len(chunk.waiters) > 1 for loop in loops for chunk in loop.chunks.values())


def is_entry_current(cache: CacheManager, key: str) -> bool:
    """Return whether the memory tier holds the entry of a store key and knows it to be current."""
    engine = get_engine(cache)
    entry = engine.tier.nodes.get(key) if engine.tier is not None else None
    return entry is not None and engine._is_current(entry.stamp)


def list_disk_threads(cache: CacheManager) -> list[threading.Thread]:
    """Return the threads that work for a cache over files; none for other stores."""
    backend = get_backend(cache)
    if not isinstance(backend, FileBackend):
        return []
    return list(backend._executor._get_pool()._workers.threads)


def get_cached_reader(cache: CacheManager) -> CachedReader:
    """Return the part of a file store that reads files without waiting for the disk."""
    backend = get_backend(cache)
    assert isinstance(backend, FileBackend)
    return backend._cached_reader


def count_expiring_nodes(bounded_map: BoundedMap[Any]) -> int:
    """Return the number of nodes in the expiry buckets of a map that has such buckets."""
    assert bounded_map._expiry_buckets is not None
    return len(bounded_map._expiry_buckets)


def get_redis_link(store: RedisBackend) -> LoopLink:
    """Return the link of a Redis store to its server in this event loop."""
    return store._clients.get_link()


def get_redis_commands(store: RedisBackend) -> Commands:
    """Return the part of a Redis store that sends commands."""
    return store._commands


def get_tracker(store: RedisBackend) -> Tracker:
    """Return the part of a Redis store that receives invalidations."""
    assert store._tracker is not None
    return store._tracker


def count_pooled_connections(pool: Pool) -> tuple[int, int]:
    """Return the numbers of connections in use and of idle connections."""
    return len(pool._in_use), len(pool._idle)


def limit_tracking_silence(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the time without an answer after which a tracking connection is lost."""
    monkeypatch.setattr(client_tracking, "_SILENCE_SECONDS", seconds)


def set_cluster_pauses(monkeypatch: pytest.MonkeyPatch, pauses: Sequence[float]) -> None:
    """Set the pauses of a command in a Cluster between its attempts, in seconds."""
    monkeypatch.setattr(cluster, "_PAUSES", tuple(pauses))


def list_busy_connections(openai_client: Any) -> list[Any]:
    """Return the connections of an OpenAI client over a caching transport that are not idle."""
    pool = openai_client._client._transport._inner._pool
    return [connection for connection in pool.connections if not connection.is_idle()]


def wrap_atomic_renames(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wrap the system call that replaces files atomically, where the system has it."""
    if atomic_write._renameat2 is not None:
        monkeypatch.setattr(atomic_write, "_renameat2", wrap(atomic_write._renameat2))


def limit_stream_chunks(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Set the number of chunks up to which a stream is stored."""
    monkeypatch.setattr(chunk_buffer, "_MAX_CHUNKS", limit)


def limit_shutdown_wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the time that closing a cache waits for background refreshes."""
    monkeypatch.setattr(background_refresh, "_SETTLE_SECONDS", seconds)


def limit_lock_wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the time that the file store waits for a lock of another process."""
    monkeypatch.setattr(disk_executor, "_LOCK_TIMEOUT", seconds)


def fail_atomic_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every creation of a temporary file of the file store fail with an error number."""

    def refuse(path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(atomic_write, "open_below", refuse)


def delay_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delay the reports of counters to the store, so that none is written before the end."""
    monkeypatch.setattr(stats_reporter, "_REPORT_DELAY", 3600.0)
