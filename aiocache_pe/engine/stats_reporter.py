"""Reports of counters to the store, so that they outlive the process.

The counters of a namespace are one small record beside its entries. Any number of processes add
to it by the store's atomic update. A process reports a second after the first activity, when the
cache is closed and at the end of every event loop, but never during a hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import fields
from functools import partial
from typing import Any

from aiocache_pe.backends import capabilities
from aiocache_pe.backends.base import Evicting, Expiring, Guarded
from aiocache_pe.engine.access_log import AccessLog
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.engine.stats import CacheStats
from aiocache_pe.events import BreakerClosed, BreakerOpened, Cause
from aiocache_pe.exceptions import CacheError
from aiocache_pe.keys.store_keys import make_internal_prefix, unquote
from aiocache_pe.record import Head, Record
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook, PendingWork, PerLoop, get_loop
from aiocache_pe.runtime.portal import portal

_COUNTERS = tuple(field.name for field in fields(CacheStats) if not field.name.startswith("total_"))
_FRACTIONS = ("seconds_saved", "money_saved")
_MAX_COUNT = 2**63  # nothing that is counted reaches it, and each reader of JSON holds it exactly
_REPORT_DELAY = 1.0  # seconds from the first activity to its report


class _Timer:
    """The next report of an event loop, and the one in progress."""

    def __init__(self) -> None:
        self.handle: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Cancel the next report, and wait for the one in progress."""
        if self.handle is not None:
            self.handle.cancel()
        if self.task is not None:
            await asyncio.wait({self.task})


