"""Blocking cache manager, for threads without an event loop.

Each method calls the async method in the portal's loop, so there is no second implementation that
could differ. Only reads of the memory tier stay in the caller's thread, because they need no loop.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, update_wrapper
from inspect import getdoc
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from aiocache_pe import context, events
from aiocache_pe.cache import manager
from aiocache_pe.cache.manager import AsyncFactory, FactoryTTL, PlainFactory
from aiocache_pe.loading.blocking import iter_in_batches, load_request
from aiocache_pe.loading.key_lock import KeyLock
from aiocache_pe.loading.options import LoadOptions
from aiocache_pe.runtime.portal import portal
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Sentinel
from aiocache_pe.ttl import Duration

if TYPE_CHECKING:  # the decorators use the managers
    from aiocache_pe.decorators.cached import CachedDecorator

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=events.Event)
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - as it is called everywhere else


class BlockingMethod(Protocol[P, R]):
    """A blocking method with the parameters of an async one."""

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[Concatenate[Any, P], R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[P, R]: ...


def _make_blocking(
    method: Callable[Concatenate[manager.CacheManager, P], Coroutine[Any, Any, T]],
) -> BlockingMethod[P, T]:
    def call(self: CacheManager, *args: P.args, **kwargs: P.kwargs) -> T:
        return portal.call(partial(method, self.asynchronous, *args, **kwargs))

    return cast("BlockingMethod[P, T]", copy_description(method)(call))


# A call in an example of an async method, and the same call of the blocking one.
_RUN, _CALL = re.compile(r"\brun\((\w[\w.]*\(.*\))\)"), r"\1"


def copy_description(original: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator that copies signature and docstring, and appends the own docstring.

    An example of the async method becomes one of the blocking method.
    """

    def describe(method: F) -> F:
        note, module = getdoc(method) or "Block until it is done.", method.__module__
        update_wrapper(method, original)
        method.__module__ = module
        description, _, example = (getdoc(original) or "").partition("\nExample:")
        method.__doc__ = f"{description.rstrip()}\n\n{note}"
        if "async " not in example and "Example:" not in note:
            method.__doc__ += f"\n\nExample:{_RUN.sub(_CALL, example)}"
        return method

    return describe


def _copy_parameters(
    cls: Callable[P, object],
) -> Callable[[Any], Callable[Concatenate[Any, P], None]]:
    """Return a decorator that gives a constructor the parameters of another class's one."""
    describe = copy_description(cls.__init__)
    return cast("Callable[[Any], Callable[Concatenate[Any, P], None]]", describe)


