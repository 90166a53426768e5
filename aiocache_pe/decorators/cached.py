"""`cached`: a function that remembers what it returned."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from aiocache_pe.cache import sync_manager as sync
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction
from aiocache_pe.decorators.functions import AsyncFunction, Function
from aiocache_pe.decorators.methods import wrap_method
from aiocache_pe.decorators.settings import Settings, check_function
from aiocache_pe.decorators.streams.async_stream import AsyncStream
from aiocache_pe.decorators.streams.sync_stream import Stream
from aiocache_pe.loading.options import parse_options
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL, Duration

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Decorator(Protocol):
    """What ``cached(...)`` returns: to be put on a function."""

    # The most special kinds come first; a checker sees but that the last one fits them too.
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
def cached(
    *,
    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT,
    key_prefix: str | None = None,
    key: str | Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    version: str | int | None = None,
    namespace: str | None = None,
    tags: Iterable[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    cache_none: bool = True,
    stale_ttl: Duration | None = None,
    refresh_ahead: float | None = None,
    jitter: Duration | None = None,
    soft_timeout: Duration | None = None,
    hard_timeout: Duration | None = None,
    lock: bool | Duration = True,
    backend: str | None = None,
    cache: CacheManager | sync.CacheManager | None = None,
) -> Decorator: ...


def cached(
    function: Any = None,
    /,
    *,
    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT,
    key_prefix: str | None = None,
    key: str | Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    version: str | int | None = None,
    namespace: str | None = None,
    tags: Iterable[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    cache_none: bool = True,
    stale_ttl: Duration | None = None,
    refresh_ahead: float | None = None,
    jitter: Duration | None = None,
    soft_timeout: Duration | None = None,
    hard_timeout: Duration | None = None,
    lock: bool | Duration = True,
    backend: str | None = None,
    cache: CacheManager | sync.CacheManager | None = None,
) -> Any:
    """Cache the results of a function: ``@cached``, ``@cached()`` or with settings.

    The function may be ``async def`` or ``def``, with or without ``yield``, and a method,
    classmethod or staticmethod (``@cached`` goes above these). It keeps its signature,
    and stays blocking if it was. The same call has the same key, whether its arguments
    are given by position, by name or by default. Of several calls at once one computes,
    the others wait for it. When the store fails, or cannot hold a result, the function's
    result is returned all the same.

    Args:
        function: the function.
        ttl: how long results live: seconds, a ``timedelta``, a string such as ``"1h"``,
            ``None`` for ever, or a function of the result that returns one of these. By
            default the cache's.
        key_prefix: what keys begin with, before the function's name; by default its module.
        key: what tells calls apart, instead of all their arguments: a template of the
            parameters, ``"{prompt}:{model}"``, or a function of the call's arguments.
            With ``key_prefix``, keys do not hold the function's name.
        ignore: names of parameters that do not count, as ``["session"]``. The ``self`` of a
            method does not, unless its class has a method ``__cache_key__``.
        version: sets entries apart from those of other versions of the function.
        namespace: where in the cache the entries go, by default where the cache is.
        tags: names for `CacheManager.delete_by_tag`; ``"user:{user}"`` is filled with the
            call's arguments.
        cache_if: a function of the result (of a stream: the list of its chunks) that says
            whether to store it.
        cache_none: whether ``None`` is stored like any other result.
        stale_ttl: for how long a result may be served after its time, while a newer one is
            computed in the background; when that fails, it is served on.
        refresh_ahead: the part of its time, such as 0.8, after which a hit has a newer
            result computed in the background.
        jitter: shortens each result's time at random, by a part of it at most, such as 0.1,
            or by a duration, such as ``"30s"``; so what was stored together does not
            expire together.
        soft_timeout: with ``stale_ttl``, how long to wait for a newer result before the
            stale one is served; the newer one is computed to its end all the same.
        hard_timeout: how long to wait for a result at all.
        lock: how long to wait for another process, thread or task that computes the result,
            before it is computed here as well; ``True`` is five minutes. ``False`` means
            that each process computes for itself.
        backend: the store of the process's shared cache to use (`get_cache`).
        cache: a cache of your own, blocking or not, instead of ``backend``.

    Returns:
        The function, with verbs: ``cache_key``, ``cache_info``, ``cache_clear``,
        ``invalidate``, ``refresh``, and ``cache``; see `AsyncCachedFunction`.

    Raises:
        TypeError: it decorates no function, or a setting has the wrong type.
        ConfigurationError: a setting does not fit the function, or another setting.
        InvalidTTLError: the time to live means nothing.

    Example:
        >>> @cached(ttl="1h", cache=cache)
        ... async def double(number: int) -> int:
        ...     print("computing")
        ...     return 2 * number
        >>> run(double(21)), run(double(number=21))
        computing
        (42, 42)
    """
    options = parse_options(
        {
            "stale_ttl": stale_ttl,
            "refresh_ahead": refresh_ahead,
            "jitter": jitter,
            "soft_timeout": soft_timeout,
            "hard_timeout": hard_timeout,
            "lock": lock,
        }
    )
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
        options=options,
        backend=backend,
        cache=cache,
    )

    decorate = wrap_method(lambda function: _kind(function)(function, settings))
    return decorate if function is None else decorate(function)


def _kind(function: Any) -> Callable[[Any, Settings], Any]:
    """The class whose objects stand for such functions.

    Raises:
        TypeError: it is no function, or none with a name.
    """
    check_function(function, "@cached")
    if inspect.iscoroutinefunction(function):
        return AsyncFunction
    if inspect.isasyncgenfunction(function):
        return AsyncStream
    return Stream if inspect.isgeneratorfunction(function) else Function
