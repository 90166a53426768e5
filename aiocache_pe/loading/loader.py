"""Loading: what happens when many read, or when what is asked for must be computed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from aiocache_pe import context
from aiocache_pe._validation import check_plain
from aiocache_pe.context import Call, Mode
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.keys.store_keys import check_key, check_keys, check_tags
from aiocache_pe.loading.batch_loader import BatchLoader
from aiocache_pe.loading.compute import Computer, call_factory
from aiocache_pe.loading.options import Lifetime, LoadOptions, LoadRequest, Terms, agreed, checked
from aiocache_pe.loading.shared_state import SharedState
from aiocache_pe.loading.stale import StaleEntries
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING, Default, Sentinel
from aiocache_pe.ttl import TTL, ttl_seconds


class Loader:
    """Reads and computes entries of one namespace; what stands behind every kind of caller.

    Args:
        resources: what the namespaces of a manager share.
        namespace: the namespace's name.
        ttl: how long entries live by default, in seconds; ``None`` for ever.
    """

    __slots__ = ("_resources", "_staleness", "_ttl", "batch_loader", "computer", "namespace")

    def __init__(self, resources: SharedState, namespace: str, ttl: float | None) -> None:
        self._resources = resources
        self._ttl = ttl
        self.namespace = resources.reporter.get_namespace(namespace)
        self.computer = Computer(resources, self.namespace)
        self.batch_loader = BatchLoader(self.namespace, self.computer, resources.coalescer)
        self._staleness = StaleEntries(self.namespace, self.computer, resources.refreshes)

    def in_namespace(self, namespace: str) -> Loader:
        """The loader of another namespace."""
        return Loader(self._resources, namespace, self._ttl)

    def open_namespace(self) -> Namespace:
        """The namespace, if its manager was not closed.

        Raises:
            CacheClosedError: it was.
        """
        self._resources.check_open()
        return self.namespace

    async def flush(self) -> None:
        """Have the store told what was counted so far."""
        await self._resources.reporter.flush()

    def resolve_ttl(self, ttl: TTL | Default) -> float | None:
        """What a time to live means, in seconds; ``None`` for ever."""
        return self._ttl if ttl is DEFAULT else ttl_seconds(ttl)

    def request(
        self,
        key: str,
        factory: Callable[[], Any],
        ttl: TTL | Default | Callable[[Any], TTL],
        tags: Iterable[str],
        options: LoadOptions,
    ) -> LoadRequest:
        """What a caller of ``get_or_set`` wants, after checking it."""
        space = self.open_namespace()
        if not callable(factory):
            raise TypeError(f"factory is a function, not {type(factory).__name__}: {factory!r:.80}")
        terms = agreed(self.check_ttl(ttl), None, checked(options))
        return LoadRequest(space.prefix + check_key(key), factory, terms, check_tags(tags))

    def check_ttl(self, ttl: TTL | Default | Callable[[Any], TTL]) -> Lifetime:
        """Seconds of a time to live, or the function that tells it from the value, checked."""
        if callable(ttl):
            check_plain("ttl", ttl)
            return ttl
        return self.resolve_ttl(ttl)

    def peek(self, key: str, default: Any) -> Any:
        """The value of a key, or the default, or `PENDING`: ask `get`."""
        if self._resources.closed:
            self._resources.check_open()
        space = self.namespace
        key = space.prefix + check_key(key)
        value = space.peek(key)
        if value is MISSING:
            space.count_miss(key)
            return default
        return value

    async def get(self, key: str, default: Any) -> Any:
        """The value of a key, after a glance that could not tell."""
        space = self.namespace
        key = space.prefix + key
        values = await space.get_many([key])
        if key not in values:
            space.count_miss(key)
            return default
        return values[key]

    def peek_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of keys, `MISSING`, or `PENDING`: see `settled` and `complete`."""
        space = self.open_namespace()
        return {key: space.peek(space.prefix + key) for key in check_keys(keys)}

    def drop_missing(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Of what was found, that which is there; the rest is counted as missed."""
        for key, value in found.items():
            if value is MISSING:
                self.namespace.count_miss(self.namespace.prefix + key)
        return {key: value for key, value in found.items() if value is not MISSING}

    async def get_many(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The same after a glance that could not tell all."""
        space = self.namespace
        pending = [space.prefix + key for key, value in found.items() if value is PENDING]
        loaded = await space.get_many(pending) if pending else {}
        return self.drop_missing(
            {
                key: loaded.get(space.prefix + key, MISSING) if value is PENDING else value
                for key, value in found.items()
            }
        )

    async def make_items(
        self, mapping: Mapping[str, Any], ttl: float | None, tags: Iterable[str]
    ) -> list[Item]:
        """What to store for a mapping from keys to values, all with the same tags."""
        space = self.namespace
        tokens = await self.computer.get_tag_tokens(check_tags(tags))
        return [Item(space.prefix + key, value, ttl, tokens) for key, value in mapping.items()]

    def peek_entry(self, key: str, terms: Terms) -> Any:
        """The value of a store key as far as that can be told without waiting; else a sentinel."""
        if terms.options.refresh_ahead is None:
            return self.namespace.peek(key)
        return self._staleness.peek(key, terms)

    async def get_or_compute(self, wanted: LoadRequest) -> Any:
        """The value; computed, once for all who ask in this loop, if need be.

        `steering` may tell to go another way.
        """
        mode = context.mode()
        if mode is not None:
            return await self.get_or_compute_in_mode(mode, wanted)
        value = self.peek_entry(wanted.key, wanted.policy)
        return await self.load_once(wanted) if isinstance(value, Sentinel) else value

    async def get_or_compute_in_mode(self, mode: Mode, wanted: LoadRequest) -> Any:
        """The value, on the way that a mode names."""
        tape = context.current_cassette()
        if tape is not None:
            return await tape.answer(self._call(wanted), lambda: call_factory(wanted.factory))
        if mode is Mode.REFRESH:
            # Not shared: one that began earlier may have seen what is outdated by now.
            return (await self.computer.compute(wanted)).value
        if mode is Mode.READ_ONLY:
            value = await self.namespace.get(wanted.key)
            if value is not MISSING:
                return value
            self.namespace.count_miss(wanted.key)
        return await call_factory(wanted.factory)

    def load_once(self, wanted: LoadRequest, joined: Any = MISSING) -> Coroutine[Any, Any, Any]:
        """The value, for who has looked already and found nothing without waiting.

        Args:
            wanted: which.
            joined: see `Computer.once`.
        """
        if wanted.policy.options.serve_stale:
            return self._kept_or_computed(wanted)
        return self.computer.get_or_compute(wanted, joined)

    async def get_stored(self, wanted: LoadRequest) -> Any:
        """What is stored and may be served, be it old while a newer value is computed."""
        if wanted.policy.options.serve_stale:
            return await self._staleness.serve(wanted)
        return await self.namespace.get(wanted.key)

    def _call(self, wanted: LoadRequest) -> Call:
        """What a value is recorded as."""
        if wanted.call is not None:
            return wanted.call
        plain = wanted.key[len(self.namespace.prefix) :]
        return Call(wanted.key, "get_or_set", "get or set", {"key": plain})

    async def _kept_or_computed(self, wanted: LoadRequest) -> Any:
        value = await self.get_stored(wanted)
        return await self.computer.get_or_compute(wanted) if value is MISSING else value