class CacheManager:
    """A blocking cache over a store, with the methods of the async manager.

    It may be used in any number of threads, also in a thread with a running event loop, which it
    blocks. It may be used after ``fork``, and together with its async manager. A value in memory
    is read in the caller's thread. One thread of the process does everything else. It starts when
    it is needed, and ends with the program.

    The arguments are those of `aiocache_pe.CacheManager`.

    Raises:
        ConfigurationError: a setting is invalid; the message has the accepted values.
        DeadlockError: a method was called in the thread that would have to do its work.

    Attributes:
        asynchronous: the async manager, with the same store, memory and counters.

    Example:
        >>> from aiocache_pe.sync import CacheManager
        >>> with CacheManager("memory") as cache:
        ...     cache.set("greeting", "hello", ttl="1h")
        ...     cache.get("greeting")
        True
        'hello'
    """

    asynchronous: manager.CacheManager

    @_copy_parameters(manager.CacheManager)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.asynchronous = manager.CacheManager(*args, **kwargs)

    @classmethod
    def of(cls, cache: manager.CacheManager) -> Self:
        """Return the blocking manager of an existing async manager.

        Example:
            >>> CacheManager.of(cache.asynchronous) == cache
            True
        """
        blocking = cls.__new__(cls)
        blocking.asynchronous = cache
        return blocking

    def namespace(self, name: str) -> Self:
        """Return a view of another namespace, over the same store and memory.

        Example:
            >>> cache.namespace("search").exists("greeting")
            False
        """
        return self.of(self.asynchronous.namespace(name))

    @copy_description(manager.CacheManager.get)
    def get(self, key: str, default: Any = None) -> Any:
        """Stay in this thread if the value is in memory."""
        loader = self.asynchronous.loader
        value = loader.peek(key, default)
        return portal.call(loader.get, key, default) if value is PENDING else value

    @copy_description(manager.CacheManager.get_many)
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Stay in this thread if all values are in memory."""
        loader = self.asynchronous.loader
        found = loader.peek_many(keys)
        if any(value is PENDING for value in found.values()):
            return portal.call(loader.get_many, found)
        return loader.drop_missing(found)

    set = _make_blocking(manager.CacheManager.set)
    add = _make_blocking(manager.CacheManager.add)
    delete = _make_blocking(manager.CacheManager.delete)
    exists = _make_blocking(manager.CacheManager.exists)
    get_ttl = _make_blocking(manager.CacheManager.get_ttl)
    touch = _make_blocking(manager.CacheManager.touch)
    pop = _make_blocking(manager.CacheManager.pop)
    incr = _make_blocking(manager.CacheManager.incr)
    decr = _make_blocking(manager.CacheManager.decr)
    set_many = _make_blocking(manager.CacheManager.set_many)
    delete_many = _make_blocking(manager.CacheManager.delete_many)
    invalidate = _make_blocking(manager.CacheManager.invalidate)
    delete_by_tag = _make_blocking(manager.CacheManager.delete_by_tag)
    clear = _make_blocking(manager.CacheManager.clear)
    cleanup_expired = _make_blocking(manager.CacheManager.cleanup_expired)
    entry = _make_blocking(manager.CacheManager.entry)
    get_stats = _make_blocking(manager.CacheManager.get_stats)
    namespaces = _make_blocking(manager.CacheManager.namespaces)
    close = _make_blocking(manager.CacheManager.close)

    @overload
    def get_or_set(
        self,
        key: str,
        factory: AsyncFactory[T],
        ttl: FactoryTTL[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...
    @overload
    def get_or_set(
        self,
        key: str,
        factory: PlainFactory[T],
        ttl: FactoryTTL[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...
    @copy_description(manager.CacheManager.get_or_set)
    def get_or_set(
        self,
        key: str,
        factory: Any,
        ttl: Any = DEFAULT,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> Any:
        """Compute the value in this thread; an async factory runs in the portal's loop.

        A helper thread calls the factory for a refresh in the background, and with a
        ``hard_timeout`` or ``soft_timeout``, because a computing thread cannot obey a time-out.
        """
        loader = self.asynchronous.loader
        request = loader.request(key, factory, ttl, tags, options)
        if context.current_control() is None:
            value = loader.peek_entry(request.key, request.policy)
            if not isinstance(value, Sentinel):
                return value
        load = partial(loader.get_or_compute, function="get_or_set")
        return load_request(load, request).value

    @copy_description(manager.CacheManager.lock)
    def lock(self, key: str, *, wait: bool | Duration = True) -> AbstractContextManager[None]:
        """Return a lock for a ``with`` block; the same thread cannot acquire it twice.

        Example:
            >>> with cache.lock("report", wait="30s"):
            ...     print("no other thread or process is here")
            no other thread or process is here
        """
        owner = threading.get_ident()
        return _hold(self.asynchronous.loader.make_lock(key, wait=wait, owner=owner))

    @property
    def cached(self) -> CachedDecorator:
        """Decorator `aiocache_pe.cached` with this cache: ``@cache.cached(ttl="1h")``.

        Example:
            >>> @cache.cached(ttl="1h")
            ... def double(number: int) -> int:
            ...     return 2 * number
            >>> double(21)
            42
        """
        return cast("CachedDecorator", partial(manager.load_decorator(), cache=self))

    def __contains__(self, key: str) -> bool:
        return self.exists(key)

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    @copy_description(manager.CacheManager.keys)
    def keys(self, pattern: str = "*") -> Iterator[str]:
        """Read some hundred keys at a time.

        Example:
            >>> cache.set_many({"user:1": "Ada", "page:1": "home"})
            True
            >>> list(cache.keys("user:*"))
            ['user:1']
        """
        return iter_in_batches(self.asynchronous.keys(pattern))

    @copy_description(manager.CacheManager.subscribe)
    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Call the handler in the thread of the event."""
        return self.asynchronous.subscribe(kind, handler)

    def __enter__(self) -> Self:
        portal.call(self.asynchronous.__aenter__)
        return self

    async def __aenter__(self) -> NoReturn:
        raise TypeError("this cache needs `with`; aiocache_pe.CacheManager supports `async with`")

    async def __aexit__(self, *error: object) -> None:
        """Do nothing: `__aenter__` has raised."""

    def __exit__(self, *error: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CacheManager) and self.asynchronous is other.asynchronous

    def __hash__(self) -> int:
        return hash(self.asynchronous)

    def __repr__(self) -> str:
        return f"sync.{self.asynchronous!r}"


@contextmanager
def _hold(lock: KeyLock) -> Generator[None]:
    # An interrupted call may have acquired the lock, so it is within the block.
    try:
        portal.call(lock.__aenter__)
        yield
    finally:
        portal.call(lock.__aexit__)


def get_async_manager(cache: object) -> manager.CacheManager:
    """Return the async manager of an async or blocking manager.

    Raises:
        TypeError: the argument is no manager.
    """
    if isinstance(cache, CacheManager):
        return cache.asynchronous
    if not isinstance(cache, manager.CacheManager):
        raise TypeError(
            f"cache must be a CacheManager; got {type(cache).__name__}: {cache!r:.80}; "
            "CacheManager(...) makes one of a name, a URL or a backend"
        )
    return cache
