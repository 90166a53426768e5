"""Entries that are old: served while a newer value is computed in the background.

======================  ==========================================================
`refresh_ahead`         an entry near its end is served; a newer value is computed
`stale_ttl`             so is an entry that is past its end, for some time
... and `soft_timeout`  ... but the newer value is waited for, for a moment
======================  ==========================================================

An entry is computed ahead of its end when a fixed part of its time is over. Probabilistic
early expiration (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede
Prevention", VLDB 2015) lets each reader decide by chance, so that readers who cannot talk
to each other seldom do so at once. Here they can: of all tasks, threads and processes
one has the lease. So chance would only make the moment hard to foretell.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiocache_pe import events
from aiocache_pe.codecs.immutable import is_immutable
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.loading.background_refresh import BackgroundRefreshes
from aiocache_pe.loading.compute import Computer, copy_or_compute
from aiocache_pe.loading.options import LoadRequest, Terms
from aiocache_pe.sentinels import MISSING, PENDING
from aiocache_pe.ttl import ttl_seconds


class StaleEntries:
    """Serves the old entries of one namespace.

    Args:
        space: the namespace.
        computing: computes its entries.
        refreshes: those of all namespaces.
    """

    __slots__ = ("_computing", "_refreshes", "_space")

    def __init__(
        self, space: Namespace, computing: Computer, refreshes: BackgroundRefreshes
    ) -> None:
        self._space = space
        self._computing = computing
        self._refreshes = refreshes

    def peek(self, key: str, terms: Terms) -> Any:
        """`Space.lookup` for callers who want entries refreshed ahead of their end.

        Returns:
            The same, or `PENDING` for an entry that is to be refreshed: ask `serve`.
        """
        try:
            slot = self._space.engine.peek(key)
            if type(slot) is MemoryEntry and self._is_due(slot, terms):
                return PENDING
        except Exception:  # noqa: BLE001 - of a store's `peek`, and a codec's; `lookup` meets it too
            return PENDING
        return self._space.peek(key)

    async def serve(self, wanted: LoadRequest) -> Any:
        """The value of an entry that may be served now, be it old; or `MISSING`."""
        space, key, options = self._space, wanted.key, wanted.policy.options
        slot = await space.get_entry(key, stale=options.stale_ttl is not None)
        if slot is None:
            return MISSING
        late = space.engine.clock.time() - slot.expires_at
        if late < 0:
            if self._is_surely_due(slot, wanted.policy):
                self._refreshes.start(key, lambda: self._computing.refresh(wanted, slot))
            return await space.serve(slot)
        begun = self._refreshes.may_start(key)
        refresh = self._refreshes.start(key, lambda: self._computing.refresh(wanted, slot))
        if refresh is not None and options.soft_timeout is not None:
            await asyncio.wait([refresh], timeout=options.soft_timeout)
            refreshed = refresh.result() if refresh.done() and not refresh.cancelled() else None
            if refreshed is not None:
                return await self._fresh(wanted, refreshed.value, joined=not begun)
        value = await space.serve(slot)
        if value is not MISSING:
            space.counters.add("stale_hits")
            space.emit(events.Stale, key, late)
        return value

    async def _fresh(self, wanted: LoadRequest, value: Any, *, joined: bool) -> Any:
        """The value of a refresh that was waited for, for a caller of its own."""
        key = wanted.key
        if joined:
            self._space.count_hit(key)
        else:
            self._space.count_miss(key)
        if is_immutable(value):
            return value
        slot = await self._space.get_entry(key)
        own = MISSING if slot is None else await self._space.decode(slot)
        return await copy_or_compute(value, wanted.factory) if own is MISSING else own

    def _is_surely_due(self, slot: MemoryEntry, terms: Terms) -> bool:
        """The same; of what cannot be decoded nobody knows, and serving it tells why."""
        try:
            return self._is_due(slot, terms)
        except Exception:  # noqa: BLE001 - of a codec, or of the user's `ttl`
            return False

    def _is_due(self, slot: MemoryEntry, terms: Terms) -> bool:
        """Whether an entry is to be refreshed, though it is not at its end."""
        ahead = terms.options.refresh_ahead
        if ahead is None or not self._refreshes.may_start(slot.key):
            return False
        ttl = terms.ttl
        if callable(ttl):
            ttl = ttl_seconds(ttl(self._space.engine.decode(slot)))
        left = slot.expires_at - self._space.engine.clock.time()
        return ttl is not None and left <= (1 - ahead) * ttl
