"""The library for code without an event loop: same names, blocking.

An existing script changes one line, ``from aiocache_pe.sync import CacheManager``. The
decorator is the same one: a plain function stays blocking.

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
    """The process's manager for a store, made when it is first asked for.

    Args:
        backend: ``"file"``, ``"redis"``, ``"memory"``, ``"null"`` or a URL; by default what
            ``AIOCACHE_PE_BACKEND`` says, else ``"file"``.
        redis_url: the Redis server, which is the store then; see `CacheManager`.

    Returns:
        The twin of what `aiocache_pe.get_cache` returns, so both share everything.

    Raises:
        ConfigurationError: a setting cannot work.

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
    """Compute and store what is not there yet, some calls at a time, in other threads.

    Args:
        cache: where keys go. A decorated function fills its own cache.
        calls: what to call, as for `aiocache_pe.warm_cache`. An iterator is gone through
            first, in this thread.
        ttl: how long what is stored by key lives; a function has its own.
        concurrency: how many calls at a time.
        before_expiry: compute anew also what expires within this time.
        refresh: compute everything anew.
        on_progress: called after each call with the report so far, in the portal's thread:
            it may print, but not use this cache.

    Returns:
        How many were computed, there already, and failed.

    Raises:
        TypeError: something is no call; with a list, before anything is called.
        ValueError: the concurrency, or a line of the file, means nothing.
        DeadlockError: this is the portal's own thread.

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
    """The keys that were read most often, the most read first, for `warm_cache`.

    Args:
        cache: whose keys.
        count: how many at most.
        pattern: a glob over keys.

    Returns:
        Keys of live entries that were read at all, as far as the store notes it.

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
    """Within the block, compute calls anew in other threads before their entries expire.

    Args:
        cache: as for `warm_cache`.
        calls: as for `warm_cache`; they are gone through again and again, so no iterator.
        before_expiry: how long before.
        ttl: as for `warm_cache`.
        concurrency: how many calls at a time.
        on_round: called after each round with its report, in the portal's thread: it may
            print, but not use this cache.
        sleep: awaited in the portal's loop between two rounds.

    Yields:
        At once; the first round is under way.

    Raises:
        TypeError: the calls can be gone through only once, or are none.
        DeadlockError: this is the portal's own thread.

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
