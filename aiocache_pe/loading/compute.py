"""Computing a value once for all who want it at the same time, and storing it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from aiocache_pe import events
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine.engine import Item
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.exceptions import LoadTimeoutError
from aiocache_pe.loading.background_refresh import RefreshOutcome
from aiocache_pe.loading.copying import Outcome, copy_value
from aiocache_pe.loading.lease_wait import HeldLease
from aiocache_pe.loading.options import LoadRequest, Options, Terms
from aiocache_pe.loading.shared_state import SharedState
from aiocache_pe.runtime.single_flight import GaveUp
from aiocache_pe.sentinels import MISSING, Sentinel
from aiocache_pe.ttl import ttl_seconds


class Computer:
    """Computes entries of one namespace.

    Args:
        resources: what the namespaces of a manager share.
        space: the namespace.
    """

    __slots__ = ("_resources", "_space")

    def __init__(self, resources: SharedState, space: Namespace) -> None:
        self._resources = resources
        self._space = space

    def make_join(self, options: Options) -> Callable[[str], Coroutine[Any, Any, Any] | None]:
        """How a caller waits for a value that is being computed, given its key.

        Returns:
            `Flights.join`; where more than a key is needed to wait, a function that
            never finds anything to wait for.
        """
        if options.serve_stale or options.hard_timeout is not None:
            return _nothing_to_join
        return partial(self._resources.flights.join, patience=options.lock)

    async def get_or_compute(self, wanted: LoadRequest, joined: Any = MISSING) -> Any:
        """The value, for a caller who found none; a value that is its own.

        Args:
            wanted: which.
            joined: what it came to if the caller has waited already (`joining`).

        Raises:
            LoadTimeoutError: it took longer than the caller had time.
            Whatever the factory raised.
        """
        key, options = wanted.key, wanted.policy.options
        computed = joined
        if joined is MISSING or isinstance(joined, GaveUp):
            work = self._resources.flights.run(
                key,
                lambda patience: self._looked_up_or_computed(wanted, patience),
                options.lock,
                None if joined is MISSING else joined,
            )
            hard = options.hard_timeout
            computed, shared = await (work if hard is None else self._within(hard, key, work))
            if not shared:
                return computed.value
        # Another caller has this very object and may change it.
        own = self._space.peek(key)
        if not isinstance(own, Sentinel):
            return own
        if is_immutable(computed.value):
            self._space.count_hit(key)
            return computed.value
        own = await self._space.get(key)
        return await copy_or_compute(computed.spare, wanted.factory) if own is MISSING else own

    async def refresh(self, wanted: LoadRequest, seen: MemoryEntry) -> RefreshOutcome:
        """A newer value than one that was seen, for nobody who waits.

        Raises:
            LoadTimeoutError: it took longer than it may.
            Whatever the factory raised.
        """
        key, factory = wanted.key, wanted.background_factory or wanted.factory
        wanted = wanted._replace(factory=factory)

        async def newer() -> Any:
            slot = await self._space.get_entry(key)
            if slot is None or slot.expires_at == seen.expires_at:
                return MISSING
            return await self._space.decode(slot)

        async def work(patience: float | None) -> Outcome:
            value, turn = await self._look_or_take(key, newer, patience)
            if value is not MISSING:
                return Outcome(value, is_stored=True)
            async with turn:
                return await self.compute(wanted, turn)

        run = self._resources.flights.run(key, work, wanted.policy.options.lock)
        hard = wanted.policy.options.hard_timeout
        try:
            computed, _ = await (run if hard is None else self._within(hard, key, run))
        except LoadTimeoutError as error:
            self.count_load_failure(key, error)
            raise
        return RefreshOutcome(computed.value, await newer() is not MISSING)

    async def compute(self, wanted: LoadRequest, turn: HeldLease | None = None) -> Outcome:
        """The value, computed now and stored if it may be."""
        tokens = await self.get_tag_tokens(wanted.tags)
        monotonic = self._space.engine.clock.monotonic
        began = monotonic()
        try:
            value = await call_factory(wanted.factory)
        except BaseException as error:
            self.count_load_failure(wanted.key, error)
            raise
        seconds = monotonic() - began
        self._space.emit(events.Loaded, wanted.key, seconds)
        is_stored = False
        if turn is None or not turn.is_lost:  # else there may be a newer one
            is_stored = await self.put(wanted.key, value, wanted.policy, tokens, seconds)
        return Outcome(value, is_stored=is_stored)

    async def look_or_take(
        self, key: str, terms: Terms, look: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, HeldLease]:
        """See `LeaseWaiter.look_or_take`."""
        return await self._look_or_take(key, look, terms.options.lock)

    async def get_tag_tokens(self, tags: Sequence[str]) -> dict[str, str]:
        """The tokens of tags now; to be asked before a value is computed."""
        if not tags:
            return {}
        space = self._space
        work = space.engine.get_tag_tokens(space.prefix, tags)
        return await space.attempt("read", work, dict.fromkeys(tags, "unknown"))

    async def put(
        self, key: str, value: Any, terms: Terms, tokens: Mapping[str, str], seconds: float
    ) -> bool:
        """Store a value that took some seconds to compute, if its terms allow it.

        Returns:
            Whether it is stored.

        Raises:
            Whatever the caller's own functions raised, ``cache_if`` and ``ttl``.
        """
        item = self.make_item(key, value, terms, tokens, seconds)
        return item is not None and key in await self.keep_all([item])

    def make_item(
        self, key: str, value: Any, terms: Terms, tokens: Mapping[str, str], seconds: float
    ) -> Item | None:
        """What to store of a value, ``None`` if its terms do not allow it; raises as `keep`."""
        try:
            if terms.cache_if is not None and not terms.cache_if(value):
                return None
            ttl = ttl_seconds(terms.ttl(value)) if callable(terms.ttl) else terms.ttl
        except Exception as error:
            self.count_load_failure(key, error)
            raise
        stale_ttl, jitter = terms.options.stale_ttl, terms.options.jitter
        if ttl is not None and jitter is not None:
            ttl -= jitter(ttl) * self._resources.random()
        return Item(key, value, ttl, tokens, seconds, stale_ttl)

    async def keep_all(self, items: Sequence[Item]) -> set[str]:
        """Store what was computed, in one round trip; the keys of what could be stored."""
        return await self._space.put_storable(items)

    def count_load_failure(self, key: str, error: BaseException) -> None:
        """Tell of a factory that raised."""
        if isinstance(error, Exception):
            self._space.counters.add("load_failures")
        self._space.emit(events.LoadFailed, key, error)

    async def _look_or_take(
        self, key: str, look: Callable[[], Awaitable[Any]], patience: float | None
    ) -> tuple[Any, HeldLease]:
        return await self._resources.lease_waiter.get_or_acquire(self._space, key, look, patience)

    async def _looked_up_or_computed(self, wanted: LoadRequest, patience: float | None) -> Outcome:
        space, key = self._space, wanted.key
        under_way = space.engine.in_flight

        async def look() -> Any:
            under_way.discard(key)  # a look at what is there, not at who computes it: we do
            value = await space.get(key)
            if value is MISSING:
                under_way.add(key)
            return value

        value, turn = await self._look_or_take(key, look, patience)
        if value is not MISSING:
            return Outcome(value, is_stored=True)
        async with turn:
            space.count_miss(key)
            return await self.compute(wanted, turn)

    async def _within(self, seconds: float, key: str, work: Awaitable[Any]) -> Any:
        """What the work comes to, if it does so in time."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise LoadTimeoutError(key[len(self._space.prefix) :], seconds) from error


def _nothing_to_join(_: str) -> None:
    return None


async def copy_or_compute(value: Any, factory: Callable[[], Any]) -> Any:
    """A value like another caller's, which the store does not have to give."""
    try:
        return copy_value(value)
    except Exception:  # noqa: BLE001 - not everything can be copied, and that may raise anything
        return await call_factory(factory)


async def call_factory(factory: Callable[[], Any]) -> Any:
    """What a factory returns, awaited if it is to be awaited."""
    result = factory()
    return await result if inspect.isawaitable(result) else result
