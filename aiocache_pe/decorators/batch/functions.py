"""Decorated functions of batches: an entry for each item, a call for what is missing.

Decorated functions of batches, in classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from aiocache_pe import context
from aiocache_pe.context import Mode
from aiocache_pe.decorators.base import AsyncDecorated, BlockingDecorated
from aiocache_pe.decorators.batch.base import Args, BatchBase, BatchPlan, Compute, Kwargs
from aiocache_pe.decorators.batch.results import BatchResultError
from aiocache_pe.decorators.methods import AsyncMethod, BlockingMethod, Method
from aiocache_pe.loading import blocking
from aiocache_pe.runtime.loops import checkpoint
from aiocache_pe.runtime.portal import PortalEndedError
from aiocache_pe.sentinels import Sentinel

P = ParamSpec("P")  # without the first argument
F = ParamSpec("F")  # with it
Q = ParamSpec("Q")
T = TypeVar("T")
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - as it is called everywhere else


class _BatchMethod(Method[P, F, R]):
    __slots__ = ()
    # The property: what is shown is the function's own.
    __doc__ = Method.__doc__  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @overload
    def cache_keys(self, *args: P.args, **kwargs: P.kwargs) -> list[str]: ...
    @overload
    def cache_keys(self, *args: F.args, **kwargs: F.kwargs) -> list[str]: ...
    def cache_keys(self, *args: Any, **kwargs: Any) -> Any:
        """The key of each item, as ``cache.get`` takes it."""
        return self.__func__.cache_keys(self.__self__, *args, **kwargs)


class BatchMethod(_BatchMethod[P, F, R], BlockingMethod[P, F, R]):
    """A method of batches that blocks."""

    __slots__ = ()
    # The property: what is shown is the function's own.
    __doc__ = Method.__doc__  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @overload
    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int: ...
    @overload
    def invalidate(self, *args: F.args, **kwargs: F.kwargs) -> int: ...
    def invalidate(self, *args: Any, **kwargs: Any) -> Any:
        """Forget the results of these items; how many there were."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)


class AsyncBatchMethod(_BatchMethod[P, F, R], AsyncMethod[P, F, R]):
    """A method of batches that is awaited."""

    __slots__ = ()
    __doc__ = Method.__doc__  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @overload
    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, int]: ...
    @overload
    def invalidate(self, *args: F.args, **kwargs: F.kwargs) -> Coroutine[Any, Any, int]: ...
    def invalidate(self, *args: Any, **kwargs: Any) -> Any:
        """Forget the results of these items; how many there were."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)


class CachedBatch(BatchBase[P, R], BlockingDecorated[P, R]):
    """A decorated plain function of batches: blocking, as it was.

    Example:
        >>> from aiocache_pe import cached_batch
        >>> @cached_batch(backend="memory")
        ... def lengths(words: list[str]) -> list[int]:
        ...     return [len(word) for word in words]
        >>> lengths(["one", "three"]), lengths(["one", "one"])
        ([3, 5], [3, 3])
        >>> lengths.cache_info()
        CacheInfo(hits=2, misses=2)
        >>> lengths.invalidate(["one", "two"]), lengths.cache_clear()
        (1, 1)
    """

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the results of these items; how many there were."""
        return self.cache.delete_many(self.cache_keys(*args, **kwargs))

    @overload
    def __get__(
        self: CachedBatch[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> BatchMethod[Q, P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Self: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        """The function, as a method of an instance."""
        return self if instance is None else BatchMethod(self, instance)


class AsyncCachedBatch(BatchBase[P, R], AsyncDecorated[P, R]):
    """A decorated async function of batches.

    Example:
        >>> from aiocache_pe import cached_batch
        >>> @cached_batch(cache=cache)
        ... async def lengths(words: list[str]) -> list[int]:
        ...     return [len(word) for word in words]
        >>> run(lengths(["one", "three"])), run(lengths(["one", "one"]))
        ([3, 5], [3, 3])
        >>> lengths.cache_info()
        CacheInfo(hits=2, misses=2)
        >>> run(lengths.invalidate(["one", "two"])), run(lengths.cache_clear())
        (1, 1)
    """

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Forget the results of these items; how many there were."""
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
        """The function, as a method of an instance."""
        return self if instance is None else AsyncBatchMethod(self, instance)


class AsyncBatch(AsyncCachedBatch[P, Coroutine[Any, Any, T]]):
    """An ``async def`` of batches."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for the items that have no entry."""
        return await self._called(context.mode(), args, kwargs)  # type: ignore[no-any-return]

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for all items, whatever is stored, and store what it returns."""
        return await self._called(Mode.REFRESH, args, kwargs)  # type: ignore[no-any-return]

    async def _called(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> Any:
        call = self._parameter.call(args, kwargs)
        shortcut = self._shortcut(call, steered)
        if shortcut is not None:
            result = shortcut()
            return await result if inspect.isawaitable(result) else result
        keys: list[str] = []
        for count, key in enumerate(self._keyed(call, steered), 1):
            keys.append(key)
            await checkpoint(count)
        plan = BatchPlan(call, keys)

        async def compute(some: Sequence[str]) -> Sequence[Any]:
            args, kwargs = self._called_for(plan, some, steered)
            return self._apart(await self._function(*args, **kwargs), some)

        entries = await self._loading(plan, compute, steered, {})
        try:
            return self._together(plan, entries, steered)
        except BatchResultError:
            return await self._called(self._instead(steered), *call.with_batch(call.items))


class Batch(CachedBatch[P, T]):
    """A ``def`` of batches: it computes in the thread that called it, one part at a time.

    Where several calls are to be made at a time, they are made in other threads.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for the items that have no entry."""
        return self._called(context.mode(), args, kwargs)  # type: ignore[no-any-return]

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function for all items, whatever is stored, and store what it returns."""
        return self._called(Mode.REFRESH, args, kwargs)  # type: ignore[no-any-return]

    def _called(self, steered: Mode | None, args: Args, kwargs: Kwargs) -> Any:
        call = self._parameter.call(args, kwargs)
        shortcut = self._shortcut(call, steered)
        if shortcut is not None:
            return shortcut()
        plan = BatchPlan(call, list(self._keyed(call, steered)))
        entries: dict[str, Any] = {}
        if steered is None or steered is Mode.READ_ONLY:
            found = {key: self._peek(key) for key in plan.different}
            entries = {key: each for key, each in found.items() if not isinstance(each, Sentinel)}
        if len(entries) < len(plan.different):
            entries = self._loaded(plan, entries, steered)
        try:
            return self._together(plan, entries, steered)
        except BatchResultError:
            return self._called(self._instead(steered), *call.with_batch(call.items))

    def _loaded(
        self, plan: BatchPlan, known: dict[str, Any], steered: Mode | None
    ) -> dict[str, Any]:
        """An entry for each key, of which some are known."""

        def compute(some: Sequence[str]) -> Sequence[Any]:
            args, kwargs = self._called_for(plan, some, steered)
            result = self._function(*args, **kwargs)
            return self._apart(self._checked(result), some)

        def loading(factory: Compute) -> Coroutine[Any, Any, dict[str, Any]]:
            return self._loading(plan, factory, steered, known)

        try:
            elsewhere = self._parts.concurrency > 1
            return blocking.load_parts(loading, compute, elsewhere=elsewhere)
        except PortalEndedError:  # called by a handler of `atexit`
            missing = [key for key in plan.different if key not in known]
            step = self._parts.size or len(missing)
            for at in range(0, len(missing), step):
                some = missing[at : at + step]
                known |= zip(some, compute(some), strict=True)
            return known
