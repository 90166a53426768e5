"""Loading: what happens when many read, or when what is asked for must be computed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from aiocache_pe import events
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine import Item
from aiocache_pe.exceptions import SerializationError
from aiocache_pe.flight import Flights
from aiocache_pe.keys import check_tags
from aiocache_pe.sentinels import MISSING, PENDING, Sentinel
from aiocache_pe.space import Space
from aiocache_pe.ttl import TTL, ttl_seconds

T = TypeVar("T")
Lifetime = float | None | Callable[[Any], TTL]


class Loader:
    """Reads and computes entries of one namespace.

    Args:
        space: the namespace.
        flights: the flights of its manager, shared with the other namespaces.
    """

    __slots__ = ("_flights", "space")

    def __init__(self, space: Space, flights: Flights) -> None:
        self.space = space
        self._flights = flights

    async def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that are live, in the order asked for."""
        space = self.space
        found: dict[str, Any] = {key: space.lookup(space.prefix + key) for key in keys}
        pending = [space.prefix + key for key, value in found.items() if value is PENDING]
        if pending:
            loaded = await space.load_many(pending)
            for key in keys:
                if found[key] is PENDING:
                    found[key] = loaded.get(space.prefix + key, MISSING)
        values = {key: value for key, value in found.items() if value is not MISSING}
        for key in keys:
            if key not in values:
                space.missed(space.prefix + key)
        return values

    async def items(
        self, mapping: Mapping[str, Any], ttl: float | None, tags: Iterable[str]
    ) -> list[Item]:
        """What to store for a mapping from keys to values, all with the same tags."""
        space = self.space
        tokens = await self._tokens(check_tags(tags))
        return [Item(space.prefix + key, value, ttl, tokens) for key, value in mapping.items()]

    async def get_or_load(
        self,
        key: str,
        factory: Callable[[], Awaitable[T] | T],
        ttl: Lifetime = None,
        tags: Sequence[str] = (),
    ) -> T:
        """The value of a store key; computed, once for all who ask in this loop, if need be."""
        value = self.space.lookup(key)
        if isinstance(value, Sentinel):
            value = await self.load_once(key, factory, ttl, tags)
        return value  # type: ignore[no-any-return]

    async def load_once(
        self,
        key: str,
        factory: Callable[[], Awaitable[T] | T],
        ttl: Lifetime = None,
        tags: Sequence[str] = (),
    ) -> T:
        """The same for who has looked already, and found nothing without waiting."""
        space = self.space
        value, joined = await self._flights.run(key, lambda: self._load(key, factory, ttl, tags))
        if joined:
            # Another caller has this very object and may change it.
            if is_immutable(value):
                space.hit_once(key)
            else:
                own = await space.load(key)
                value = value if own is MISSING else own
        return value  # type: ignore[no-any-return]

    async def _load(
        self,
        key: str,
        factory: Callable[[], Awaitable[T] | T],
        ttl: Lifetime,
        tags: Sequence[str],
    ) -> Any:
        space = self.space
        value = await space.load(key)
        if value is not MISSING:
            return value
        space.missed(key)
        tokens = await self._tokens(tags)
        value, seconds = await self._computed(key, factory)
        lifetime = ttl_seconds(ttl(value)) if callable(ttl) else ttl
        try:
            await space.store([Item(key, value, lifetime, tokens, seconds)])
        except SerializationError as error:
            space.failed("encode", error)
        return value

    async def _computed(self, key: str, factory: Callable[[], Awaitable[T] | T]) -> tuple[T, float]:
        """The factory's value, and how many seconds it took."""
        space, monotonic = self.space, self.space.engine.clock.monotonic
        began = monotonic()
        try:
            result = factory()
            value: Any = await result if inspect.isawaitable(result) else result
        except BaseException as error:
            space.emit(events.LoadFailed, key, error)
            raise
        seconds = monotonic() - began
        space.emit(events.Loaded, key, seconds)
        return value, seconds

    async def _tokens(self, tags: Sequence[str]) -> dict[str, str]:
        if not tags:
            return {}
        space = self.space
        work = space.engine.tag_tokens(space.prefix, tags)
        return await space.survive("read", work, dict.fromkeys(tags, "unknown"))
