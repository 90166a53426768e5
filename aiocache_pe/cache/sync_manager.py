"""The blocking twin of the manager: the same verbs, for threads that have no event loop.

Each verb is the async one, called in the portal's loop, so there is no second
implementation that could differ. Reading what is in memory needs no loop and stays in
the caller's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial, update_wrapper
from inspect import getdoc
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from aiocache_pe import context, events
from aiocache_pe.cache import manager
from aiocache_pe.cache.manager import Later, Now, TTLOf
from aiocache_pe.loading.blocking import iter_batches, load_request
from aiocache_pe.loading.options import LoadOptions
from aiocache_pe.runtime.portal import portal
from aiocache_pe.sentinels import DEFAULT, PENDING, Sentinel

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=events.Event)
R = TypeVar("R", covariant=True)  # noqa: PLC0105 - as it is called everywhere else


class BlockingVerb(Protocol[P, R]):
    """A method with the parameters of an async one, that blocks."""

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[Concatenate[Any, P], R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[P, R]: ...


def _blocking(
    verb: Callable[Concatenate[manager.CacheManager, P], Coroutine[Any, Any, T]],
) -> BlockingVerb[P, T]:
    """The method that calls an async verb, and waits for its result."""

    def call(self: CacheManager, *args: P.args, **kwargs: P.kwargs) -> T:
        return portal.call(partial(verb, self.asynchronous, *args, **kwargs))

    return cast("BlockingVerb[P, T]", _like(verb)(call))


def _like(verb: Callable[..., Any]) -> Callable[[F], F]:
    """Give a method the signature and the description of the verb that it stands for."""

    def describe(method: F) -> F:
        note = method.__doc__ or "Blocks until it is done."
        update_wrapper(method, verb)
        method.__module__ = __name__
        method.__doc__ = f"{(getdoc(verb) or '').partition('Example:')[0].rstrip()}\n\n{note}"
        return method

    return describe


def _taking(
    kind: Callable[P, object],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Have a constructor take what another class's takes."""

    def describe(method: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        return cast("Callable[Concatenate[Any, P], None]", _like(kind.__init__)(method))

    return describe


class CacheManager:
    """A cache over a store, blocking; everything else is as with the async manager.

    It may be used in any number of threads, in a thread whose event loop is running
    (which it blocks), after ``fork``, and together with the async manager it stands for.
    A value that is in memory is read without leaving the thread; all else is done by one
    thread for the whole process, which begins when it is needed and ends with the program.

    Takes the arguments of `aiocache_pe.CacheManager`.

    Raises:
        ConfigurationError: a setting cannot work; it says which and what is accepted.
        DeadlockError: a verb was called by the thread that would have to do its work.

    Attributes:
        asynchronous: the async manager: the same store, memory and counters.

    Example:
        >>> from aiocache_pe.sync import CacheManager
        >>> with CacheManager("memory") as cache:
        ...     cache.set("greeting", "hello", ttl="1h")
        ...     cache.get("greeting")
        True
        'hello'
    """

    asynchronous: manager.CacheManager

    @_taking(manager.CacheManager)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.asynchronous = manager.CacheManager(*args, **kwargs)

    @classmethod
    def of(cls, cache: manager.CacheManager) -> Self:
        """The twin of a manager that is there already.

        Example:
            >>> CacheManager.of(cache).asynchronous is cache
            True
        """
        twin = cls.__new__(cls)
        twin.asynchronous = cache
        return twin

    def namespace(self, name: str) -> Self:
        """A view of another namespace: the same store and memory, keys of its own."""
        return self.of(self.asynchronous.namespace(name))

    @_like(manager.CacheManager.get)
    def get(self, key: str, default: Any = None) -> Any:
        """Does not leave this thread if the value is in memory."""
        loader = self.asynchronous.loader
        value = loader.peek(key, default)
        return portal.call(loader.get, key, default) if value is PENDING else value

    @_like(manager.CacheManager.get_many)
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Does not leave this thread if all values are in memory."""
        loader = self.asynchronous.loader
        found = loader.peek_many(keys)
        if any(value is PENDING for value in found.values()):
            return portal.call(loader.get_many, found)
        return loader.drop_missing(found)

    set = _blocking(manager.CacheManager.set)
    add = _blocking(manager.CacheManager.add)
    delete = _blocking(manager.CacheManager.delete)
    exists = _blocking(manager.CacheManager.exists)
    get_ttl = _blocking(manager.CacheManager.get_ttl)
    touch = _blocking(manager.CacheManager.touch)
    pop = _blocking(manager.CacheManager.pop)
    incr = _blocking(manager.CacheManager.incr)
    decr = _blocking(manager.CacheManager.decr)
    set_many = _blocking(manager.CacheManager.set_many)
    delete_many = _blocking(manager.CacheManager.delete_many)
    invalidate = _blocking(manager.CacheManager.invalidate)
    delete_by_tag = _blocking(manager.CacheManager.delete_by_tag)
    clear = _blocking(manager.CacheManager.clear)
    cleanup_expired = _blocking(manager.CacheManager.cleanup_expired)
    entry = _blocking(manager.CacheManager.entry)
    get_stats = _blocking(manager.CacheManager.get_stats)
    close = _blocking(manager.CacheManager.close)

    @overload
    def get_or_set(
        self,
        key: str,
        factory: Later[T],
        ttl: TTLOf[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...
    @overload
    def get_or_set(
        self,
        key: str,
        factory: Now[T],
        ttl: TTLOf[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...
    def get_or_set(
        self,
        key: str,
        factory: Any,
        ttl: Any = DEFAULT,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> Any:
        """The value of a key, computed if there is none, once for all threads that ask.

        Args:
            key: any text up to 65,536 characters.
            factory: computes the value, in this thread; an async one, in the portal's loop.
                In the background, and under a ``hard_timeout`` or ``soft_timeout``, which
                no thread can obey that computes, it is called in another thread.
            ttl: as for `set`, or a function of the value that returns such.
            tags: as for `set`.
            options: as for the async one.

        Returns:
            The value, yours to change.

        Raises:
            LoadTimeoutError: there was none within ``hard_timeout``.
            ConfigurationError: an option cannot work.
            Whatever the factory raised, which is not stored.
        """
        loader = self.asynchronous.loader
        request = loader.request(key, factory, ttl, tags, options)
        if context.current_mode() is None:
            value = loader.peek_entry(request.key, request.policy)
            if not isinstance(value, Sentinel):
                return value
        return load_request(loader.get_or_compute, request).value

    @_like(manager.CacheManager.keys)
    def keys(self, pattern: str = "*") -> Iterator[str]:
        """Reads some hundred keys at a time."""
        return iter_batches(self.asynchronous.keys(pattern))

    @_like(manager.CacheManager.subscribe)
    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """The handler is called in whatever thread the event happens in."""
        return self.asynchronous.subscribe(kind, handler)

    def __enter__(self) -> Self:
        portal.call(self.asynchronous.__aenter__)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CacheManager) and self.asynchronous is other.asynchronous

    def __hash__(self) -> int:
        return hash(self.asynchronous)

    def __repr__(self) -> str:
        return f"sync.{self.asynchronous!r}"


def asynchronous(cache: object) -> manager.CacheManager:
    """The async manager of either kind.

    Raises:
        TypeError: it is no manager.
    """
    if isinstance(cache, CacheManager):
        return cache.asynchronous
    if not isinstance(cache, manager.CacheManager):
        raise TypeError(f"cache is a CacheManager, not {type(cache).__name__}: {cache!r:.80}")
    return cache
