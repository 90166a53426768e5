"""`cached_batch`: a function of many items that remembers what it returned for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from aiocache_pe.cache import sync_manager as sync
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.decorators.batch.base import BatchParts
from aiocache_pe.decorators.batch.functions import AsyncBatch, AsyncCachedBatch, Batch, CachedBatch
from aiocache_pe.decorators.methods import wrap_method
from aiocache_pe.decorators.settings import Settings, check_function
from aiocache_pe.loading.options import parse_options
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class BatchDecorator(Protocol):
    """What ``cached_batch(...)`` returns: to be put on a function."""

    # The more special kind comes first; a checker sees but that the other one fits it too.
    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCachedBatch[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedBatch[P, R]: ...


@overload
def cached_batch(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    function: Callable[P, Coroutine[Any, Any, T]], /
) -> AsyncCachedBatch[P, Coroutine[Any, Any, T]]: ...
@overload
def cached_batch(function: Callable[P, R], /) -> CachedBatch[P, R]: ...
@overload
def cached_batch(
    *,
    batch: str | None = None,
    batch_size: int | None = None,
    concurrency: int = 1,
    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT,
    key_prefix: str | None = None,
    key: str | Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    version: str | int | None = None,
    namespace: str | None = None,
    tags: Iterable[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    cache_none: bool = True,
    jitter: Duration | None = None,
    backend: str | None = None,
    cache: CacheManager | sync.CacheManager | None = None,
) -> BatchDecorator: ...


def cached_batch(
    function: Any = None,
    /,
    *,
    batch: str | None = None,
    batch_size: int | None = None,
    concurrency: int = 1,
    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT,
    key_prefix: str | None = None,
    key: str | Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    version: str | int | None = None,
    namespace: str | None = None,
    tags: Iterable[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    cache_none: bool = True,
    jitter: Duration | None = None,
    backend: str | None = None,
    cache: CacheManager | sync.CacheManager | None = None,
) -> Any:
    """Cache what a function returns for each item of a batch: embeddings, scores, labels.

    The function takes a sequence of items and returns a list, a tuple or a numpy array with
    a result for each, in their order. It is called for those items only that have no
    entry, each once; what it returns goes, with what is stored, into a result of the same
    type. Overlapping batches at the same time compute each item once. When the store
    fails, or cannot hold a result, the function's results are returned all the same.

    Args:
        function: the function, ``async def`` or ``def``, or a method.
        batch: the parameter that takes the items; by default the first one. All other
            arguments are part of each item's key.
        batch_size: how many items one call takes at most; what is more is computed by
            several calls, each of which is stored when it is done.
        concurrency: how many of these calls are made at a time, for one batch. Those of a
            plain function are then made in other threads.
        ttl: how long results live, as for `cached`; a function is given one item's result.
        key_prefix: as for `cached`.
        key: as for `cached`; one item is in the place of the batch.
        ignore: as for `cached`.
        version: as for `cached`.
        namespace: as for `cached`.
        tags: as for `cached`; in ``"text:{texts}"`` the field is one item.
        cache_if: a function of one item's result that says whether to store it.
        cache_none: whether ``None`` is stored like any other result of an item.
        jitter: as for `cached`, for each item.
        backend: as for `cached`.
        cache: as for `cached`.

    Returns:
        The function, with verbs: ``cache_keys``, ``invalidate`` (of the items given),
        ``refresh``, ``cache_info`` (which counts items), ``cache_clear`` and ``cache``.

    Raises:
        TypeError: it decorates no function, or a setting has the wrong type.
        ConfigurationError: a setting does not fit the function, or another setting.
        InvalidTTLError: the time to live means nothing.

    Example:
        >>> @cached_batch(ttl="30d", batch_size=2, cache=cache)
        ... async def embed(texts: list[str]) -> list[list[float]]:
        ...     print("computing", texts)
        ...     return [[float(len(text))] for text in texts]
        >>> run(embed(["a", "bb", "a"]))
        computing ['a', 'bb']
        [[1.0], [2.0], [1.0]]
        >>> run(embed(["bb", "ccc"]))
        computing ['ccc']
        [[2.0], [3.0]]
    """
    parts = BatchParts(batch, batch_size, concurrency)
    settings = Settings(
        ttl=ttl,
        key_prefix=key_prefix,
        key=key,
        ignore=ignore,
        version=version,
        namespace=namespace,
        tags=tags,
        cache_if=cache_if,
        cache_none=cache_none,
        options=parse_options({"jitter": jitter}),
        backend=backend,
        cache=cache,
    )

    @wrap_method
    def decorate(function: Any) -> Any:
        check_function(function, "@cached_batch")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"@cached_batch takes a function that returns all results, and {function!r:.80} "
                "yields them"
            )
        kind: Any = AsyncBatch if inspect.iscoroutinefunction(function) else Batch
        return kind(function, settings, parts)

    return decorate if function is None else decorate(function)
