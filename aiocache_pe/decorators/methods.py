"""Decorated functions in classes: methods, classmethods and staticmethods.

Type checkers accept one form of call more than there is. They cannot distinguish a method from a
staticmethod here, so they accept calls without the first argument, which a method and a
classmethod have already, and calls with it, which a staticmethod needs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from aiocache_pe.engine.stats import CacheInfo
from aiocache_pe.keys.signatures import get_annotations

if TYPE_CHECKING:
    from aiocache_pe.cache import sync_manager as sync
    from aiocache_pe.cache.manager import CacheManager

P = ParamSpec("P")  # without the first argument
F = ParamSpec("F")  # with it
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - the usual name of a result type
N = TypeVar("N", covariant=True)  # noqa: PLC0105 - the result of `Method.invalidate`


class Method(Generic[P, F, R, N]):
    """A decorated function that is bound to its first argument.

    The bound argument is passed to the other operations, too:
    ``service.answer.invalidate("why?")``.
    """

    __slots__ = ("__func__", "__self__", "__weakref__")

    cache_info: Callable[[], CacheInfo]  # the function has it, and all attributes without a type

    def __init_subclass__(cls) -> None:
        # The property shows the docstring of the function, not that of the class.
        cls.__doc__ = vars(Method)["__doc__"]

    def __init__(self, function: Any, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, /, *args: F.args, **kwargs: F.kwargs) -> R: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the cached result of a call, or call the function."""
        return self.__func__(self.__self__, *args, **kwargs)

    @overload
    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def refresh(self, /, *args: F.args, **kwargs: F.kwargs) -> R: ...
    def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function and store its result, even if a result is stored."""
        return self.__func__.refresh(self.__self__, *args, **kwargs)

    @overload
    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> N: ...
    @overload
    def invalidate(self, /, *args: F.args, **kwargs: F.kwargs) -> N: ...
    def invalidate(self, /, *args: Any, **kwargs: Any) -> Any:
        """Remove the results of one call; return whether there was one, or their number."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    @property
    def __wrapped__(self) -> Any:
        return MethodType(self.__func__.__wrapped__, self.__self__)

    __doc__: Any = property(lambda self: self.__func__.__doc__)

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__func__, name)

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Method):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)


class BlockingMethod(Method[P, F, R, N]):
    """A bound method of a plain function: it blocks."""

    __slots__ = ()

    cache_clear: Callable[[], int]
    cache: sync.CacheManager


class AsyncMethod(Method[P, F, R, Coroutine[Any, Any, N]]):
    """A bound method of an async function: it is awaited."""

    __slots__ = ()

    cache_clear: Callable[[], Coroutine[Any, Any, int]]
    cache: CacheManager


class _SingleMethod(Method[P, F, R, N]):
    """A bound method with one entry for each call."""

    __slots__ = ()

    @overload
    def cache_key(self, /, *args: P.args, **kwargs: P.kwargs) -> str: ...
    @overload
    def cache_key(self, /, *args: F.args, **kwargs: F.kwargs) -> str: ...
    def cache_key(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the key of a call, as ``cache.get`` takes it."""
        return self.__func__.cache_key(self.__self__, *args, **kwargs)


class CachedMethod(_SingleMethod[P, F, R, bool], BlockingMethod[P, F, R, bool]):
    """A blocking method with one entry for each call."""

    __slots__ = ()


class AsyncCachedMethod(
    _SingleMethod[P, F, R, Coroutine[Any, Any, bool]], AsyncMethod[P, F, R, bool]
):
    """An async method with one entry for each call."""

    __slots__ = ()


def wrap_method(decorate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a decorator that accepts classmethod, staticmethod and partial objects, too."""

    def apply(function: Any) -> Any:
        if isinstance(function, classmethod):
            return ClassBound(decorate(function.__func__))
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))
        return decorate(_name_partial(function) if isinstance(function, partial) else function)

    return apply


def _name_partial(function: partial[Any]) -> partial[Any]:
    """Return a copy of a partial object that has the name and annotations of its function."""
    named = partial(function)
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(function.func, name):
            setattr(named, name, getattr(function.func, name))
    named.__annotations__ = get_annotations(function.func)
    return named


class ClassBound:
    """A decorated classmethod: its first argument is the class."""

    __slots__ = ("__func__",)

    def __init__(self, function: Any) -> None:
        self.__func__ = function

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.__func__.__get__(owner, owner)
