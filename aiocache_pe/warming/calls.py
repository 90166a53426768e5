"""One call that a cache can be warmed with: of a decorated function, or of a factory by key."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from aiocache_pe import context
from aiocache_pe.cache import sync_manager
from aiocache_pe.cache.manager import CacheManager
from aiocache_pe.decorators.base import AsyncDecorated, DecoratedFunction
from aiocache_pe.decorators.batch.base import BatchBase
from aiocache_pe.decorators.methods import Method
from aiocache_pe.decorators.streams.async_stream import AsyncStream
from aiocache_pe.decorators.streams.sync_stream import Stream
from aiocache_pe.keys.store_keys import check_key
from aiocache_pe.sentinels import DEFAULT, Default
from aiocache_pe.ttl import TTL

_MOST = 3  # a function, its arguments, and those by name


class Run(Protocol):
    """Computes a value and stores it."""

    def __call__(self, *, anew: bool) -> Awaitable[object]:
        """Do so; ``anew`` also where there is an entry."""
        ...


class Warmable(NamedTuple):
    """A call, with the key that its result has.

    Attributes:
        words: what it is, for errors.
        cache: where its result goes.
        keys: the key there; of a batch, one for each item.
        run: computes and stores it, ``anew`` also where there is an entry.
        computes: whether it computes anything, or but loads what is there.
    """

    words: str
    cache: CacheManager
    keys: Sequence[str]
    run: Run
    computes: bool = True

    async def time_left(self) -> float | None:
        """How long its entries will live, in seconds; ``None`` where one is missing."""
        least = math.inf
        for key in self.keys if self.computes else ():
            left = await self.cache.get_ttl(key)
            if left is None:
                return None
            least = min(least, left)
        return least if self.computes else None


class KnownValue(NamedTuple):
    """An entry to store as it is, with a time to live of its own.

    Attributes:
        key: the key.
        value: the value.
        ttl: as for `CacheManager.set`.
    """

    key: str
    value: Any
    ttl: TTL | Default = DEFAULT


def warmable(cache: CacheManager, call: Any, ttl: TTL | Default) -> Warmable:
    """A call in the form that all forms come down to.

    Raises:
        TypeError: it is none, or its function is not decorated.
        UnstableIdentityError: an argument cannot be part of a key.
    """
    match call:
        case KnownValue():
            kept = ttl if call.ttl is DEFAULT else call.ttl
            return _by_key(cache, call.key, call.value, kept)
        case str():
            load = _loading(cache, check_key(call))
            return Warmable(f"key {call!r:.200}", cache, [call], load, computes=False)
        case partial():
            return _by_call(call.func, call.args, call.keywords)
        case (str(key), value):
            return _by_key(cache, key, value, ttl)
        case tuple() if 0 < len(call) <= _MOST:
            return _by_call(*call)
        case _ if isinstance(call, DecoratedFunction | Method):
            return _by_call(call)
        case _:
            raise TypeError(
                f"no call to warm a cache with: {call!r:.80}; accepted are (function, args, "
                "kwargs), (key, factory), (key, value), a functools.partial, and a key"
            )


def _by_call(function: Any, args: Any = (), kwargs: Any = None) -> Warmable:
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(function, DecoratedFunction | Method):
        raise TypeError(f"{function!r:.80} is not decorated by @cached, so it fills no cache")
    if isinstance(args, str | bytes) or not isinstance(args, tuple | list):
        raise TypeError(f"the arguments of {function!r:.80} are a tuple, not {args!r:.80}")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"the arguments by name of {function!r:.80} are no dict: {kwargs!r:.80}")
    found = function.cache  # type: ignore[union-attr]
    words = f"{function.__wrapped__.__qualname__}{_shown(args, kwargs)}"
    return Warmable(
        words,
        found.asynchronous if isinstance(found, sync_manager.CacheManager) else found,
        _keys(function, args, kwargs),
        _calling(function, tuple(args), dict(kwargs)),
    )


def _keys(function: Any, args: Any, kwargs: Any) -> list[str]:
    call: Any = function
    kind = call.__func__ if isinstance(function, Method) else call
    if isinstance(kind, BatchBase):
        return list(call.cache_keys(*args, **kwargs))
    return [call.cache_key(*args, **kwargs)]


def _by_key(cache: CacheManager, key: str, value: Any, ttl: TTL | Default) -> Warmable:
    async def run(*, anew: bool) -> object:
        if not callable(value):
            return await cache.set(key, value, ttl)
        if not anew:
            return await cache.get_or_set(key, value, ttl)
        with context.refresh():
            return await cache.get_or_set(key, value, ttl)

    return Warmable(f"key {key!r:.200}", cache, [check_key(key)], run)


def _loading(cache: CacheManager, key: str) -> Run:
    async def run(*, anew: bool) -> None:
        slot = await cache.loader.open_namespace().get_entry(cache.loader.namespace.prefix + key)
        if slot is None:
            raise LookupError(f"there is no entry {key!r:.200}, and no function to compute it")

    return run


def _calling(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
    kind = function.__func__ if isinstance(function, Method) else function

    async def run(*, anew: bool) -> None:
        call = partial(function.refresh if anew else function, *args, **kwargs)
        if isinstance(kind, AsyncStream):
            async for _ in call():
                pass
        elif isinstance(kind, AsyncDecorated):
            await call()
        elif isinstance(kind, Stream):
            await asyncio.to_thread(lambda: _drain(call()))
        else:
            await asyncio.to_thread(call)

    return run


def _drain(stream: Iterator[Any]) -> None:
    for _ in stream:
        pass


def _shown(args: Any, kwargs: Mapping[str, Any]) -> str:
    named = [f"{name}={value!r:.40}" for name, value in kwargs.items()]
    return f"({', '.join([*(f'{value!r:.40}' for value in args), *named])})"
