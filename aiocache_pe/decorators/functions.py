"""Decorated functions that return one value: ``async def`` and ``def``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from opcode import opmap
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import Control, Mode
from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction
from aiocache_pe.events import Joined
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.loading.blocking import load_request
from aiocache_pe.sentinels import MISSING, Sentinel

_CACHE, _GET_AWAITABLE = opmap.get("CACHE", -1), opmap.get("GET_AWAITABLE", -1)
P = ParamSpec("P")
T = TypeVar("T")


class AsyncFunction(AsyncCachedFunction[P, Coroutine[Any, Any, T]]):
    """A decorated ``async def``: one caller computes, concurrent callers wait."""

    async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the cached result of a call, or call the function."""
        control = context.current_control()
        if control is not None:
            return await self._call_under(control, args, kwargs)
        key = self._key(args, kwargs)
        value = self._peek(key)
        if value.__class__ is not Sentinel:
            self._hits += 1
            return value  # type: ignore[no-any-return]

        joined: Any = MISSING
        in_flight, began = self._join(key), None
        if in_flight is not None:  # the shortest way for most of many concurrent callers
            namespace = self._loader.namespace
            began = namespace.start_timer(Joined)
            joined = await in_flight
            value = self._peek(key)
            if value.__class__ is not Sentinel:
                self._hits += 1
                namespace.note_joined(key, began)
                return value  # type: ignore[no-any-return]
        request = self._make_request(key, args, kwargs)
        return self._count(await self._loader.resolve_miss(request, joined, began))  # type: ignore[no-any-return]

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and store its result, even if a result is stored."""
        return await self._call_under(context.replace_mode(Mode.REFRESH), args, kwargs)

    async def _call_under(self, control: Control, args: Args, kwargs: Kwargs) -> T:
        with self._watch(control) as watch:
            if control.mode is Mode.BYPASS:
                watch.note_bypass("bypass()")
                return await self._function(*args, **kwargs)  # type: ignore[no-any-return]
            key, value = self._look_up(control, args, kwargs)
            if value.__class__ is not Sentinel:
                return value  # type: ignore[no-any-return]
            watch.note(self._loader.namespace, key)
            request = self._make_request(key, args, kwargs)
            outcome = await self._loader.get_or_compute_under(control, request)
            watch.note(self._loader.namespace, key, outcome)
            return self._count(outcome)  # type: ignore[no-any-return]


class Function(CachedFunction[P, T]):
    """A decorated ``def``: it computes in the calling thread while other callers wait."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the cached result of a call, or call the function."""
        control = context.current_control()
        if control is not None:
            return self._call_under(control, args, kwargs)
        key = self._key(args, kwargs)
        value = self._peek(key)
        if value.__class__ is not Sentinel:
            self._hits += 1
            return value  # type: ignore[no-any-return]
        outcome = load_request(self._loader.resolve_miss, self._make_request(key, args, kwargs))
        self._check_not_awaited(outcome.value)
        return self._count(outcome)  # type: ignore[no-any-return]

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and store its result, even if a result is stored."""
        return self._call_under(context.replace_mode(Mode.REFRESH), args, kwargs)

    def _call_under(self, control: Control, args: Args, kwargs: Kwargs) -> T:
        with self._watch(control) as watch:
            if control.mode is Mode.BYPASS:
                watch.note_bypass("bypass()")
                return self._function(*args, **kwargs)  # type: ignore[no-any-return]
            key, value = self._look_up(control, args, kwargs)
            if value.__class__ is not Sentinel:
                return value  # type: ignore[no-any-return]
            watch.note(self._loader.namespace, key)
            load = partial(self._loader.get_or_compute_under, control)
            outcome = load_request(load, self._make_request(key, args, kwargs))
            watch.note(self._loader.namespace, key, outcome)
            return self._count(outcome)  # type: ignore[no-any-return]

    def _check_not_awaited(self, value: object) -> None:
        """Raise a clear error if the caller awaits a result that cannot be awaited.

        It is called at misses only, so that a hit costs nothing more.
        """
        if hasattr(value, "__await__"):
            return
        frame = inspect.currentframe()
        while frame is not None and frame.f_globals.get("__name__", "").startswith("aiocache_pe."):
            frame = frame.f_back
        if frame is not None and _is_awaiting(frame):
            raise TypeError(
                f"{self.__qualname__}() is a plain function, and so is its cached form: call it "
                "without await, or define it with `async def`"
            )

    def _make_factory(self, args: Args, kwargs: Kwargs) -> Callable[..., T]:
        factory = super()._make_factory(args, kwargs)
        if self._has_previous:
            return lambda previous: self._check_result(factory(previous))
        return lambda: self._check_result(factory())


def _is_awaiting(frame: FrameType) -> bool:
    """Return whether a frame awaits the result of its present call; ``False`` if unknown."""
    code, at = frame.f_code.co_code, frame.f_lasti + 2
    while at < len(code) and code[at] == _CACHE:
        at += 2
    return at < len(code) and code[at] == _GET_AWAITABLE
