"""Counters that outlive the process: from the tallies into the store, and back as stats.

A namespace's counters are one small record beside its entries, changed by the store's
atomic update, so any number of processes may add to it. It is written a moment after
something happened, at `close`, and at the end of every event loop; never on a hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiocache_pe.backends import capabilities
from aiocache_pe.engine.access_log import AccessLog
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.engine.stats import CacheStats
from aiocache_pe.events import Cause
from aiocache_pe.exceptions import CacheError
from aiocache_pe.keys.store_keys import make_internal_prefix, unquote
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook, PendingWork, PerLoop
from aiocache_pe.runtime.portal import PortalEndedError, portal

_COUNTERS = (
    "hits",
    "misses",
    "sets",
    "deletes",
    "evictions",
    "expirations",
    "errors",
    "stale_hits",
    "load_failures",
    "seconds_saved",
    "input_tokens_saved",
    "output_tokens_saved",
    "money_saved",
)
_FRACTIONS = ("seconds_saved", "money_saved")
_DELAY = 1.0  # seconds from the first thing to report to its report


class _Timer:
    """A loop's next report."""

    __slots__ = ("handle", "task")

    def __init__(self) -> None:
        self.handle: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    async def end(self) -> None:
        """Begin no report, and wait for the one that was begun."""
        if self.handle is not None:
            self.handle.cancel()
        if self.task is not None:
            await asyncio.wait({self.task})


class StatsReporter:
    """Writes the counters of an engine's namespaces, and reads them.

    Args:
        engine: whose namespaces.
        on_activity: called once in a while when a namespace is used in an event loop.
    """

    def __init__(self, engine: Engine, on_activity: Callable[[], object] = lambda: None) -> None:
        self._engine = engine
        self._also = on_activity
        self._spaces: dict[str, Namespace] = {}
        self._usage = AccessLog(engine)
        self._timers = PerLoop(_Timer)
        self._reports = PendingWork()
        self._at_end = LoopEndHook(self._finish)
        self._scheduled: asyncio.AbstractEventLoop | None = None  # the last one with a timer
        self._asked = False  # whether the portal's loop was asked for a report
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget what is counted so far: the parent will report it."""
        self._scheduled = None
        self._asked = False
        self._usage.clear()
        for space in self.namespaces():
            space.counters.take_changes()

    def get_namespace(self, namespace: str) -> Namespace:
        """A namespace of the engine, the same one for the same name."""
        space = self._spaces.get(namespace)
        if space is None:
            space = self._spaces.setdefault(
                namespace, Namespace(self._engine, namespace, self._on_activity)
            )
        return space

    def namespaces(self) -> list[Namespace]:
        """The namespaces in use."""
        return list(self._spaces.values())

    def count_evicted(self, head: Head) -> None:
        """Count an entry that its store removed to make room; called in any thread."""
        self._removed("evicted", head)

    def count_expired(self, head: Head) -> None:
        """Count an entry that was removed because its time was over."""
        self._removed("expired", head)

    def _removed(self, cause: Cause, head: Head) -> None:
        area, _, _ = head.key.partition(":")
        with suppress(ValueError):  # a namespace of one who writes by other rules
            self.get_namespace(unquote(area)).count_removed(cause, 1, key=head.key)

    async def flush(self) -> None:
        """Report everything that was counted so far; what others report of it is waited for."""
        await self._report()
        await self._reports.wait_done()
        await self._usage.write()
        await self._usage.wait_written()

    async def read_stats(self, space: Namespace) -> CacheStats:
        """A namespace's counters of all processes, and its size now."""
        await self._report()
        await self._reports.wait_done()  # they have taken what they add, and may not have added it
        counts = await space.attempt("stats", self._read(space), {})
        for name, count in space.counters.counts.copy().items():  # what could not be reported
            counts[name] = counts.get(name, 0) + count
        work = capabilities.totals(self._engine.backend, space.prefix)
        entries, weight = await space.attempt("totals", work, (0, 0))
        known = {name: counts[name] for name in _COUNTERS if name in counts}
        seconds, money = (float(known.pop(name, 0.0)) for name in _FRACTIONS)
        return CacheStats(
            **{name: int(count) for name, count in known.items()},
            seconds_saved=seconds,
            money_saved=money,
            total_entries=entries,
            total_size_bytes=weight,
        )

    def _on_activity(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread of a script
            self._on_activity_elsewhere()
            return
        if loop is self._scheduled:
            return
        timer = self._timers.get()
        if timer.handle is None and not self._at_end.is_loop_ending:
            timer.handle = loop.call_later(_DELAY, self._fire, timer)
            self._at_end.arm()
        self._scheduled = loop
        self._also()

    def _on_activity_elsewhere(self) -> None:
        """Have it reported by the loop that serves threads without one."""
        if not self._asked:
            self._asked = True
            with suppress(PortalEndedError):
                portal.call_soon(self._on_activity)

    def _fire(self, timer: _Timer) -> None:
        timer.handle = self._scheduled = None
        self._asked = False
        if timer.task is None or timer.task.done():
            timer.task = asyncio.ensure_future(self._report_gently())
        else:
            self._on_activity()  # still busy with the last one: a second later

    async def _report_gently(self) -> None:
        await self._report()
        await self._usage.write(gently=True)

    async def _report(self) -> None:
        for space in self.namespaces():
            for _ in space.counters.read_parts():
                space.counters.settle()
                await asyncio.sleep(0)
            with self._reports.track():
                report, usage = space.counters.take_changes()
                self._usage.add(space, usage)
                if report:
                    await self._add(space, report)

    async def _finish(self) -> None:
        self._scheduled = None
        self._asked = False
        await self._timers.get().end()
        await self.flush()

    async def _add(self, space: Namespace, report: Mapping[str, float]) -> None:
        """Add to a namespace's record; what cannot be added is counted again.

        When this is cancelled, the change may be about to happen in a thread. It is
        told not to; and if it has begun, it counts as done.
        """
        key = _counters_key(space)
        state = {"begun": False, "abandoned": False}

        def add(record: Record | None) -> Record | None:
            if state["abandoned"]:
                return record
            state["begun"] = True
            counts = self._decoded(record)
            total = {name: counts.get(name, 0) + report.get(name, 0) for name in _COUNTERS}
            return self._engine.make_record_like(key, total)

        try:
            stored = await self._engine.backend.update(key, add)
        except asyncio.CancelledError:
            state["abandoned"] = True
            if not state["begun"]:
                space.counters.restore_changes(report)
            raise
        except Exception as error:
            space.counters.restore_changes(report)
            space.count_failure("stats", error)
            return
        if stored is None:  # a store that keeps nothing
            space.counters.restore_changes(report)

    async def _read(self, space: Namespace) -> dict[str, float]:
        key = _counters_key(space)
        found = (await self._engine.backend.read([key])).get(key)
        if isinstance(found, CacheError):
            raise found
        return self._decoded(found)

    def _decoded(self, record: Record | None) -> dict[str, float]:
        if record is None:
            return {}
        try:
            counts = self._engine.pipeline.decode(
                record.head.key, record.head.codec, record.payload
            )
        except CacheError:
            return {}
        return counts if isinstance(counts, dict) else {}


def _counters_key(space: Namespace) -> str:
    return make_internal_prefix(space.prefix, "stats") + "counters"
