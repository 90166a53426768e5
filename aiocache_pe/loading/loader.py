"""Loading: what happens when many read, or when what is asked for must be computed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from aiocache_pe import context
from aiocache_pe._validation import check_plain
from aiocache_pe.context import Call, Mode
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Space
from aiocache_pe.keys.store_keys import check_key, check_keys, check_tags
from aiocache_pe.loading.batch_loader import Batching
from aiocache_pe.loading.compute import Computing, called
from aiocache_pe.loading.options import Lifetime, LoadOptions, Terms, Wanted, agreed, checked
from aiocache_pe.loading.shared_state import Resources
from aiocache_pe.loading.stale import Staleness
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default, Sentinel
from aiocache_pe.ttl import TTL, ttl_seconds


class Loader:
    """Reads and computes entries of one namespace; what stands behind every kind of caller.

    Args:
        resources: what the namespaces of a manager share.
        namespace: the namespace's name.
        ttl: how long entries live by default, in seconds; ``None`` for ever.
    """

    __slots__ = ("_resources", "_staleness", "_ttl", "batching", "computing", "space")

    def __init__(self, resources: Resources, namespace: str, ttl: float | None) -> None:
        self._resources = resources
        self._ttl = ttl
        self.space = resources.reporter.space(namespace)
        self.computing = Computing(resources, self.space)
        self.batching = Batching(self.space, self.computing, resources.joint)
        self._staleness = Staleness(self.space, self.computing, resources.refreshes)

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

    async def flush(self) -> None:
        """Have the store told what was counted so far."""
        await self._resources.reporter.flush()

    def seconds(self, ttl: TTL | Default) -> float | None:
        """What a time to live means, in seconds; ``None`` for ever."""
        return self._ttl if ttl is DEFAULT else ttl_seconds(ttl)

    def wanted(
        self,
        key: str,
        factory: Callable[[], Any],
        ttl: TTL | Default | Callable[[Any], TTL],
        tags: Iterable[str],
        options: LoadOptions,
    ) -> Wanted:
        """What a caller of ``get_or_set`` wants, after checking it."""
        space = self.opened()
        if not callable(factory):
            raise TypeError(f"factory is a function, not {type(factory).__name__}: {factory!r:.80}")
        terms = agreed(self.lifetime(ttl), None, checked(options))
        return Wanted(space.prefix + check_key(key), factory, terms, check_tags(tags))

    def lifetime(self, ttl: TTL | Default | Callable[[Any], TTL]) -> Lifetime:
        """Seconds of a time to live, or the function that tells it from the value, checked."""
        if callable(ttl):
            check_plain("ttl", ttl)
            return ttl
        return self.seconds(ttl)

    def glance(self, key: str, default: Any) -> Any:
        """The value of a key, or the default, or `PENDING`: ask `get`."""
        if self._resources.closed:
            self._resources.check_open()
        space = self.space
        key = space.prefix + check_key(key)
        value = space.lookup(key)
        if value is MISSING:
            space.missed(key)
            return default
        return value

    async def get(self, key: str, default: Any) -> Any:
        """The value of a key, after a glance that could not tell."""
        space = self.space
        key = space.prefix + key
        values = await space.load_many([key])
        if key not in values:
            space.missed(key)
            return default
        return values[key]

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
        tokens = await self.computing.tokens(check_tags(tags))
        return [Item(space.prefix + key, value, ttl, tokens) for key, value in mapping.items()]

    def lookup(self, key: str, terms: Terms) -> Any:
        """The value of a store key as far as that can be told without waiting; else a sentinel."""
        if terms.options.refresh_ahead is None:
            return self.space.lookup(key)
        return self._staleness.lookup(key, terms)

    async def get_or_load(self, wanted: Wanted) -> Any:
        """The value; computed, once for all who ask in this loop, if need be.

        `steering` may tell to go another way.
        """
        mode = context.mode()
        if mode is not None:
            return await self.load_steered(mode, wanted)
        value = self.lookup(wanted.key, wanted.terms)
        return await self.load_once(wanted) if isinstance(value, Sentinel) else value

    async def load_steered(self, mode: Mode, wanted: Wanted) -> Any:
        """The value, on the way that a mode names."""
        tape = context.tape()
        if tape is not None:
            return await tape.answer(self._call(wanted), lambda: called(wanted.factory))
        if mode is Mode.REFRESH:
            # Not shared: one that began earlier may have seen what is outdated by now.
            return (await self.computing.anew(wanted)).value
        if mode is Mode.READ_ONLY:
            value = await self.space.load(wanted.key)
            if value is not MISSING:
                return value
            self.space.missed(wanted.key)
        return await called(wanted.factory)

    def load_once(self, wanted: Wanted, joined: Any = MISSING) -> Coroutine[Any, Any, Any]:
        """The value, for who has looked already and found nothing without waiting.

        Args:
            wanted: which.
            joined: see `Computing.once`.
        """
        if wanted.terms.options.serve_old:
            return self._kept_or_computed(wanted)
        return self.computing.once(wanted, joined)

    async def kept(self, wanted: Wanted) -> Any:
        """What is stored and may be served, be it old while a newer value is computed."""
        if wanted.terms.options.serve_old:
            return await self._staleness.serve(wanted)
        return await self.space.load(wanted.key)

    def _call(self, wanted: Wanted) -> Call:
        """What a value is recorded as."""
        if wanted.call is not None:
            return wanted.call
        plain = wanted.key[len(self.space.prefix) :]
        return Call(wanted.key, "get_or_set", "get or set", {"key": plain})

    async def _kept_or_computed(self, wanted: Wanted) -> Any:
        value = await self.kept(wanted)
        return await self.computing.once(wanted) if value is MISSING else value
