"""Stale entries: served while a newer value is computed in the background.

======================  ==============================================================
`refresh_ahead`         serves an entry near its end and starts a refresh
`stale_ttl`             serves an expired entry for some time and starts a refresh
`soft_timeout`          waits a moment for that refresh before it serves the old value
======================  ==============================================================

A refresh ahead of the end starts after a fixed part of the lifetime. Probabilistic early
expiration (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede
Prevention", VLDB 2015) lets each reader decide at random, because its readers cannot
coordinate. Here one lease holder of all processes refreshes, so a random moment would gain
nothing and would be harder to predict.
"""

from __future__ import annotations

import asyncio

from aiocache_pe import events
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.loading.background_refresh import BackgroundRefreshes
from aiocache_pe.loading.compute import Computer, copy_or_compute
from aiocache_pe.loading.copying import Outcome, Source
from aiocache_pe.loading.options import LoadPolicy, LoadRequest
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.sentinels import MISSING, PENDING, Missing
from aiocache_pe.ttl import parse_ttl


class StaleEntries:
    """Serves stale entries of one namespace and starts their refreshes."""

    def __init__(
        self, namespace: Namespace, computer: Computer, refreshes: BackgroundRefreshes
    ) -> None:
        self._namespace = namespace
        self._computer = computer
        self._refreshes = refreshes

    def peek(self, key: str, policy: LoadPolicy) -> object:
        """Return the value of a key if that needs no waiting and no refresh.

        Returns:
            The value, `MISSING`, or `PENDING`; then `get` is the next step.
        """
        try:
            entry = self._namespace.engine.peek(key)
            if type(entry) is MemoryEntry and self._is_due(entry, policy):
                return PENDING
        except Exception as error:  # noqa: BLE001 - a store's `peek` or a codec; `get` reports it
            raise_interrupt(error)
            return PENDING
        return self._namespace.peek(key)

    async def get(self, request: LoadRequest) -> Outcome | Missing:
        """Return the value of an entry that may be served, expired or not, or `MISSING`."""
        namespace, key, policy = self._namespace, request.key, request.policy
        held, began = namespace.engine.get_tier_entry(key), namespace.start_timer(events.Hit)
        entry = await namespace.get_entry(key, stale=policy.stale_ttl is not None)
        if entry is None:
            return MISSING
        tier = "memory" if entry is held else namespace.store_name

        expired_for = namespace.time() - entry.expires_at
        if expired_for < 0:
            current = await namespace.serve(entry, tier, began)
            if current is not MISSING and self._is_surely_due(entry, policy):
                self._refreshes.start(entry, lambda: self._refresh(request, entry))
            hit = Outcome(current, "hit", entry=entry, tier=tier)
            return MISSING if current is MISSING else hit

        is_first = self._refreshes.may_start(entry)
        called = namespace.start_timer(events.Stale)
        waited = namespace.start_timer(events.Joined)
        refresh = self._refreshes.start(entry, lambda: self._refresh(request, entry))
        if refresh is not None and policy.soft_timeout is not None:
            await asyncio.wait([refresh], timeout=policy.soft_timeout)
            refreshed = refresh.result() if refresh.done() and not refresh.cancelled() else None
            if refreshed is not None:
                if not is_first:
                    namespace.note_joined(key, waited)
                return await self._take_refreshed(request, refreshed.value, joined=not is_first)

        value = await namespace.serve(entry, tier, began)
        if value is not MISSING:
            namespace.counters.add("stale_hits")
            namespace.emit(events.Stale, key, expired_for, namespace.measure(called))
        stale = Outcome(value, "stale", entry=entry, tier=tier)
        return MISSING if value is MISSING else stale

    async def _refresh(self, request: LoadRequest, entry: MemoryEntry) -> Outcome:
        """Compute a newer value in the background, and report the start and a failure."""
        namespace, key = self._namespace, request.key
        namespace.emit(events.RefreshStarted, key)
        began = namespace.start_timer(events.RefreshFailed)
        try:
            return await self._computer.refresh(request, entry)
        except BaseException as error:
            namespace.emit(events.RefreshFailed, key, error, namespace.measure(began))
            raise

    async def _take_refreshed(
        self, request: LoadRequest, value: object, *, joined: bool
    ) -> Outcome:
        """Return the value of a refresh that the caller waited for, as the caller's own."""
        key = request.key
        if joined:
            self._namespace.count_hit(key)
        else:
            self._namespace.count_miss(key)
        source: Source = "joined" if joined else "miss"
        if is_immutable(value):
            return Outcome(value, source)

        entry = await self._namespace.get_entry(key)
        own = MISSING if entry is None else await self._namespace.decode(entry)
        if own is not MISSING:
            return Outcome(own, source)
        return await copy_or_compute(value, request.factory)

    def _is_surely_due(self, entry: MemoryEntry, policy: LoadPolicy) -> bool:
        """Return whether to start a refresh; an entry that cannot be decoded is not due."""
        try:
            return self._is_due(entry, policy)
        except Exception:  # noqa: BLE001 - a codec or the user's `ttl`; serving reports it
            return False

    def _is_due(self, entry: MemoryEntry, policy: LoadPolicy) -> bool:
        """Return whether a live entry is old enough for a refresh."""
        ahead = policy.refresh_ahead
        if ahead is None or not self._refreshes.may_start(entry):
            return False
        ttl = policy.ttl
        if callable(ttl):
            ttl = parse_ttl(ttl(self._namespace.engine.decode(entry)))
        time_left = entry.expires_at - self._namespace.time()
        return ttl is not None and time_left <= (1 - ahead) * ttl
