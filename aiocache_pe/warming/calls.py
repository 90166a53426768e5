"""Calls that fill a cache: calls of decorated functions, and entries by key."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiocache_pe import context
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.decorators.base import DecoratedFunction
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL
from aiocache_pe.warming.call_file import KnownValue

_MAX_CALL_PARTS = 3  # the function, its arguments, its keyword arguments


class WarmCall(NamedTuple):
    """A call, and the entries that it fills.

    Attributes:
        description: the call for error messages.
        cache: the cache that it fills.
        keys: the keys of its entries there.
        run: computes and stores the entries; with ``refresh=True`` also those that exist.
        computes: whether the call computes values; a call for a key alone only loads its entry.
        lifetime: the lifetime of its entries in seconds; ``None`` for no end, or one that depends
            on the value.
    """

    description: str
    cache: CacheManager
    keys: Sequence[str]
    run: Callable[..., Awaitable[object]]
    computes: bool = True
    lifetime: float | None = None

    async def get_ttl(self) -> float | None:
        """Return the seconds until the first of its entries expires; ``None`` if one is missing."""
        if not self.computes:
            return None
        least = math.inf
        for key in self.keys:
            ttl = await self.cache.get_ttl(key)
            if ttl is None:
                return None
            least = min(least, ttl)
        return least


def parse_call(cache: CacheManager, call: Any, ttl: TTL | Default) -> WarmCall:
    """Return the common form of a call that a user wrote; for arguments see `warm_cache`.

    Raises:
        TypeError: this is not a call, or its function is not decorated.
        UnstableIdentityError: an argument cannot be part of a key.
    """
    match call:
        case KnownValue():
            own_ttl = ttl if call.ttl is DEFAULT else call.ttl
            return _make_key_call(cache, call.key, call.value, own_ttl)
        case str():
            load = partial(_load, cache, check_key(call))
            return WarmCall(f"key {call!r:.200}", cache, [call], load, computes=False)
        case partial():
            return _make_function_call(call.func, call.args, call.keywords)
        case (str(key), value):
            return _make_key_call(cache, key, value, ttl)
        case tuple() if 0 < len(call) <= _MAX_CALL_PARTS:
            return _make_function_call(*call)
        case _ if _unbind(call) is not None:
            return _make_function_call(call)
        case _:
            raise TypeError(
                "a call to warm must be (function, args, kwargs), (key, factory), (key, value), "
                f"a functools.partial or a key; got {call!r:.80}"
            )


def _make_function_call(function: Any, args: Any = (), kwargs: Any = None) -> WarmCall:
    kwargs = {} if kwargs is None else kwargs
    unbound = _unbind(function)
    if unbound is None:
        raise TypeError(
            f"only a function decorated with @cached or @cached_batch fills a cache; "
            f"got {function!r:.80}"
        )
    if isinstance(args, str | bytes) or not isinstance(args, tuple | list):
        raise TypeError(f"the arguments of {function!r:.80} must be a tuple; got {args!r:.80}")
    if not isinstance(kwargs, Mapping):
        raise TypeError(
            f"the keyword arguments of {function!r:.80} must be a mapping; got {kwargs!r:.80}"
        )
    decorated, instance = unbound
    all_args, named_args = (*instance, *args), dict(kwargs)
    return WarmCall(
        f"{decorated.__qualname__}{_render_arguments(args, kwargs)}",
        sync_manager.get_async_manager(decorated.cache),
        decorated._list_keys(all_args, named_args),  # noqa: SLF001 - users do not see these methods
        partial(decorated._warm, all_args, named_args),  # noqa: SLF001 - as above
        lifetime=decorated._get_lifetime(),  # noqa: SLF001 - as above
    )


def _unbind(function: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """Return a decorated function and the object it is bound to, if it is a method."""
    instance = getattr(function, "__self__", None)
    decorated = function if instance is None else getattr(function, "__func__", None)
    if not isinstance(decorated, DecoratedFunction):
        return None
    return decorated, () if instance is None else (instance,)


def _make_key_call(cache: CacheManager, key: str, value: Any, ttl: TTL | Default) -> WarmCall:
    async def run(*, refresh: bool) -> object:
        if not callable(value):
            return await cache.set(key, value, ttl)
        if not refresh:
            return await cache.get_or_set(key, value, ttl)
        with context.refresh():
            return await cache.get_or_set(key, value, ttl)

    lifetime = cache.loader.resolve_ttl(ttl)
    return WarmCall(f"key {key!r:.200}", cache, [check_key(key)], run, lifetime=lifetime)


async def _load(cache: CacheManager, key: str, *, refresh: bool) -> None:
    namespace = cache.loader.open_namespace()
    if await namespace.get_entry(namespace.prefix + key) is None:
        raise LookupError(f"no entry {key!r:.200}, and no function to compute it")


def _render_arguments(args: Any, kwargs: Mapping[str, Any]) -> str:
    named = [f"{name}={value!r:.40}" for name, value in kwargs.items()]
    return f"({', '.join([*(f'{value!r:.40}' for value in args), *named])})"
