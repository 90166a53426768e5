"""Background refreshes: at most one task per key computes a newer value at a time.

A refresh that fails, or that stores nothing, is retried after some seconds. A service that is
down would not recover faster if it were called at every hit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiocache_pe.clock import Clock
from aiocache_pe.context import make_unobserved_context
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook, PerLoop
from aiocache_pe.runtime.portal import portal

logger = logging.getLogger("aiocache_pe")
RETRY_DELAY = 5.0
"""Seconds from a failure to the next attempt."""
_SETTLE_SECONDS = 10.0  # the end of a cache or an event loop waits so long for its refreshes
_MAX_RETRY_TIMES = 10_000  # failures to remember, after which those that have passed are removed

Refresh = Callable[[], Coroutine[Any, Any, Outcome]]
RefreshTask = asyncio.Task[Outcome | None]
"""A refresh in progress; its result is ``None`` if it failed."""


class BackgroundRefreshes:
    """The refreshes of a cache."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, tuple[float, RefreshTask]] = {}
        self._tasks: PerLoop[set[RefreshTask]] = PerLoop(set)
        self._retry_at: dict[str, float] = {}
        self._loop_end = LoopEndHook(self.settle)
        portal.settleables.add(self)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's tasks, which are not in this process."""
        self._running.clear()

    def may_start(self, entry: MemoryEntry) -> bool:
        """Return whether a refresh of an entry may start now; callable in any thread."""
        task = self._find(entry)
        if task is not None and not task.done() and not task.get_loop().is_closed():
            return False
        return self._retry_at.get(entry.key, 0.0) <= self._clock.monotonic()

    def start(self, entry: MemoryEntry, work: Refresh) -> RefreshTask | None:
        """Start a refresh, unless one is in progress or the last one failed recently.

        A refresh of an earlier entry of the key does not count. The key has changed since that
        refresh began, so its value may be outdated.

        Args:
            entry: the entry to refresh.
            work: computes and stores the newer value.

        Returns:
            The refresh that is now in progress in this event loop; ``None`` if there is none.
        """
        key, running = entry.key, self._find(entry)
        if not self.may_start(entry):
            is_here = running is not None and running.get_loop() is asyncio.get_running_loop()
            return running if is_here else None
        if self._loop_end.is_loop_ending:
            return None

        tasks = self._tasks.get()
        task = asyncio.create_task(
            self._run(key, work),
            name=f"aiocache_pe-refresh {key:.80}",
            context=make_unobserved_context(),
        )
        self._running[key] = entry.expires_at, task
        tasks.add(task)
        task.add_done_callback(lambda task: self._remove(key, task, tasks))
        self._loop_end.arm()
        return task

    def _find(self, entry: MemoryEntry) -> RefreshTask | None:
        """Return the task that refreshes an entry, and not an earlier one of its key."""
        expires_at, task = self._running.get(entry.key, (0.0, None))
        return task if expires_at == entry.expires_at else None

    async def settle(self) -> None:
        """Wait a limited time for the refreshes of this event loop, then cancel them."""
        tasks = {task for task in self._tasks.get() if not task.done()}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_SETTLE_SECONDS)
        for task in late:
            task.cancel()
        if late:
            logger.warning(
                "%d background refreshes are cancelled: they took longer than %.0f s at the end",
                *(len(late), _SETTLE_SECONDS),
            )
            await asyncio.wait(late, timeout=_SETTLE_SECONDS)

    async def _run(self, key: str, work: Refresh) -> Outcome | None:
        try:
            outcome = await work()
        except Exception as error:  # noqa: BLE001 - raised by a factory, and reported as an event
            if key not in self._retry_at:  # logged once, until a refresh succeeds again
                logger.warning(
                    "refresh of key %r failed (%s: %s); the stored value is served as long as "
                    "its options allow, and further failures are counted, not logged",
                    *(key, type(error).__name__, error),
                )
            self._delay_retry(key)
            return None
        if outcome.is_stored:
            self._retry_at.pop(key, None)
        else:
            self._delay_retry(key)
        return outcome

    def _delay_retry(self, key: str) -> None:
        now = self._clock.monotonic()
        if len(self._retry_at) >= _MAX_RETRY_TIMES:
            for old in [key for key, time in self._retry_at.items() if time <= now]:
                del self._retry_at[old]
        self._retry_at[key] = now + RETRY_DELAY

    def _remove(self, key: str, task: RefreshTask, tasks: set[RefreshTask]) -> None:
        tasks.discard(task)
        if self._running.get(key, (0.0, None))[1] is task:
            del self._running[key]
