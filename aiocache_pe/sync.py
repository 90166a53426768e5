"""Blocking versions of the public API, under the same names, for code without an event loop.

An existing script changes one line: ``from aiocache_pe.sync import CacheManager``. The
decorators are those of the package; a decorated plain function stays blocking. The module also has
the classes of the stores. ``python -m aiocache_pe.sync`` is the command line.

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

import runpy
from collections.abc import AsyncIterable, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from aiocache_pe import backends
from aiocache_pe.cache import default_cache
from aiocache_pe.cache.sync_manager import CacheManager, copy_description
from aiocache_pe.codecs.classes.registry import register
from aiocache_pe.context import bypass, fresh, observe, read_only, refresh, sample
from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction
from aiocache_pe.decorators.batch.functions import AsyncCachedBatch, CachedBatch
from aiocache_pe.decorators.cached import cached
from aiocache_pe.decorators.cached_batch import cached_batch
from aiocache_pe.engine.stats import CacheEntry, CacheInfo, CacheStats
from aiocache_pe.exceptions import (
    AccessDeniedError,
    BackendError,
    CacheClosedError,
    CacheError,
    ConfigurationError,
    CorruptRecordError,
    DeadlockError,
    InvalidKeyError,
    InvalidTTLError,
    LoadTimeoutError,
    LockTimeoutError,
    MissingDependencyError,
    NewerRecordError,
    SecretRequiredError,
    SerializationError,
    StoreUnavailableError,
    UnrecordedCallError,
    UnstableIdentityError,
)
from aiocache_pe.keys.call_key import make_cache_key
from aiocache_pe.keys.file_digest import FileDigest
from aiocache_pe.keys.file_digest import file_digest_blocking as file_digest
from aiocache_pe.keys.value_parts import register_identity
from aiocache_pe.loading.previous import UNCHANGED, Previous
from aiocache_pe.metrics.instrument import Instrumentation, instrument
from aiocache_pe.observation import ObservedCall
from aiocache_pe.recordings.recorder import recording
from aiocache_pe.runtime.portal import portal
from aiocache_pe.usage.prices import Price
from aiocache_pe.warming import warm
from aiocache_pe.warming.warm import WarmReport

if TYPE_CHECKING:
    from aiocache_pe.backends import FileBackend, RedisBackend
else:

    def __getattr__(name):  # noqa: ANN001, ANN202 - the types are above
        """Import a store's class on first use, because the client of Redis is large."""
        if name not in ("FileBackend", "RedisBackend"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(backends, name)


P = ParamSpec("P")
T = TypeVar("T")

__all__ = [
    "UNCHANGED",
    "AccessDeniedError",
    "AsyncCachedBatch",
    "AsyncCachedFunction",
    "BackendError",
    "CacheClosedError",
    "CacheEntry",
    "CacheError",
    "CacheInfo",
    "CacheManager",
    "CacheStats",
    "CachedBatch",
    "CachedFunction",
    "ConfigurationError",
    "CorruptRecordError",
    "DeadlockError",
    "FileBackend",
    "FileDigest",
    "Instrumentation",
    "InvalidKeyError",
    "InvalidTTLError",
    "LoadTimeoutError",
    "LockTimeoutError",
    "MissingDependencyError",
    "NewerRecordError",
    "ObservedCall",
    "Previous",
    "Price",
    "RedisBackend",
    "SecretRequiredError",
    "SerializationError",
    "StoreUnavailableError",
    "UnrecordedCallError",
    "UnstableIdentityError",
    "WarmReport",
    "bypass",
    "cached",
    "cached_batch",
    "file_digest",
    "fresh",
    "get_cache",
    "instrument",
    "keep_warm",
    "make_cache_key",
    "most_hit",
    "observe",
    "read_only",
    "recording",
    "refresh",
    "register",
    "register_identity",
    "sample",
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


def _read_iterable(value: object) -> object:
    if isinstance(value, Iterable) and not isinstance(
        value, Mapping | str | AsyncIterable | CacheManager
    ):
        return list(value)
    return value


def _make_blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        """Block until it is done. Before, this thread reads an iterator of calls to its end.

        The calls run in other threads. The portal's thread calls ``on_progress``, which may print,
        but must not use this cache.
        """
        own: Any = [_read_iterable(value) for value in args]
        named: Any = {name: _read_iterable(value) for name, value in kwargs.items()}
        return portal.call(partial(function, *own, **named))

    return copy_description(function)(call)


def _make_blocking_context(
    function: Callable[P, AbstractAsyncContextManager[T]],
) -> Callable[P, AbstractContextManager[T]]:
    @contextmanager
    def enter(*args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        """Run the block in this thread, and the calls of functions in other threads.

        The portal's thread calls ``on_round``, which may print, but must not use this cache, and
        awaits ``sleep``.

        Example:
            >>> from queue import Queue
            >>> rounds = Queue()
            >>> calls = {"answer": lambda: 42}
            >>> with keep_warm(cache, calls, ttl="1h", before_expiry="5m", on_round=rounds.put):
            ...     rounds.get().computed
            1
        """
        context = function(*args, **kwargs)
        value = portal.call(context.__aenter__)
        try:
            yield value
        finally:
            portal.call(context.__aexit__, None, None, None)

    return copy_description(function)(enter)


warm_cache = _make_blocking(warm.warm_cache)
most_hit = _make_blocking(warm.most_hit)
keep_warm = _make_blocking_context(warm.keep_warm)

if __name__ == "__main__":
    runpy.run_module("aiocache_pe", run_name="__main__", alter_sys=True)
