"""The decorator ``cached``."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction, name_coroutines
from aiocache_pe.decorators.functions import AsyncFunction, Function
from aiocache_pe.decorators.methods import wrap_method
from aiocache_pe.decorators.sampled import (
    SampledAsyncFunction,
    SampledAsyncStream,
    SampledFunction,
    SampledStream,
)
from aiocache_pe.decorators.settings import CachedOptions, Settings, check_function
from aiocache_pe.decorators.streams.async_stream import AsyncStream
from aiocache_pe.decorators.streams.sync_stream import Stream

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Decorator(Protocol):
    """A decorator, as ``cached(...)`` returns it."""

    # The most specific kinds come first; type checkers note that the last one fits all.
    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCachedFunction[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> AsyncCachedFunction[P, AsyncGenerator[T, None]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Generator[T, Any, R]], /
    ) -> CachedFunction[P, Generator[T, None, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...


class CachedDecorator(Protocol):
    """The decorator of one cache: ``@cache.cached`` or ``@cache.cached(ttl="1h")``."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCachedFunction[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> AsyncCachedFunction[P, AsyncGenerator[T, None]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Generator[T, Any, R]], /
    ) -> CachedFunction[P, Generator[T, None, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...
    @overload
    def __call__(self, **settings: Unpack[CachedOptions]) -> Decorator: ...


@overload
def cached(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    function: Callable[P, Coroutine[Any, Any, T]], /
) -> AsyncCachedFunction[P, Coroutine[Any, Any, T]]: ...
@overload
def cached(  # type: ignore[overload-overlap]
    function: Callable[P, AsyncIterator[T]], /
) -> AsyncCachedFunction[P, AsyncGenerator[T, None]]: ...
@overload
def cached(
    function: Callable[P, Generator[T, Any, R]], /
) -> CachedFunction[P, Generator[T, None, R]]: ...
@overload
def cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(**settings: Unpack[CachedOptions]) -> Decorator: ...


def cached(function: Any = None, /, **settings: Unpack[CachedOptions]) -> Any:
    """Cache the results of a function: ``@cached``, ``@cached()`` or with settings.

    The function may be ``async def`` or ``def``, with or without ``yield``, a method, classmethod
    or staticmethod (``@cached`` goes above these decorators), or a `functools.partial` object. It
    keeps its signature and stays blocking or async. Equal calls have the same key, whether
    arguments are passed by position, by name or by default. One of several concurrent callers
    computes; the others wait for its result. If the store fails or cannot hold a result, the
    caller still gets the result of the function. A parameter ``previous`` of the type `Previous`
    gets the value that the result replaces.

    Args:
        function: the function.
        ttl: the lifetime of results: seconds, a ``timedelta``, a string such as ``"1h"``,
            ``None`` for no end, or a function of the result that returns one of these. The
            default is that of the cache.
        key_prefix: the beginning of keys, before the name of the function. The default is the
            module of the function.
        key: a template of the parameters that count, ``"{prompt}:{model}"``, or a function of
            the call's arguments. By default, all arguments count. Together with ``key_prefix``,
            keys do not contain the name of the function.
        ignore: names of parameters that do not count, such as ``["session"]``. The ``self`` of
            a method counts like other arguments.
        version: replaces the digest of the function's code, which is part of its keys, so that
            results survive edits until the version changes.
        namespace: the namespace of the entries. The default is the namespace of the cache.
        tags: names for `CacheManager.delete_by_tag`. The fields of ``"user:{user}"`` are
            filled with the call's arguments.
        cache_if: a function of the result that returns whether to store it. The result of a
            stream is the list of its chunks.
        cache_none: whether ``None`` is stored like any other result.
        stale_ttl: how long an expired result may be served while a newer one is computed in
            the background, or while that computation fails.
        refresh_ahead: the part of the lifetime, such as 0.8, after which a hit starts a
            computation of a newer result in the background.
        jitter: the greatest random reduction of the lifetime: a part of it, such as 0.1, or a
            duration, such as ``"30s"``. Results that were stored together then expire apart.
        soft_timeout: with ``stale_ttl``, how long a caller waits for a newer result before the
            stale one is served. The computation goes on.
        hard_timeout: how long a caller waits for a result.
        lock: how long a caller waits for another process, thread or task that computes the
            result, before it computes the result itself. ``True`` is five minutes. ``False``
            does not consult other processes.
        error_ttl: how long to remember exceptions of the function, for each class:
            ``{LookupError: "1m"}``. Later callers of this process get a copy of the exception.
        samples: the number of different results to keep for each call. Repeated calls get
            them in turn, in the same order in each process; see `aiocache_pe.sample`.
        backend: the store of the shared cache of the process (`get_cache`).
        cache: a cache manager, blocking or async, instead of ``backend``.

    Returns:
        The decorated function, with the methods ``cache_key``, ``cache_info``,
        ``cache_clear``, ``invalidate`` and ``refresh``, and the property ``cache``; see
        `AsyncCachedFunction`.

    Raises:
        TypeError: the object is not a function, or a setting has the wrong type.
        ConfigurationError: a setting does not fit the function or another setting.
        InvalidTTLError: the lifetime is not valid.

    Example:
        >>> @cached(ttl="1h", cache=cache)
        ... async def double(number: int) -> int:
        ...     print("computing")
        ...     return 2 * number
        >>> run(double(21)), run(double(number=21))
        computing
        (42, 42)
    """
    checked = Settings.build("cached", settings, CachedOptions.__annotations__)
    is_sampled = checked.samples is not None

    @wrap_method
    def decorate(function: Any) -> Any:
        kind: Any = name_coroutines(_choose_class(function, is_sampled), function)
        return kind(function, checked)

    return decorate if function is None else decorate(function)


def _choose_class(function: Any, is_sampled: bool) -> type[Any]:  # noqa: FBT001 - private
    check_function(function, "@cached")
    if inspect.iscoroutinefunction(function):
        return SampledAsyncFunction if is_sampled else AsyncFunction
    if inspect.isasyncgenfunction(function):
        return SampledAsyncStream if is_sampled else AsyncStream
    if inspect.isgeneratorfunction(function):
        return SampledStream if is_sampled else Stream
    return SampledFunction if is_sampled else Function
