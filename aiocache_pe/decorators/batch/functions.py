"""Decorated batch functions and methods: one entry for each item, calls for missing items."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from aiocache_pe import context
from aiocache_pe.context import NO_CONTROL, Control, Mode
from aiocache_pe.decorators.base import AsyncDecorated, BlockingDecorated
from aiocache_pe.decorators.batch.base import BatchBase, BatchPlan, Compute
from aiocache_pe.decorators.batch.results import BatchResultError, split_results
from aiocache_pe.decorators.methods import AsyncMethod, BlockingMethod, Method
from aiocache_pe.keys.signatures import Args, Kwargs
from aiocache_pe.loading import blocking
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.sentinels import Sentinel

P = ParamSpec("P")  # without the first argument
F = ParamSpec("F")  # with it
Q = ParamSpec("Q")
T = TypeVar("T")
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - the usual name of a result type
N = TypeVar("N", covariant=True)  # noqa: PLC0105 - the result of `Method.invalidate`


class _BatchMethod(Method[P, F, R, N]):
    """A bound method with one entry for each item."""

    __slots__ = ()

    @overload
    def cache_keys(self, /, *args: P.args, **kwargs: P.kwargs) -> list[str]: ...
    @overload
    def cache_keys(self, /, *args: F.args, **kwargs: F.kwargs) -> list[str]: ...
    def cache_keys(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the key of each item, as ``cache.get`` takes it."""
        return self.__func__.cache_keys(self.__self__, *args, **kwargs)


class BatchMethod(_BatchMethod[P, F, R, int], BlockingMethod[P, F, R, int]):
    """A bound method of a plain batch function."""

    __slots__ = ()


class AsyncBatchMethod(_BatchMethod[P, F, R, Coroutine[Any, Any, int]], AsyncMethod[P, F, R, int]):
    """A bound method of an async batch function."""

    __slots__ = ()


class CachedBatch(BatchBase[P, R], BlockingDecorated[P, R]):
    """A decorated plain batch function.

    Example:
        >>> from aiocache_pe import cached_batch
        >>> @cached_batch(backend="memory")
        ... def lengths(words: list[str]) -> list[int]:
        ...     return [len(word) for word in words]
        >>> lengths(["one", "three"]), lengths(["one", "one"])
        ([3, 5], [3, 3])
        >>> lengths.cache_info()
        CacheInfo(hits=2, misses=2, maxsize=None, currsize=2, unstorable=0)
        >>> lengths.invalidate(["one", "two"]), lengths.cache_clear()
        (1, 1)
    """

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> int:
        """Remove the results of these items; return their number."""
        return self.cache.delete_many(self.cache_keys(*args, **kwargs))

    @overload
    def __get__(
        self: CachedBatch[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> BatchMethod[Q, P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Return the function as a method of an instance."""
        return self if instance is None else BatchMethod(self, instance)


class AsyncCachedBatch(BatchBase[P, R], AsyncDecorated[P, R]):
    """A decorated async batch function.

    Example:
        >>> from aiocache_pe import cached_batch
        >>> @cached_batch(cache=cache)
        ... async def lengths(words: list[str]) -> list[int]:
        ...     return [len(word) for word in words]
        >>> run(lengths(["one", "three"])), run(lengths(["one", "one"]))
        ([3, 5], [3, 3])
        >>> lengths.cache_info()
        CacheInfo(hits=2, misses=2, maxsize=None, currsize=2, unstorable=0)
        >>> run(lengths.invalidate(["one", "two"])), run(lengths.cache_clear())
        (1, 1)
    """

    async def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> int:
        """Remove the results of these items; return their number."""
        return await self.cache.delete_many(self.cache_keys(*args, **kwargs))

    @overload
    def __get__(
        self: AsyncCachedBatch[Concatenate[Any, Q], R],
        instance: object,
        owner: type | None = None,
        /,
    ) -> AsyncBatchMethod[Q, P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """Return the function as a method of an instance."""
        return self if instance is None else AsyncBatchMethod(self, instance)


class AsyncBatch(AsyncCachedBatch[P, Coroutine[Any, Any, T]]):
    """A decorated ``async def`` with one entry for each item."""

    async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for the items that have no entry."""
        return await self._call(context.current_control() or NO_CONTROL, args, kwargs)  # type: ignore[no-any-return]

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for all items and store its results."""
        return await self._call(context.replace_mode(Mode.REFRESH), args, kwargs)  # type: ignore[no-any-return]

    async def _call(self, control: Control, args: Args, kwargs: Kwargs) -> Any:
        call = self._parameter.parse_call(args, kwargs)
        shortcut = self._find_shortcut(call, control)
        if shortcut is not None:
            with self._watch_shortcut(control):
                result = shortcut()
                return await result if inspect.isawaitable(result) else result
        keys: list[str] = []
        for count, key in enumerate(self._iter_keys(call, control), 1):
            keys.append(key)
            await checkpoint(count)
        plan = BatchPlan(call, keys)

        async def compute(some: Sequence[str]) -> Sequence[Any]:
            args, kwargs = self._prepare_call(plan, some, control)
            result = await self._function(*args, **kwargs)
            return split_results(result, len(some), self.__qualname__)

        with self._watch(control) as watch:
            entries = await self._load(plan, compute, watch, {})
        try:
            return self._join_entries(plan, entries, control)
        except BatchResultError:
            return await self._call(self._choose_retry(control), *call.with_batch(call.items))


class Batch(CachedBatch[P, T]):
    """A decorated ``def`` with one entry for each item.

    It computes in the calling thread, one part after the other. With a ``concurrency`` above 1
    the calls run in other threads.
    """

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for the items that have no entry."""
        return self._call(context.current_control() or NO_CONTROL, args, kwargs)  # type: ignore[no-any-return]

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for all items and store its results."""
        return self._call(context.replace_mode(Mode.REFRESH), args, kwargs)  # type: ignore[no-any-return]

    def _call(self, control: Control, args: Args, kwargs: Kwargs) -> Any:
        call = self._parameter.parse_call(args, kwargs)
        shortcut = self._find_shortcut(call, control)
        if shortcut is not None:
            with self._watch_shortcut(control):
                return shortcut()
        plan = BatchPlan(call, list(self._iter_keys(call, control)))
        entries: dict[str, Any] = {}
        if control in (NO_CONTROL, NO_CONTROL._replace(mode=Mode.READ_ONLY)):
            found = {key: self._peek(key) for key in plan.unique_keys}
            entries = {key: each for key, each in found.items() if not isinstance(each, Sentinel)}
        if len(entries) < len(plan.unique_keys):
            entries = self._load_missing(plan, entries, control)
        try:
            return self._join_entries(plan, entries, control)
        except BatchResultError:
            return self._call(self._choose_retry(control), *call.with_batch(call.items))

    def _load_missing(
        self, plan: BatchPlan, known: dict[str, Any], control: Control
    ) -> dict[str, Any]:
        """Return an entry for each key; some are known already."""

        def compute(some: Sequence[str]) -> Sequence[Any]:
            args, kwargs = self._prepare_call(plan, some, control)
            result = self._check_result(self._function(*args, **kwargs))
            return split_results(result, len(some), self.__qualname__)

        with self._watch(control) as watch:

            def load(factory: Compute) -> Coroutine[Any, Any, dict[str, Any]]:
                return self._load(plan, factory, watch, known)

            return blocking.load_batch(load, compute, in_threads=self._parts.concurrency > 1)
