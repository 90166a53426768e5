"""Decorated functions with ``samples=``: repeated calls get several results in turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, contextmanager
from typing import Any, ParamSpec, TypeVar

from aiocache_pe import context
from aiocache_pe.context import NO_CONTROL, Control, Mode
from aiocache_pe.decorators.base import AsyncCachedFunction, CachedFunction, DecoratedFunction
from aiocache_pe.decorators.functions import AsyncFunction, Function
from aiocache_pe.decorators.settings import Settings
from aiocache_pe.decorators.streams.async_stream import AsyncStream
from aiocache_pe.decorators.streams.chunk_buffer import refuse_sent
from aiocache_pe.decorators.streams.sync_stream import Stream
from aiocache_pe.keys.short_keys import make_sample_key
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.loading.sampling import SampleNumbers

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - as in `DecoratedFunction`


class _Sampled(DecoratedFunction[P, R]):
    """A decorated function that numbers its calls; a block of `sample` chooses the number."""

    def __init__(self, function: Callable[P, R], settings: Settings) -> None:
        super().__init__(function, settings)
        self._samples = settings.samples or 1
        self._numbers = SampleNumbers(self._samples)

    def _list_sample_keys(self, args: Args, kwargs: Kwargs) -> list[str]:
        """Return the keys of all results of a call, or that of the block's sample."""
        key = self._plain_key(args, kwargs)
        if _has_number(context.current_control() or NO_CONTROL):
            return [key]
        prefix = self._loader.namespace.prefix
        keys = [make_sample_key(prefix + key, number) for number in range(self._samples)]
        return [each[len(prefix) :] for each in keys]

    @contextmanager
    def _number(self, args: Args, kwargs: Kwargs) -> Generator[None]:
        if _has_number(context.current_control() or NO_CONTROL):
            yield
            return
        with self._numbers.use(self._key(args, kwargs)) as number, context.sample(number):
            yield


class _SampledAsync(_Sampled[P, R], AsyncCachedFunction[P, R]):
    """An async one."""

    async def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove all results of one call; return whether there were any."""
        return await self.cache.delete_many(self._list_sample_keys(args, kwargs)) > 0


class _SampledBlocking(_Sampled[P, R], CachedFunction[P, R]):
    """A blocking one."""

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove all results of one call; return whether there were any."""
        return self.cache.delete_many(self._list_sample_keys(args, kwargs)) > 0


def _has_number(control: Control) -> bool:
    return control.sample is not None or control.mode is Mode.BYPASS


class SampledAsyncFunction(_SampledAsync[P, Coroutine[Any, Any, T]], AsyncFunction[P, T]):
    """A decorated ``async def`` with several results for each call."""

    async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the next result of a call."""
        with self._number(args, kwargs):
            return await super().__call__(*args, **kwargs)

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and store the next result."""
        with self._number(args, kwargs):
            return await super().refresh(*args, **kwargs)


class SampledFunction(_SampledBlocking[P, T], Function[P, T]):
    """A decorated ``def`` with several results for each call."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the next result of a call."""
        with self._number(args, kwargs):
            return super().__call__(*args, **kwargs)

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and store the next result."""
        with self._number(args, kwargs):
            return super().refresh(*args, **kwargs)


class SampledAsyncStream(_SampledAsync[P, AsyncGenerator[T, None]], AsyncStream[P, T]):
    """A decorated ``async def`` with ``yield`` and several streams for each call."""

    async def _open(self, control: Control, args: Args, kwargs: Kwargs) -> AsyncGenerator[T, None]:
        if _has_number(control):
            async with aclosing(super()._open(control, args, kwargs)) as chunks:
                async for chunk in chunks:
                    refuse_sent((yield chunk))
            return
        with self._numbers.use(self._key(args, kwargs)) as number:
            numbered = control._replace(sample=number)
            async with aclosing(super()._open(numbered, args, kwargs)) as chunks:
                async for chunk in chunks:
                    refuse_sent((yield chunk))


class SampledStream(_SampledBlocking[P, Generator[T, None, Any]], Stream[P, T, Any]):
    """A decorated ``def`` with ``yield`` and several streams for each call."""

    def _open(self, control: Control, args: Args, kwargs: Kwargs) -> Generator[T, None, Any]:
        if _has_number(control):
            return (yield from super()._open(control, args, kwargs))
        with self._numbers.use(self._key(args, kwargs)) as number:
            numbered = control._replace(sample=number)
            return (yield from super()._open(numbered, args, kwargs))
