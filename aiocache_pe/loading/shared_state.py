"""State that the namespaces of a manager share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.maintenance import Maintenance
from aiocache_pe.engine.stats_reporter import StatsReporter
from aiocache_pe.exceptions import CacheClosedError
from aiocache_pe.loading.background_refresh import BackgroundRefreshes
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.remembered_errors import RememberedErrors
from aiocache_pe.runtime.coalescing import Coalescer
from aiocache_pe.runtime.single_flight import Flights


class SharedState:
    """An engine with its counters, flights, refreshes and maintenance, open until it is closed.

    Args:
        engine: the engine.
        owns_backend: whether `close` closes the store; a store that the user made stays open.
        settings: the arguments of the manager, for an equal one in another process.
    """

    def __init__(self, engine: Engine, *, owns_backend: bool, settings: Mapping[str, Any]) -> None:
        self.engine = engine
        self.settings = settings
        self.flights = Flights(engine.in_flight, self._prepare_copies)
        self.coalescer = Coalescer()
        self.refreshes = BackgroundRefreshes(engine.clock)
        self.errors = RememberedErrors(engine.clock)
        self.reporter = StatsReporter(engine)
        self.maintenance = Maintenance(engine, self.reporter.count_expired)
        self.reporter.on_activity = self.maintenance.arm
        self.is_closed = False
        self._owns_backend = owns_backend

    def _prepare_copies(self, key: str, outcome: Outcome) -> None:
        outcome.prepare_copies(self.engine, key)

    def check_open(self) -> None:
        """Raise `CacheClosedError` after `close`."""
        if self.is_closed:
            raise CacheClosedError(
                "the cache is closed; entering it with `async with`, or `with`, opens it again"
            )

    async def close(self, *, only_report: bool = False) -> None:
        """Write the counters to the store, then, unless ``only_report``, release all resources."""
        if self.is_closed:
            return
        if not only_report:
            self.maintenance.stop()
            await self.refreshes.settle()
        await self.reporter.flush()
        if only_report:
            return
        self.is_closed = True
        await self.engine.close(close_backend=self._owns_backend)