class StatsReporter:
    """Writes the counters of an engine's namespaces to the store, and reads them.

    Entries that the store evicts or expires by itself are counted, too.

    Attributes:
        on_activity: called in an event loop when the first activity of a second is noted there.
    """

    def __init__(self, engine: Engine) -> None:
        self.on_activity: Callable[[], object] = lambda: None
        self._engine = engine
        self._namespaces: dict[str, Namespace] = {}
        self._access_log = AccessLog(engine.backend, engine.clock)
        self._timers = PerLoop(_Timer)
        self._reports = PendingWork()
        self._reads = set[object]()  # of counters in the store; they delay the reports of timers
        self._loop_end = LoopEndHook(self._finish_loop)
        self._scheduled_loop: asyncio.AbstractEventLoop | None = None  # the last one with a timer
        self._is_portal_notified = False
        if isinstance(engine.backend, Evicting):
            engine.backend.on_evict = partial(self._count_removed, "evicted")
        if isinstance(engine.backend, Expiring):
            engine.backend.on_expire = self.count_expired
        if isinstance(engine.backend, Guarded):
            engine.backend.on_breaker = self._report_breaker
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget all counts, because the parent reports them."""
        self._scheduled_loop = None
        self._is_portal_notified = False
        self._access_log.clear()
        for namespace in list(self._namespaces.values()):
            namespace.counters.take_changes()

    def get_namespace(self, name: str) -> Namespace:
        """Return the namespace of a name; equal names have the same object."""
        namespace = self._namespaces.get(name)
        if namespace is None:
            namespace = self._namespaces.setdefault(
                name, Namespace(self._engine, name, self._schedule_report)
            )
        return namespace

    def count_expired(self, head: Head) -> None:
        """Count an entry that was removed because it expired; callable in any thread."""
        self._count_removed("expired", head)

    async def flush(self) -> None:
        """Write everything counted so far, and wait for the reports of other tasks."""
        await self._report_counters()
        await self._reports.wait_done()
        await self._access_log.write()
        await self._access_log.wait_written()

    async def read_stats(self, namespace: Namespace) -> CacheStats:
        """Return the counters of a namespace over all processes, and its present size."""
        get_loop()
        await self._report_counters()
        # Other reports have taken counts from memory that the store may not contain yet.
        await self._reports.wait_done()
        token = object()
        self._reads.add(token)
        try:
            counts = await namespace.attempt("stats", self._read_counters(namespace), {})
            for name, count in namespace.counters.counts.copy().items():  # not reported
                counts[name] = counts.get(name, 0) + count
        finally:
            self._reads.discard(token)

        work = capabilities.totals(self._engine.backend, namespace.prefix)
        entries, size = await namespace.attempt("totals", work, (0, 0))

        known: dict[str, Any] = {}
        for name in _COUNTERS:
            count = counts.get(name, 0)
            known[name] = float(count) if name in _FRACTIONS else int(count)
        return CacheStats(**known, total_entries=entries, total_size_bytes=size)

    def _count_removed(self, cause: Cause, head: Head) -> None:
        area, _, _ = head.key.partition(":")
        with suppress(ValueError):  # a namespace of another program, with other rules for names
            self.get_namespace(unquote(area)).count_removed(cause, 1, key=head.key)

    def _report_breaker(self, error: BaseException | None, seconds: float) -> None:
        bus = self._engine.events
        if error is not None:
            if BreakerOpened in bus.subscribed:
                bus.emit(BreakerOpened("", "", error))
        elif BreakerClosed in bus.subscribed:
            bus.emit(BreakerClosed("", "", seconds))

    def _schedule_report(self) -> None:
        """Start the timer of the running event loop's next report, unless it is running."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread without an event loop
            if not self._is_portal_notified:
                self._is_portal_notified = True
                portal.call_soon(self._schedule_report)
            return
        if loop is self._scheduled_loop:
            return
        timer = self._timers.get()
        if timer.handle is None and not self._loop_end.is_loop_ending:
            # In a context of its own: that of the caller would keep its arguments alive.
            timer.handle = loop.call_later(
                _REPORT_DELAY, self._start_report, timer, context=Context()
            )
            self._loop_end.arm()
        self._scheduled_loop = loop
        self.on_activity()

    def _start_report(self, timer: _Timer) -> None:
        timer.handle = self._scheduled_loop = None
        self._is_portal_notified = False
        if not self._reads and (timer.task is None or timer.task.done()):
            timer.task = asyncio.ensure_future(self._report_in_background())
        else:  # the previous report is still in progress, or a caller reads the counters
            self._schedule_report()

    async def _report_in_background(self) -> None:
        await self._report_counters()
        await self._access_log.write(in_background=True)

    async def _report_counters(self) -> None:
        for namespace in list(self._namespaces.values()):
            counters = namespace.counters
            for _ in range(counters.count_chunks()):
                counters.sum_up_chunk()
                await asyncio.sleep(0)
            with self._reports.track():
                counts, usage = counters.take_changes()
                self._access_log.add(namespace.attempt, usage)
                if counts:
                    await self._add_counts(namespace, counts)

    async def _finish_loop(self) -> None:
        self._scheduled_loop = None
        self._is_portal_notified = False
        await self._timers.get().stop()
        await self.flush()

    async def _add_counts(self, namespace: Namespace, counts: Mapping[str, float]) -> None:
        """Add counts to the record of a namespace; on failure they stay in memory.

        When this call is cancelled, the update may be about to run in a thread. It then changes
        nothing. If it has begun already, the counts are taken as written.
        """
        key = _make_counters_key(namespace)
        has_begun = is_abandoned = False

        def add(record: Record | None) -> Record | None:
            nonlocal has_begun
            if is_abandoned:
                return record
            has_begun = True
            stored = self._decode_counters(record)
            total = {name: stored.get(name, 0) + counts.get(name, 0) for name in _COUNTERS}
            return self._engine.make_record_like(key, total)

        try:
            stored = await self._engine.backend.update(key, add)
        except asyncio.CancelledError:
            is_abandoned = True
            if not has_begun:
                namespace.counters.restore_changes(counts)
            raise
        except Exception as error:
            namespace.counters.restore_changes(counts)
            namespace.count_failure("stats", error)
            return
        if stored is None:  # a store that stores nothing
            namespace.counters.restore_changes(counts)

    async def _read_counters(self, namespace: Namespace) -> dict[str, float]:
        key = _make_counters_key(namespace)
        record = (await self._engine.backend.read([key])).get(key)
        if isinstance(record, CacheError):
            raise record
        return self._decode_counters(record)

    def _decode_counters(self, record: Record | None) -> dict[str, float]:
        if record is None:
            return {}
        head = record.head
        try:
            counts = self._engine.pipeline.decode_small(head.key, head.codec, record.payload)
        except CacheError:
            return {}
        stored = counts if isinstance(counts, dict) else {}
        return {name: stored[name] for name in _COUNTERS if _is_count(stored.get(name))}


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MAX_COUNT


def _make_counters_key(namespace: Namespace) -> str:
    return make_internal_prefix(namespace.prefix, "stats") + "counters"
