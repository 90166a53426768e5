"""Public cache manager: checks its arguments and calls the loader; it has no cache logic."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, Unpack, cast, overload

from aiocache_pe import events
from aiocache_pe.backends.base import Backend
from aiocache_pe.cache.factory import StoreSettings, build, resolve_namespace
from aiocache_pe.engine import atomic_updates, bulk_operations
from aiocache_pe.engine.stats import CacheEntry, CacheStats
from aiocache_pe.keys.store_keys import check_key, check_mapping, check_tags
from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.options import LoadOptions
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default
from aiocache_pe.ttl import TTL, Duration, parse_ttl

if TYPE_CHECKING:  # the decorators use the manager
    from aiocache_pe.decorators.cached import CachedDecorator

T = TypeVar("T")
E = TypeVar("E", bound=events.Event)
AsyncFactory = Callable[..., Awaitable[T]]
PlainFactory = Callable[..., T]
FactoryTTL = TTL | Default | Callable[[T], TTL]
_BLOCKING_FORM = "the blocking cache, aiocache_pe.sync.CacheManager,"


def load_decorator() -> Callable[..., Any]:
    """Import and return `aiocache_pe.cached`, which is above the managers."""
    cached: Callable[..., Any] = import_module("aiocache_pe.decorators.cached").cached
    return cached


class CacheManager:
    """A cache over a store, for any number of tasks, threads and event loops.

    A manager works at once and needs no set-up. ``async with`` or `close` releases its resources;
    without either, no data is lost. A store that fails never breaks a call: a read becomes a miss,
    a write is not carried out, and both are counted.

    Args:
        backend: ``"file"``, ``"redis"``, ``"memory"``, ``"null"``, a URL
            (``file:///var/cache/app``, ``redis://host:6379/0``, ``rediss://``,
            ``redis+sentinel://``, ``redis+cluster://``, ``memory://``), a registered
            scheme, or a `Backend` object, which the caller closes. Default:
            ``AIOCACHE_PE_BACKEND``, else ``"file"``.
        directory: directory of the file store. Default: ``AIOCACHE_PE_DIRECTORY``, else
            ``data/cache``.
        redis_url: URL of a Redis server, which selects the Redis store. Default for ``"redis"``:
            ``REDIS_URL``, else ``redis://localhost:6379/0``.
        namespace: keeps the keys of several users of one store apart. Default:
            ``AIOCACHE_PE_NAMESPACE``, else ``"default"``.
        ttl: lifetime of entries without a lifetime of their own; ``None`` for no expiry.
        max_entries: maximum number of entries in the file or the memory store, in all
            namespaces.
        max_bytes: maximum size of the entries in bytes: of the files in the file store, of all
            that entries take in the memory store. A larger single entry is not stored.
        eviction: chooses the entries to evict when the store is full: ``"adaptive"`` (the
            default), ``"lfu"`` or ``"lru"``, and in memory also ``"fifo"``, ``"lirs"``,
            ``"s3fifo"`` or ``"tinylfu"``; see ``docs/eviction.md``.
        memory_max_bytes: maximum size of the memory tier in front of the store; 0 for no tier.
        compression: ``"gzip"``, ``"zstd"`` (an extra) or ``None``.
        secret: signs pickles; a file store has its own. Default: ``AIOCACHE_PE_SECRET``.
        fallback: the store to use while Redis is unavailable: ``"file"`` or ``None``.
        prices: a `Price` for each model, for ``money_saved`` in the stats. Default: the JSON
            file that ``AIOCACHE_PE_PRICES`` names, if it is set.
        clock: the time; tests pass `aiocache_pe.testing.FakeClock`.

    Raises:
        ConfigurationError: a setting is invalid; the message has the accepted values.

    Example:
        >>> async def main():
        ...     async with CacheManager("memory") as cache:
        ...         await cache.set("greeting", "hello", ttl="1h")
        ...         return await cache.get("greeting")
        >>> run(main())
        'hello'
    """

    def __init__(
        self,
        backend: str | Backend | None = None,
        *,
        namespace: str | None = None,
        ttl: TTL = None,
        **settings: Unpack[StoreSettings],
    ) -> None:
        self._shared = build(backend, settings)
        self._is_view = False
        self.loader = Loader(self._shared, resolve_namespace(namespace), parse_ttl(ttl))
        if os.environ.get("AIOCACHE_PE_INSTRUMENT"):
            import_module("aiocache_pe.metrics.instrument").instrument_by_environment(self)

    def namespace(self, name: str) -> CacheManager:
        """Return a view of another namespace, over the same store and memory.

        Args:
            name: the namespace, 1 to 200 characters of any kind.

        Returns:
            A manager with its own keys, stats and `clear`.

        Example:
            >>> run(cache.namespace("search").exists("greeting"))
            False
        """
        view = object.__new__(type(self))
        view._shared, view._is_view = self._shared, True
        view.loader = self.loader.for_namespace(name)
        return view

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key.

        Args:
            key: any text up to 65,536 characters.
            default: the result if there is no live entry.

        Returns:
            The value, equal to the stored one and of its type; the caller may change it. A
            stored ``None`` is returned as ``None``, whatever ``default`` is.

        Example:
            >>> run(cache.get("absent", "nothing"))
            'nothing'
        """
        value = self.loader.peek(key, default)
        return await self.loader.get(key, default) if value is PENDING else value

    async def set(
        self, key: str, value: Any, ttl: TTL | Default = DEFAULT, *, tags: Iterable[str] = ()
    ) -> bool:
        """Store a value, and replace an existing one.

        Args:
            key: any text up to 65,536 characters.
            value: any value that can be restored exactly, equal and of its type.
            ttl: seconds, a ``timedelta``, a string such as ``"1h30m"``, or ``None`` for no
                expiry; by default the manager's ``ttl``.
            tags: names under which `delete_by_tag` finds the entry.

        Returns:
            Whether the value is stored. A failure of the store is counted and gives ``False``.

        Raises:
            InvalidTTLError: the lifetime is invalid.
            SerializationError: the value cannot be stored exactly.

        Example:
            >>> run(cache.set("user:1", {"name": "Ada"}, ttl="30m", tags=["users"]))
            True
        """
        return await self.set_many({key: value}, ttl, tags=tags)

    async def add(
        self, key: str, value: Any, ttl: TTL | Default = DEFAULT, *, tags: Iterable[str] = ()
    ) -> bool:
        """Store a value if the key has no entry; of several callers one succeeds.

        Arguments and errors are those of `set`.

        Returns:
            Whether this call stored the value.

        Example:
            >>> run(cache.add("job", "first"))
            True
            >>> run(cache.add("job", "second"))
            False
        """
        namespace = self.loader.open_namespace()
        mapping = {check_key(key): value}
        [item] = await self.loader.make_items(mapping, self.loader.resolve_ttl(ttl), tags)
        return await atomic_updates.add(namespace, item)

    async def delete(self, key: str) -> bool:
        """Remove an entry, and return whether there was a live one.

        Example:
            >>> run(cache.delete("absent"))
            False
        """
        return await self.delete_many([check_key(key)]) > 0

    async def exists(self, key: str) -> bool:
        """Return whether a key has a live entry; this does not count as a read.

        Example:
            >>> run(cache.exists("absent"))
            False
        """
        return await self.get_ttl(key) is not None

    async def get_ttl(self, key: str) -> float | None:
        """Return the remaining lifetime of an entry in seconds.

        Returns:
            The seconds, ``math.inf`` without expiry, ``None`` if there is no live entry.

        Example:
            >>> run(cache.set("greeting", "hello"))
            True
            >>> run(cache.get_ttl("greeting"))
            inf
        """
        namespace = self.loader.open_namespace()
        entry = await namespace.get_entry(namespace.prefix + check_key(key))
        if entry is None:
            return None
        seconds = entry.expires_at - namespace.time()
        return seconds if seconds > 0 else None

    async def touch(self, key: str, ttl: TTL | Default = DEFAULT) -> bool:
        """Give an entry a new lifetime from now on, and return whether there is an entry.

        Example:
            >>> run(cache.touch("absent", "1h"))
            False
        """
        namespace = self.loader.open_namespace()
        store_key = namespace.prefix + check_key(key)
        return await atomic_updates.touch(namespace, store_key, self.loader.resolve_ttl(ttl))

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove an entry and return its value, or ``default``; of several callers one gets it.

        Example:
            >>> run(cache.pop("absent", "nothing"))
            'nothing'
        """
        namespace = self.loader.open_namespace()
        value = await atomic_updates.pop(namespace, namespace.prefix + check_key(key))
        return default if value is MISSING else value

    async def incr(
        self, key: str, delta: int = 1, *, initial: int = 0, ttl: TTL | Default = DEFAULT
    ) -> int:
        """Add to an integer, in one atomic step for all processes.

        Args:
            key: as for `set`.
            delta: the number to add.
            initial: the number to start from if there is no entry.
            ttl: the lifetime of a new entry; an existing entry keeps its own.

        Returns:
            The new number.

        Raises:
            TypeError: a number is no int, or the entry holds a value of another type.
            BackendError: the store failed, so the correct number is unknown.

        Example:
            >>> run(cache.incr("visits", initial=100))
            101
        """
        namespace = self.loader.open_namespace()
        store_key = namespace.prefix + check_key(key)
        seconds = self.loader.resolve_ttl(ttl)
        return await atomic_updates.increment(namespace, store_key, delta, initial, seconds)

    async def decr(
        self, key: str, delta: int = 1, *, initial: int = 0, ttl: TTL | Default = DEFAULT
    ) -> int:
        """Subtract from an integer; see `incr`.

        Example:
            >>> run(cache.decr("stock", 2, initial=10))
            8
        """
        negative = -delta if type(delta) is int else delta  # `incr` refuses other types
        return await self.incr(key, negative, initial=initial, ttl=ttl)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of several keys, read in one round trip; absent keys are missing.

        Example:
            >>> run(cache.set("one", 1))
            True
            >>> run(cache.get_many(["one", "two"]))
            {'one': 1}
        """
        return await self.loader.get_many(await self.loader.peek_many_in_steps(keys))

    async def set_many(
        self, mapping: Mapping[str, Any], ttl: TTL | Default = DEFAULT, *, tags: Iterable[str] = ()
    ) -> bool:
        """Store several values in one round trip; see `set`.

        Returns:
            Whether all values are stored.

        Example:
            >>> run(cache.set_many({"one": 1, "two": 2}, ttl="1h"))
            True
        """
        namespace = self.loader.open_namespace()
        check_mapping(mapping)
        items = await self.loader.make_items(mapping, self.loader.resolve_ttl(ttl), tags)
        return not items or await namespace.put(items) is not None

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove several entries in one round trip, and return the number of live ones.

        Example:
            >>> run(cache.delete_many(["one", "two"]))
            0
        """
        namespace = self.loader.open_namespace()
        store_keys = await self.loader.make_store_keys(keys)
        return await namespace.delete(store_keys) if store_keys else 0

    @overload
    async def get_or_set(
        self,
        key: str,
        factory: AsyncFactory[T],
        ttl: FactoryTTL[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...

    @overload
    async def get_or_set(
        self,
        key: str,
        factory: PlainFactory[T],
        ttl: FactoryTTL[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...

    async def get_or_set(
        self,
        key: str,
        factory: Any,
        ttl: Any = DEFAULT,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> Any:
        """Return the value of a key; if there is none, compute it once for all callers.

        A cancelled caller does not affect the others. An exception of the factory reaches all
        callers that wait in this event loop, and it is not stored.

        Args:
            key: any text up to 65,536 characters.
            factory: computes the value; a function, or an ``async`` one. A parameter ``previous``
                gets the expired value with its age (`Previous`).
            ttl: as for `set`, or a function of the value that returns such a lifetime.
            tags: as for `set`. If one of them is deleted while the factory runs, the value is
                returned, but it is not served to other callers.
            options: `stale_ttl`, `refresh_ahead`, `jitter`, `soft_timeout`, `hard_timeout`,
                `lock` and `error_ttl`; see `aiocache_pe.loading.options.LoadOptions`.

        Returns:
            The value; the caller may change it.

        Raises:
            LoadTimeoutError: the value did not arrive within ``hard_timeout``.
            ConfigurationError: an option is invalid.
            Exception: the factory raised it.

        Example:
            >>> run(cache.get_or_set("answer", lambda: 42, ttl="1d"))
            42
        """
        request = self.loader.request(key, factory, ttl, tags, options)
        return (await self.loader.get_or_compute(request, "get_or_set")).value

    def lock(self, key: str, *, wait: bool | Duration = True) -> AbstractAsyncContextManager[None]:
        """Return a lock for an ``async with`` block, which excludes all others that use the store.

        The lock is released at the end of the block, and when its process dies: at once in the file
        store, and after three seconds in Redis. It is independent of the entry: other callers may
        read, write and compute the key. While Redis is away, the lock holds among the processes
        that share the files of the fallback.

        Args:
            key: any text up to 65,536 characters.
            wait: how long to wait for the present holder: seconds, a ``timedelta`` or a string such
                as ``"30s"``; ``True`` is five minutes, ``False`` does not wait.

        Raises:
            LockTimeoutError: on entering, the holder did not release the lock in time.
            DeadlockError: on entering, the same task holds the lock.
            BackendError: on entering, the store failed, so another caller may hold the lock.
            ConfigurationError: the store has no leases.

        Example:
            >>> async def main():
            ...     async with cache.lock("report", wait="30s"):
            ...         return "no other task, thread or process is here"
            >>> run(main())
            'no other task, thread or process is here'
        """
        return self.loader.make_lock(key, wait=wait)

    @property
    def cached(self) -> CachedDecorator:
        """Decorator `aiocache_pe.cached` with this cache: ``@cache.cached(ttl="1h")``.

        Example:
            >>> @cache.cached(ttl="1h")
            ... async def double(number: int) -> int:
            ...     return 2 * number
            >>> run(double(21))
            42
        """
        return cast("CachedDecorator", partial(load_decorator(), cache=self))

    async def invalidate(self, pattern: str) -> int:
        """Remove the entries that match a glob (``*``, ``?``, ``[abc]``), and return their number.

        Example:
            >>> run(cache.invalidate("session:*"))
            0
        """
        return await bulk_operations.invalidate(self.loader.open_namespace(), check_key(pattern))

    async def delete_by_tag(self, *tags: str) -> bool:
        """Invalidate all entries that carry one of the tags, in the time of one small write.

        Returns:
            Whether it is done. A failure of the store is counted and gives ``False``.

        Example:
            >>> run(cache.set("user:1", "Ada", tags=["users"]))
            True
            >>> run(cache.delete_by_tag("users"))
            True
            >>> run(cache.exists("user:1"))
            False
        """
        return await self.loader.open_namespace().renew_tags(check_tags(tags))

    async def clear(self) -> int:
        """Remove all entries of this namespace, and return their number.

        Example:
            >>> run(cache.set("greeting", "hello"))
            True
            >>> run(cache.clear())
            1
        """
        return await bulk_operations.clear(self.loader.open_namespace())

    async def cleanup_expired(self) -> int:
        """Remove expired and invalidated entries, then enforce the bounds of the store.

        Returns:
            The number of expired and invalidated entries.

        Example:
            >>> run(cache.cleanup_expired())
            0
        """
        return await bulk_operations.remove_expired(self.loader.open_namespace())

    async def keys(self, pattern: str = "*") -> AsyncGenerator[str, None]:
        """Yield the keys of live entries that match a glob; the store is read in batches.

        Example:
            >>> async def main():
            ...     await cache.set_many({"user:1": "Ada", "page:1": "home"})
            ...     return [key async for key in cache.keys("user:*")]
            >>> run(main())
            ['user:1']
        """
        namespace = self.loader.open_namespace()
        async for key in bulk_operations.iter_live_keys(namespace, check_key(pattern)):
            yield key

    async def entry(self, key: str) -> CacheEntry | None:
        """Return a live entry with all its facts, or ``None``; this does not count as a read.

        Example:
            >>> run(cache.set("user:1", "Ada", tags=["users"]))
            True
            >>> run(cache.entry("user:1")).tags
            ('users',)
        """
        namespace = self.loader.open_namespace()
        await self._shared.reporter.flush()
        return await bulk_operations.describe_entry(namespace, namespace.prefix + check_key(key))

    async def get_stats(self) -> CacheStats:
        """Return the counters of this namespace, over all processes and restarts, and its size.

        Example:
            >>> run(cache.get("absent"))
            >>> run(cache.get_stats()).misses
            1
        """
        return await self._shared.reporter.read_stats(self.loader.open_namespace())

    async def namespaces(self) -> list[str]:
        """Return the names of all namespaces of the store that have entries, sorted.

        Expired entries count until they are removed.

        Example:
            >>> run(cache.namespaces())
            []
        """
        return await bulk_operations.list_namespaces(self.loader.open_namespace())

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Call a function with every event of a kind; see `aiocache_pe.events`.

        Returns:
            A function that ends the subscription.

        Example:
            >>> from aiocache_pe import events
            >>> end = cache.subscribe(events.Miss, lambda event: print("missed", event.key))
            >>> run(cache.get("absent"))
            missed absent
            >>> end()
        """
        return self.loader.event_bus.subscribe(kind, handler)

    async def close(self) -> None:
        """Write the counters to the store and release all resources.

        A view of a namespace only writes the counters.

        Example:
            >>> run(cache.close())
        """
        await self._shared.close(only_report=self._is_view)

    # Habits of blocking code get an error that says what to write.

    def __enter__(self) -> NoReturn:
        raise TypeError(f"this cache needs `async with`; {_BLOCKING_FORM} supports `with`")

    def __exit__(self, *error: object) -> None:
        """Do nothing: `__enter__` has raised."""

    def __contains__(self, key: object) -> NoReturn:
        raise TypeError(f"write `await cache.exists(key)`; {_BLOCKING_FORM} supports `in`")

    def __getitem__(self, key: object) -> NoReturn:
        raise TypeError(f"write `await cache.get(key)`; {_BLOCKING_FORM} supports `cache[key]`")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise TypeError(f"write `await cache.set(key, value)`; {_BLOCKING_FORM} supports `[]`")

    def __delitem__(self, key: object) -> NoReturn:
        raise TypeError(f"write `await cache.delete(key)`; {_BLOCKING_FORM} supports `del`")

    async def __aenter__(self) -> Self:
        self._shared.is_closed = False
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    # Copies and pickles: a copy is the same cache, and a pickle restores one over the same store.
    # `multiprocessing` pickles the objects that it sends to processes that it did not fork. A
    # pickle holds the settings as they were given: a relative directory is relative to the other
    # process, and the pickle contains a secret, or the password of a URL.

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        settings, backend = self._shared.settings, self._shared.engine.backend
        if not isinstance(settings.get("backend"), str | None) or backend.name == "memory":
            raise TypeError(
                "backend of a pickled cache must be the name or URL of a shared store; got "
                f"{backend!r:.80}, which exists in this process only"
            )
        view = {"namespace": self.loader.namespace.name, "ttl": self.loader.resolve_ttl(DEFAULT)}
        return {**settings, **view}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self)(**state).__dict__)

    def __repr__(self) -> str:
        namespace = self.loader.namespace.name
        return f"CacheManager({self._shared.engine.backend!r}, namespace={namespace!r})"
