"""Decorated functions that return one value: `async def` and `def`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import Mode
from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction
from aiocache_pe.loading.blocking import load_request
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.sentinels import MISSING, Sentinel

P = ParamSpec("P")
T = TypeVar("T")
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class AsyncFunction(AsyncCachedFunction[P, Coroutine[Any, Any, T]]):
    """An ``async def``: many wait while one computes."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, or give what it returned before."""
        steered = context.mode()
        if steered is not None:
            return await self._steered(steered, args, kwargs)
        key = self._key(args, kwargs)
        value = self._lookup(key)
        if value.__class__ is not Sentinel:
            self._hits += 1
            return value  # type: ignore[no-any-return]
        joined: Any = MISSING
        waiting = self._join(key)
        if waiting is not None:  # most of a crowd needs no more than that
            joined = await waiting
            value = self._lookup(key)
            if value.__class__ is not Sentinel:
                self._hits += 1
                return value  # type: ignore[no-any-return]
        factory, called = self._factory(args, kwargs)
        value = await self._loader.load_once(self._wanted(key, factory, args, kwargs), joined)
        self._hits += not called
        return value  # type: ignore[no-any-return]

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and store what it returns, whatever is stored."""
        return await self._steered(Mode.REFRESH, args, kwargs)

    async def _steered(self, steered: Mode, args: Args, kwargs: Kwargs) -> T:
        if steered is Mode.BYPASS:
            return await self._function(*args, **kwargs)  # type: ignore[no-any-return]
        key = self._key(args, kwargs)
        factory, called = self._factory(args, kwargs)
        wanted = self._wanted(key, factory, args, kwargs)
        value = await self._loader.get_or_compute_in_mode(steered, wanted)
        self._hits += not called
        return value  # type: ignore[no-any-return]


class Function(CachedFunction[P, T]):
    """A ``def``: it computes in the thread that called it, while others wait."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, or give what it returned before."""
        steered = context.mode()
        if steered is not None:
            return self._steered(steered, args, kwargs)
        key = self._key(args, kwargs)
        value = self._lookup(key)
        if value.__class__ is not Sentinel:
            self._hits += 1
            return value  # type: ignore[no-any-return]
        return self._loaded(self._loader.load_once, key, args, kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and store what it returns, whatever is stored."""
        return self._steered(Mode.REFRESH, args, kwargs)

    def _steered(self, steered: Mode, args: Args, kwargs: Kwargs) -> T:
        if steered is Mode.BYPASS:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        key = self._key(args, kwargs)  # which finds the loader, at the first call
        return self._loaded(
            partial(self._loader.get_or_compute_in_mode, steered), key, args, kwargs
        )

    def _loaded(
        self,
        loading: Callable[[LoadRequest], Coroutine[Any, Any, T]],
        key: str,
        args: Args,
        kwargs: Kwargs,
    ) -> T:
        factory, called = self._factory(args, kwargs)
        value: T = load_request(loading, self._wanted(key, factory, args, kwargs))
        self._hits += not called
        return value

    def _factory(self, args: Args, kwargs: Kwargs) -> tuple[Callable[[], T], list[None]]:
        factory, called = super()._factory(args, kwargs)

        def compute() -> T:
            return self._checked(factory())  # type: ignore[no-any-return]

        return compute, called
