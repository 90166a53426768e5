"""Blocking versions of the public API, under the same names, for code without an event loop.

An existing script changes one line: ``from aiocache_pe.sync import CacheManager``. The
decorators are those of the package; a decorated plain function stays blocking.

Example:
    >>> from aiocache_pe.sync import CacheManager, cached
    >>> cache = CacheManager("memory")
    >>> @cached(ttl="1h", cache=cache)
    ... def double(number: int) -> int:
    ...     print("computing")
    ...     return 2 * number
    >>> double(21), double(21)
    computing
    (42, 42)
    >>> cache.set("greeting", "hello"), cache.get("greeting")
    (True, 'hello')
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aiocache_pe.cache import default_cache
from aiocache_pe.cache.sync_manager import CacheManager
from aiocache_pe.context import bypass, read_only, refresh
from aiocache_pe.decorators.cached import cached
from aiocache_pe.decorators.cached_batch import cached_batch
from aiocache_pe.keys.call_key import make_cache_key
from aiocache_pe.keys.file_digest import FileDigest
from aiocache_pe.keys.file_digest import file_digest_blocking as file_digest
from aiocache_pe.recordings.recorder import recording
from aiocache_pe.runtime.portal import portal
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration
from aiocache_pe.warming import warm as warm_module
from aiocache_pe.warming.warm import AnyCache, Calls, WarmReport

__all__ = [
    "CacheManager",
    "FileDigest",
    "WarmReport",
    "bypass",
    "cached",
    "cached_batch",
    "file_digest",
    "get_cache",
    "keep_warm",
    "make_cache_key",
    "most_hit",
    "read_only",
    "recording",
    "refresh",
    "warm_cache",
]


def get_cache(backend: str | None = None, redis_url: str | None = None) -> CacheManager:
    """Return the blocking manager over the one of `aiocache_pe.get_cache`, with the same entries.

    The arguments and the errors are those of `aiocache_pe.get_cache`.

    Example:
        >>> get_cache("memory") == get_cache("memory")
        True
    """
    return CacheManager.of(default_cache.get_cache(backend, redis_url))


def warm_cache(
    cache: AnyCache,
    calls: Calls,
    *,
    ttl: TTL | Default = DEFAULT,
    concurrency: int = 8,
    before_expiry: Duration | None = None,
    refresh: bool = False,
    on_progress: Callable[[WarmReport], object] | None = None,
) -> WarmReport:
    """Compute and store missing values, several at a time, in other threads.

    The arguments, the report and the errors are those of `aiocache_pe.warm_cache`. This thread
    first reads an iterator of calls to its end. The portal's thread calls ``on_progress``, which
    may print, but must not use this cache.

    Raises:
        DeadlockError: the caller is the portal's own thread.

    Example:
        >>> report = warm_cache(CacheManager("memory"), {"answer": lambda: 42, "other": 7})
        >>> report.computed, report.failed
        (2, 0)
    """
    if isinstance(calls, Iterable) and not isinstance(calls, Mapping | str | Path | AsyncIterable):
        calls = list(calls)
    warm = partial(
        warm_module.warm_cache,
        ttl=ttl,
        concurrency=concurrency,
        before_expiry=before_expiry,
        refresh=refresh,
        on_progress=on_progress,
    )
    return portal.call(warm, cache, calls)


def most_hit(cache: AnyCache, count: int = 100, pattern: str = "*") -> list[str]:
    """Return the keys with the most hits, in descending order, for `warm_cache`.

    Args:
        cache: the cache.
        count: maximum number of keys.
        pattern: a glob over keys.

    Returns:
        Keys of live entries with at least one hit; empty if the store counts no hits.

    Example:
        >>> most_hit(CacheManager("memory"))
        []
    """
    return portal.call(warm_module.most_hit, cache, count, pattern)


@contextmanager
def keep_warm(
    cache: AnyCache,
    calls: Calls,
    *,
    before_expiry: Duration,
    ttl: TTL | Default = DEFAULT,
    concurrency: int = 8,
    on_round: Callable[[WarmReport], object] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Generator[None]:
    """Compute values again in other threads before they expire, during the block.

    The arguments and the errors are those of `aiocache_pe.keep_warm`. The portal's thread calls
    ``on_round``, which may print, but must not use this cache, and awaits ``sleep``.

    Raises:
        DeadlockError: the caller is the portal's own thread.

    Example:
        >>> from queue import SimpleQueue
        >>> rounds = SimpleQueue()
        >>> with keep_warm(
        ...     CacheManager("memory"), {"n": 1}, ttl="1h", before_expiry="5m", on_round=rounds.put
        ... ):
        ...     rounds.get(timeout=60).computed
        1
    """
    rounds = warm_module.keep_warm(
        cache,
        calls,
        before_expiry=before_expiry,
        ttl=ttl,
        concurrency=concurrency,
        on_round=on_round,
        sleep=sleep,
    )
    portal.call(rounds.__aenter__)
    try:
        yield
    finally:
        portal.call(rounds.__aexit__, None, None, None)
