"""Decorated functions of batches, in classes."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from aiocache_pe.decorators.methods import AsyncMethod, BlockingMethod, Method

P = ParamSpec("P")  # without the first argument
F = ParamSpec("F")  # with it
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
