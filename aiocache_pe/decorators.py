"""`cached`: an async function that remembers what it returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints, overload

from aiocache_pe.callkey import CallKey
from aiocache_pe.codecs.types import register_annotation
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.loading import Lifetime, Loader
from aiocache_pe.manager import CacheManager
from aiocache_pe.sentinels import DEFAULT, Default, Sentinel
from aiocache_pe.shared import get_cache
from aiocache_pe.ttl import TTL, ttl_seconds

P = ParamSpec("P")
T = TypeVar("T")
Async = Callable[P, Coroutine[Any, Any, T]]
KeyMaker = Callable[[tuple[Any, ...], dict[str, Any]], str]


@overload
def cached(function: Async[P, T], /) -> Async[P, T]: ...


@overload
def cached(
    *,
    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT,
    key_prefix: str | None = None,
    backend: str | None = None,
    cache: CacheManager | None = None,
) -> Callable[[Async[P, T]], Async[P, T]]: ...


def cached(
    function: Async[P, T] | None = None,
    /,
    *,
    ttl: TTL | Default | Callable[[Any], TTL] = DEFAULT,
    key_prefix: str | None = None,
    backend: str | None = None,
    cache: CacheManager | None = None,
) -> Async[P, T] | Callable[[Async[P, T]], Async[P, T]]:
    """Cache the results of an async function: ``@cached``, ``@cached()`` or with settings.

    The same call has the same key, whether its arguments are given by position, by name
    or by default. Of several calls at once one computes, the others wait for it. When
    the store fails, or cannot hold a result, the function's result is returned all the
    same.

    Args:
        function: the async function.
        ttl: how long results live: seconds, a ``timedelta``, a string such as ``"1h"``,
            ``None`` for ever, or a function of the result that returns one of these. By
            default the cache's.
        key_prefix: what keys begin with, before the function's name; by default its module.
        backend: the store of the process's shared cache to use (`get_cache`).
        cache: a cache of your own, instead of ``backend``.

    Returns:
        The function, with the same signature.

    Raises:
        TypeError: it decorates something else than an async function, or a setting has
            the wrong type.
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
    if not callable(ttl) and ttl is not DEFAULT:
        ttl_seconds(ttl)
    if key_prefix is not None and not isinstance(key_prefix, str):
        raise TypeError(f"key_prefix is a str, not {type(key_prefix).__name__}: {key_prefix!r:.80}")
    if cache is not None and not isinstance(cache, CacheManager):
        raise TypeError(f"cache is a CacheManager, not {type(cache).__name__}: {cache!r:.80}")
    if backend is not None and not isinstance(backend, str):
        raise TypeError(
            f"backend is a name or a URL, not {type(backend).__name__}: {backend!r:.80}; "
            "for an object of your own pass cache=CacheManager(object)"
        )
    if cache is not None and backend is not None:
        raise ConfigurationError("cache= and backend= name two stores; give one of them")

    def decorate(function: Async[P, T]) -> Async[P, T]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"@cached takes an async function, not {function!r:.80}; plain functions and "
                "generators are not part of this release"
            )
        return _wrapped(function, ttl, key_prefix, lambda: cache or get_cache(backend))

    return decorate if function is None else decorate(function)


def _wrapped(
    function: Async[P, T],
    ttl: TTL | Default | Callable[[Any], TTL],
    key_prefix: str | None,
    find_cache: Callable[[], CacheManager],
) -> Async[P, T]:
    """The caching function. Its cache is found at the first call, not at import."""
    make_key: KeyMaker | None = None
    lookup: Callable[[str], Any]
    loader: Loader
    lifetime: Lifetime

    def first_call() -> KeyMaker:
        nonlocal make_key, lookup, loader, lifetime
        manager = find_cache()
        loader = manager.loader
        lookup = loader.space.lookup
        lifetime = manager.lifetime(ttl)
        register_annotation(_return_annotation(function))
        make_key = CallKey(function, prefix=key_prefix, store_prefix=loader.space.prefix).key
        return make_key

    @wraps(function)
    async def caching(*args: P.args, **kwargs: P.kwargs) -> T:
        key = (make_key or first_call())(args, kwargs)
        value = lookup(key)
        if value.__class__ is not Sentinel:
            return value  # type: ignore[no-any-return]
        return await loader.load_once(key, lambda: function(*args, **kwargs), lifetime)

    return caching


def _return_annotation(function: Callable[..., Any]) -> Any:
    """What the function says it returns, so that such values need no pickle."""
    try:
        return get_type_hints(function, include_extras=True).get("return")
    except Exception:  # noqa: BLE001 - reading an annotation runs it, and it may be mere words
        return None
