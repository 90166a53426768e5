"""`CacheManager`: what a user of the library holds in hand.

It checks what it is given, says it in the words of `Space`, and holds no cache logic.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from aiocache_pe import events
from aiocache_pe.backends.base import Backend
from aiocache_pe.cache import factory as factory_module
from aiocache_pe.cache.pickling import PicklableManager
from aiocache_pe.clock import Clock
from aiocache_pe.engine import atomic_updates, bulk_operations
from aiocache_pe.engine.stats import CacheEntry, CacheStats
from aiocache_pe.engine.token_savings import Prices
from aiocache_pe.keys.store_keys import check_key, check_keys, check_mapping, check_tags
from aiocache_pe.loading.loader import Loader
from aiocache_pe.loading.options import LoadOptions
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default
from aiocache_pe.ttl import TTL, parse_ttl

T = TypeVar("T")
E = TypeVar("E", bound=events.Event)
Later = Callable[[], Awaitable[T]]
Now = Callable[[], T]
TTLOf = TTL | Default | Callable[[T], TTL]


class CacheManager(PicklableManager):
    """A cache over a store, for any number of tasks, threads and event loops.

    It works at once and needs no set-up; ``async with`` or `close` gives back what it
    holds, and without either nothing is lost. A store that fails never breaks a call:
    a read becomes a miss, a write is not done, and both are counted.

    Args:
        backend: ``"file"``, ``"redis"``, ``"memory"``, ``"null"``, a URL
            (``file:///var/cache/app``, ``redis://host:6379/0``, ``rediss://``,
            ``redis+sentinel://``, ``redis+cluster://``, ``memory://``), a registered
            scheme, or a `Backend` object, which is then yours to close. Default:
            ``AIOCACHE_PE_BACKEND``, else ``"file"``.
        directory: where files go. Default: ``AIOCACHE_PE_DIRECTORY``, else ``data/cache``.
        redis_url: the Redis server, which is the store then. Default for ``"redis"``:
            ``REDIS_URL``, else ``redis://localhost:6379/0``.
        namespace: keeps the keys of several users of one store apart. Default:
            ``AIOCACHE_PE_NAMESPACE``, else ``"default"``.
        ttl: how long entries live when they are not given a time of their own.
        max_entries: how many entries the file or the memory store may hold, in all namespaces.
        max_bytes: what they may weigh: the files of the file store, or keys and payloads
            of the memory store, in bytes. An entry that alone is heavier is not stored.
        eviction: what goes when there is no room: ``"adaptive"`` (the default),
            ``"fifo"``, ``"lfu"``, ``"lru"``, ``"s3fifo"``, and in memory only ``"lirs"``
            and ``"tinylfu"``; see ``docs/eviction.md``.
        memory_max_bytes: bound of the memory tier in front of the store; 0 for none.
        compression: ``"gzip"``, ``"zstd"`` (an extra) or ``None``.
        secret: signs pickles; a file store has its own. Default: ``AIOCACHE_PE_SECRET``.
        fallback: the store to use while Redis is down, ``"file"`` or ``None``.
        prices: what models cost (`Price`), for ``money_saved`` in the stats. Default: the
            file of JSON that ``AIOCACHE_PE_PRICES`` names, if it does.
        clock: the time; tests hand in `aiocache_pe.testing.FakeClock`.

    Raises:
        ConfigurationError: a setting cannot work; it says which and what is accepted.

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
        directory: str | os.PathLike[str] | None = None,
        redis_url: str | None = None,
        namespace: str | None = None,
        ttl: TTL = None,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        eviction: str | None = None,
        memory_max_bytes: int = 64 * 1024 * 1024,
        compression: str | None = None,
        secret: str | bytes | None = None,
        fallback: Literal["file"] | None = "file",
        prices: Prices | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._shared = factory_module.build(
            backend=backend,
            directory=directory,
            redis_url=redis_url,
            max_entries=max_entries,
            max_bytes=max_bytes,
            eviction=eviction,
            memory_max_bytes=memory_max_bytes,
            compression=compression,
            secret=secret,
            fallback=fallback,
            prices=prices,
            clock=clock,
        )
        self._is_view = False
        self.loader = Loader(self._shared, factory_module.namespace(namespace), parse_ttl(ttl))

    def namespace(self, name: str) -> CacheManager:
        """A view of another namespace: the same store and memory, keys of its own.

        Args:
            name: the namespace, 1 to 200 characters of any kind.

        Returns:
            A manager whose keys, stats and `clear` concern that namespace only.

        Example:
            >>> run(cache.namespace("search").exists("greeting"))
            False
        """
        view = object.__new__(type(self))
        view._shared, view._is_view = self._shared, True
        view.loader = self.loader.for_namespace(name)
        return view

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of a key.

        Args:
            key: any text up to 65,536 characters.
            default: what to return when there is no live entry.

        Returns:
            The value, equal to what was stored and of its type, and yours to change. A
            stored ``None`` is returned as ``None`` also where ``default`` is another.

        Example:
            >>> run(cache.get("absent", "nothing"))
            'nothing'
        """
        value = self.loader.peek(key, default)
        return await self.loader.get(key, default) if value is PENDING else value

    async def set(
        self,
        key: str,
        value: Any,
        ttl: TTL | Default = DEFAULT,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Store a value, in the place of any other.

        Args:
            key: any text up to 65,536 characters.
            value: anything that comes back equal and of its type.
            ttl: seconds, a ``timedelta``, a string such as ``"1h30m"``, or ``None`` for
                ever; by default the manager's.
            tags: names by which `delete_by_tag` finds the entry.

        Returns:
            Whether it was stored; not when the store failed, which is counted.

        Raises:
            InvalidTTLError: the time to live means nothing.
            SerializationError: the value cannot be stored exactly.

        Example:
            >>> run(cache.set("user:1", {"name": "Ada"}, ttl="30m", tags=["users"]))
            True
        """
        return await self.set_many({key: value}, ttl, tags=tags)

    async def add(
        self, key: str, value: Any, ttl: TTL | Default = DEFAULT, *, tags: Iterable[str] = ()
    ) -> bool:
        """Store a value only if the key has none; of several callers one succeeds.

        Whether this call stored it; arguments and errors are those of `set`.
        """
        space = self.loader.open_namespace()
        [item] = await self.loader.make_items(
            {check_key(key): value}, self.loader.resolve_ttl(ttl), tags
        )
        return await atomic_updates.add(space, item)

    async def delete(self, key: str) -> bool:
        """Remove an entry; whether there was a live one."""
        return await self.delete_many([check_key(key)]) > 0

    async def exists(self, key: str) -> bool:
        """Whether a key has a live entry; does not count as a read of it."""
        return await self.get_ttl(key) is not None

    async def get_ttl(self, key: str) -> float | None:
        """How long an entry will live, in seconds.

        Returns:
            The seconds left, ``math.inf`` if it never expires, ``None`` if there is none.
        """
        space = self.loader.open_namespace()
        slot = await space.get_entry(space.prefix + check_key(key))
        if slot is None:
            return None
        left = slot.expires_at - self._shared.engine.clock.time()
        return left if left > 0 else None

    async def touch(self, key: str, ttl: TTL | Default = DEFAULT) -> bool:
        """Give an entry a new time to live, counted from now; whether there was one."""
        space = self.loader.open_namespace()
        return await atomic_updates.touch(
            space, space.prefix + check_key(key), self.loader.resolve_ttl(ttl)
        )

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove an entry and return its value, or ``default``; of several callers one gets it."""
        space = self.loader.open_namespace()
        value = await atomic_updates.pop(space, space.prefix + check_key(key))
        return default if value is MISSING else value

    async def incr(
        self, key: str, delta: int = 1, *, initial: int = 0, ttl: TTL | Default = DEFAULT
    ) -> int:
        """Add to a number, in one step for all processes.

        Args:
            key: as for `set`.
            delta: what to add.
            initial: what to start from when there is no entry.
            ttl: of an entry that is made; one that is there keeps its own.

        Returns:
            The new number.

        Raises:
            TypeError: the entry holds something else than an int.
            BackendError: the store failed; a made-up number would be a lie.

        Example:
            >>> run(cache.incr("visits", initial=100))
            101
        """
        space = self.loader.open_namespace()
        key = space.prefix + check_key(key)
        return await atomic_updates.increment(
            space, key, delta, initial, self.loader.resolve_ttl(ttl)
        )

    async def decr(
        self, key: str, delta: int = 1, *, initial: int = 0, ttl: TTL | Default = DEFAULT
    ) -> int:
        """Subtract from a number; see `incr`."""
        negative = -delta if type(delta) is int else delta  # `incr` says what is wrong with it
        return await self.incr(key, negative, initial=initial, ttl=ttl)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of several keys, in one round trip; only those found are in the answer."""
        return await self.loader.get_many(self.loader.peek_many(keys))

    async def set_many(
        self,
        mapping: Mapping[str, Any],
        ttl: TTL | Default = DEFAULT,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Store several values, in one round trip; see `set`.

        Returns:
            Whether all were stored.
        """
        space = self.loader.open_namespace()
        check_mapping(mapping)
        items = await self.loader.make_items(mapping, self.loader.resolve_ttl(ttl), tags)
        return not items or await space.put(items) is not None

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove several entries, in one round trip; how many live ones there were."""
        space = self.loader.open_namespace()
        found = [space.prefix + key for key in check_keys(keys)]
        return await space.delete(found) if found else 0

    @overload
    async def get_or_set(
        self,
        key: str,
        factory: Later[T],
        ttl: TTLOf[T] = ...,
        *,
        tags: Iterable[str] = (),
        **options: Unpack[LoadOptions],
    ) -> T: ...

    @overload
    async def get_or_set(
        self,
        key: str,
        factory: Now[T],
        ttl: TTLOf[T] = ...,
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
        """The value of a key, computed if there is none, once for all who ask for it.

        One that is cancelled harms nobody; what the factory raises reaches all who wait
        in this loop and is not stored.

        Args:
            key: any text up to 65,536 characters.
            factory: computes the value; a function, or an ``async`` one.
            ttl: as for `set`, or a function of the value that returns such.
            tags: as for `set`. If one is deleted while the factory runs, the value is
                returned but not served to others.
            options: `stale_ttl`, `refresh_ahead`, `jitter`, `soft_timeout`, `hard_timeout`
                and `lock`, which `aiocache_pe.loading.options.LoadOptions` explains.

        Returns:
            The value, yours to change.

        Raises:
            LoadTimeoutError: there was none within ``hard_timeout``.
            ConfigurationError: an option cannot work.
            Whatever the factory raised.

        Example:
            >>> run(cache.get_or_set("answer", lambda: 42, ttl="1d"))
            42
        """
        request = self.loader.request(key, factory, ttl, tags, options)
        return (await self.loader.get_or_compute(request)).value

    async def invalidate(self, pattern: str) -> int:
        """Remove the entries whose key matches a glob (``*``, ``?``, ``[abc]``); how many.

        Example:
            >>> run(cache.invalidate("session:*"))
            0
        """
        return await bulk_operations.invalidate(self.loader.open_namespace(), check_key(pattern))

    async def delete_by_tag(self, *tags: str) -> bool:
        """Remove all entries that carry one of the tags, in the time of one small write.

        Whether it was done; not when the store failed, which is counted.
        """
        space = self.loader.open_namespace()
        work = self._shared.engine.renew_tags(space.prefix, check_tags(tags))
        return await space.attempt("write", work, None) is not None

    async def clear(self) -> int:
        """Remove all entries of this namespace; how many there were."""
        return await bulk_operations.clear(self.loader.open_namespace())

    async def cleanup_expired(self) -> int:
        """Remove what is expired, or dead by its tags; how many. Then enforce the bounds."""
        return await bulk_operations.remove_expired(self.loader.open_namespace())

    async def keys(self, pattern: str = "*") -> AsyncGenerator[str, None]:
        """The keys of live entries that match a glob, read from the store bit by bit."""
        async for key in bulk_operations.iter_live_keys(
            self.loader.open_namespace(), check_key(pattern)
        ):
            yield key

    async def entry(self, key: str) -> CacheEntry | None:
        """An entry with all that is known of it; does not count as a read of it."""
        space = self.loader.open_namespace()
        await self._shared.reporter.flush()
        return await bulk_operations.describe_entry(space, space.prefix + check_key(key))

    async def get_stats(self) -> CacheStats:
        """The counters of this namespace, over all processes and restarts, and its size."""
        return await self._shared.reporter.read_stats(self.loader.open_namespace())

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Have a function called with every event of a kind; see `aiocache_pe.events`.

        Returns:
            A function that ends the subscription.
        """
        return self._shared.engine.events.subscribe(kind, handler)

    async def close(self) -> None:
        """Report the counters and give back what is held; a view only reports."""
        await self._shared.close(only_report=self._is_view)

    async def __aenter__(self) -> Self:
        self._shared.closed = False
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        namespace = self.loader.namespace.namespace
        return f"CacheManager({self._shared.engine.backend!r}, namespace={namespace!r})"
