"""The decorator ``cached_batch``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from aiocache_pe.decorators.base import name_coroutines
from aiocache_pe.decorators.batch.base import BatchParts
from aiocache_pe.decorators.batch.functions import AsyncBatch, AsyncCachedBatch, Batch, CachedBatch
from aiocache_pe.decorators.methods import wrap_method
from aiocache_pe.decorators.settings import Settings, StorageOptions, check_function
from aiocache_pe.ttl import Duration

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class CachedBatchOptions(StorageOptions, total=False):
    """Settings of `cached_batch`, which describes them."""

    batch: str | None
    batch_size: int | None
    concurrency: int
    jitter: Duration | None


class BatchDecorator(Protocol):
    """A decorator, as ``cached_batch(...)`` returns it."""

    # The more specific kind comes first; type checkers note that the other one fits it.
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
def cached_batch(**settings: Unpack[CachedBatchOptions]) -> BatchDecorator: ...


def cached_batch(function: Any = None, /, **settings: Unpack[CachedBatchOptions]) -> Any:
    """Cache the result of a function for each item of a batch: embeddings, scores, labels.

    The function takes a sequence of items and returns a list, a tuple or a numpy array with one
    result for each item, in the same order. It is called for the items that have no entry, each
    once. New and stored results are joined in a result of the same type. Overlapping batches
    compute each item once. If the store fails or cannot hold a result, the caller still gets the
    results of the function.

    Args:
        function: the function, ``async def`` or ``def``, or a method.
        batch: the parameter that takes the items; the default is the first parameter. All other
            arguments are part of the key of each item.
        batch_size: the greatest number of items in one call of the function. A larger batch is
            computed by several calls, and each of them is stored when it is done.
        concurrency: how many of these calls run at the same time, for one batch. Calls of a
            plain function then run in other threads.
        settings: the other settings, as for `cached`: ``ttl``, ``key_prefix``, ``key``,
            ``ignore``, ``version``, ``namespace``, ``tags``, ``cache_if``, ``cache_none``,
            ``jitter``, ``backend`` and ``cache``. Each of them concerns one item: functions get
            its result, and the batch parameter in ``"text:{texts}"`` is one item.

    Returns:
        The decorated function, with the methods ``cache_keys``, ``invalidate`` (of the items in
        a call), ``refresh``, ``cache_info`` (counts items) and ``cache_clear``, and the
        property ``cache``.

    Raises:
        TypeError: the object is not a function, or a setting has the wrong type.
        ConfigurationError: a setting does not fit the function or another setting.
        InvalidTTLError: the lifetime is not valid.

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
    parts = BatchParts(
        settings.pop("batch", None),
        settings.pop("batch_size", None),
        settings.pop("concurrency", 1),
    )
    checked = Settings.build("cached_batch", settings, CachedBatchOptions.__annotations__)

    @wrap_method
    def decorate(function: Any) -> Any:
        check_function(function, "@cached_batch")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "@cached_batch must decorate a function that returns all results; got "
                f"{function!r:.80}, which yields them"
            )
        kind: Any = AsyncBatch if inspect.iscoroutinefunction(function) else Batch
        return name_coroutines(kind, function)(function, checked, parts)

    return decorate if function is None else decorate(function)
