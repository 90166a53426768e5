"""Loading: what happens when many read, or when what is asked for must be computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

from aiocache_pe import events, steering
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine import Item
from aiocache_pe.exceptions import SerializationError
from aiocache_pe.keys import check_key, check_keys, check_tags
from aiocache_pe.resources import Resources
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default, Sentinel
from aiocache_pe.space import Space
from aiocache_pe.steering import Mode
from aiocache_pe.ttl import TTL, ttl_seconds

T = TypeVar("T")
Lifetime = float | None | Callable[[Any], TTL]


class Terms(NamedTuple):
    """On which terms a computed value is stored.

    Attributes:
        ttl: seconds, ``None`` for ever, or a function of the value.
        cache_if: whether a value is to be stored at all; ``None`` for every value.
    """

    ttl: Lifetime = None
    cache_if: Callable[[Any], object] | None = None


class Wanted(NamedTuple):
    """A value that somebody wants.

    Attributes:
        key: its store key.
        factory: computes it, if need be.
        terms: on which it is stored then.
        tags: its tags.
    """

    key: str
    factory: Callable[[], Any]
    terms: Terms
    tags: Sequence[str] = ()


class Loader:
    """Reads and computes entries of one namespace; what stands behind every kind of caller.

    Args:
        resources: what the namespaces of a manager share.
        namespace: the namespace's name.
        ttl: how long entries live by default, in seconds; ``None`` for ever.
    """

    __slots__ = ("_resources", "_ttl", "space")

    def __init__(self, resources: Resources, namespace: str, ttl: float | None) -> None:
        self._resources = resources
        self._ttl = ttl
        self.space = resources.reporter.space(namespace)

    def in_namespace(self, namespace: str) -> Loader:
        """The loader of another namespace."""
        return Loader(self._resources, namespace, self._ttl)

    def opened(self) -> Space:
        """The namespace, if its manager was not closed.

        Raises:
            CacheClosedError: it was.
        """
        self._resources.check_open()
        return self.space

    def seconds(self, ttl: TTL | Default) -> float | None:
        """What a time to live means, in seconds; ``None`` for ever."""
        return self._ttl if ttl is DEFAULT else ttl_seconds(ttl)

    def wanted(
        self,
        key: str,
        factory: Callable[[], Any],
        ttl: TTL | Default | Callable[[Any], TTL],
        tags: Iterable[str],
    ) -> Wanted:
        """What a caller of ``get_or_set`` wants, after checking it."""
        space = self.opened()
        if not callable(factory):
            raise TypeError(f"factory is a function, not {type(factory).__name__}: {factory!r:.80}")
        terms = Terms(self.lifetime(ttl))
        return Wanted(space.prefix + check_key(key), factory, terms, check_tags(tags))

    def lifetime(self, ttl: TTL | Default | Callable[[Any], TTL]) -> Lifetime:
        """The same for one that may depend on the value."""
        return ttl if callable(ttl) else self.seconds(ttl)

    def glance(self, key: str, default: Any) -> Any:
        """The value of a key, or the default, or `PENDING`: ask `get`."""
        space = self.opened()
        key = space.prefix + check_key(key)
        value = space.lookup(key)
        if value is MISSING:
            space.missed(key)
            return default
        return value

    async def get(self, key: str, default: Any) -> Any:
        """The value of a key, after a glance that could not tell."""
        space = self.space
        value = await space.load(space.prefix + key)
        if value is MISSING:
            space.missed(space.prefix + key)
            return default
        return value

    def glance_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of keys, `MISSING`, or `PENDING`: see `settled` and `complete`."""
        space = self.opened()
        return {key: space.lookup(space.prefix + key) for key in check_keys(keys)}

    def settled(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Of what was found, that which is there; the rest is counted as missed."""
        for key, value in found.items():
            if value is MISSING:
                self.space.missed(self.space.prefix + key)
        return {key: value for key, value in found.items() if value is not MISSING}

    async def complete(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The same after a glance that could not tell all."""
        space = self.space
        pending = [space.prefix + key for key, value in found.items() if value is PENDING]
        loaded = await space.load_many(pending) if pending else {}
        return self.settled(
            {
                key: loaded.get(space.prefix + key, MISSING) if value is PENDING else value
                for key, value in found.items()
            }
        )

    async def items(
        self, mapping: Mapping[str, Any], ttl: float | None, tags: Iterable[str]
    ) -> list[Item]:
        """What to store for a mapping from keys to values, all with the same tags."""
        space = self.space
        tokens = await self.tokens(check_tags(tags))
        return [Item(space.prefix + key, value, ttl, tokens) for key, value in mapping.items()]

    async def get_or_load(self, wanted: Wanted) -> Any:
        """The value; computed, once for all who ask in this loop, if need be.

        `steering` may tell to go another way.
        """
        mode = steering.mode()
        if mode is not None:
            return await self.load_steered(mode, wanted)
        value = self.space.lookup(wanted.key)
        return await self.load_once(wanted) if isinstance(value, Sentinel) else value

    async def load_steered(self, mode: Mode, wanted: Wanted) -> Any:
        """The value, on the way that a mode names."""
        if mode is Mode.REFRESH:
            # Not shared: one that began earlier may have seen what is outdated by now.
            return await self._compute(wanted)
        if mode is Mode.READ_ONLY:
            value = await self.space.load(wanted.key)
            if value is not MISSING:
                return value
            self.space.missed(wanted.key)
        return await _called(wanted.factory)

    async def load_once(self, wanted: Wanted) -> Any:
        """The value, for who has looked already and found nothing without waiting."""
        space, key = self.space, wanted.key
        value, joined = await self._resources.flights.run(key, lambda: self._load(wanted))
        if joined:
            # Another caller has this very object and may change it.
            if is_immutable(value):
                space.hit_once(key)
            else:
                own = await space.load(key)
                value = await _own(value, wanted.factory) if own is MISSING else own
        return value

    async def tokens(self, tags: Sequence[str]) -> dict[str, str]:
        """The tokens of tags now; to be asked before a value is computed."""
        if not tags:
            return {}
        space = self.space
        work = space.engine.tag_tokens(space.prefix, tags)
        return await space.survive("read", work, dict.fromkeys(tags, "unknown"))

    async def keep(
        self, key: str, value: Any, terms: Terms, tokens: Mapping[str, str], seconds: float
    ) -> None:
        """Store a value that took some seconds to compute, if its terms allow it."""
        if terms.cache_if is not None and not terms.cache_if(value):
            return
        lifetime = ttl_seconds(terms.ttl(value)) if callable(terms.ttl) else terms.ttl
        try:
            await self.space.store([Item(key, value, lifetime, tokens, seconds)])
        except SerializationError as error:
            self.space.failed("encode", error)

    async def _load(self, wanted: Wanted) -> Any:
        value = await self.space.load(wanted.key)
        if value is not MISSING:
            return value
        self.space.missed(wanted.key)
        return await self._compute(wanted)

    async def _compute(self, wanted: Wanted) -> Any:
        tokens = await self.tokens(wanted.tags)
        value, seconds = await self._computed(wanted)
        await self.keep(wanted.key, value, wanted.terms, tokens, seconds)
        return value

    async def _computed(self, wanted: Wanted) -> tuple[Any, float]:
        """The factory's value, and how many seconds it took."""
        space, monotonic = self.space, self.space.engine.clock.monotonic
        began = monotonic()
        try:
            value = await _called(wanted.factory)
        except BaseException as error:
            space.emit(events.LoadFailed, wanted.key, error)
            raise
        seconds = monotonic() - began
        space.emit(events.Loaded, wanted.key, seconds)
        return value, seconds


async def _own(value: Any, factory: Callable[[], Any]) -> Any:
    """A value like another caller's, which the store does not have to give."""
    try:
        return deepcopy(value)
    except Exception:  # noqa: BLE001 - not everything can be copied, and that may raise anything
        return await _called(factory)


async def _called(factory: Callable[[], Any]) -> Any:
    result = factory()
    return await result if inspect.isawaitable(result) else result
