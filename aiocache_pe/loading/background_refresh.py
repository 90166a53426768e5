"""Computing anew in the background what is served meanwhile: one task a key, and not too often.

A refresh that fails, or that stores nothing, is not tried again for some seconds: a
service that is down is not helped by a call for every hit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from aiocache_pe.clock import Clock
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook, PerLoop
from aiocache_pe.runtime.portal import portal

logger = logging.getLogger("aiocache_pe")
RETRY_AFTER = 5.0
"""Seconds from a failure to the next attempt."""
_GRACE = 10.0  # seconds that the end of a cache or loop waits for what is under way
_MANY = 10_000  # failures to remember before those that are over are forgotten


class RefreshOutcome(NamedTuple):
    """What a refresh came to.

    Attributes:
        value: the new value.
        is_stored: whether the store has it now.
    """

    value: Any
    is_stored: bool


RefreshTask = asyncio.Task[RefreshOutcome | None]
"""A refresh under way; its result is ``None`` if it failed."""


class BackgroundRefreshes:
    """The refreshes of a cache.

    Args:
        clock: the time.
    """

    __slots__ = ("__weakref__", "_at_end", "_clock", "_retry_at", "_running", "_tasks")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, RefreshTask] = {}
        self._tasks: PerLoop[set[RefreshTask]] = PerLoop(set)
        self._retry_at: dict[str, float] = {}
        self._at_end = LoopEndHook(self.settle)
        portal.settleables.add(self)
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget what the parent does: its tasks are not in this process."""
        self._running.clear()

    def may_start(self, key: str) -> bool:
        """Whether now is the time for one; may be asked in any thread."""
        task = self._running.get(key)
        if task is not None and not task.done() and not task.get_loop().is_closed():
            return False
        return self._retry_at.get(key, 0.0) <= self._clock.monotonic()

    def start(
        self, key: str, work: Callable[[], Coroutine[Any, Any, RefreshOutcome]]
    ) -> RefreshTask | None:
        """Begin a refresh, unless one is under way or the last one failed a moment ago.

        Args:
            key: its store key.
            work: computes and stores the value.

        Returns:
            The refresh that is under way in this loop by now; ``None`` if there is none.
        """
        running = self._running.get(key)
        if not self.may_start(key):
            here = running is not None and running.get_loop() is asyncio.get_running_loop()
            return running if here else None
        if self._at_end.is_loop_ending:
            return None
        tasks = self._tasks.get()
        task = asyncio.create_task(self._done(key, work), name=f"aiocache_pe-refresh {key:.80}")
        self._running[key] = task
        tasks.add(task)
        task.add_done_callback(lambda task: self._ended(key, task, tasks))
        self._at_end.arm()
        return task

    async def settle(self) -> None:
        """Wait for the refreshes of this loop, but not for ever: then they are stopped."""
        tasks = {task for task in self._tasks.get() if not task.done()}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_GRACE)
        for task in late:
            task.cancel()
        if late:
            logger.warning("%d refreshes took longer than %.0f s at the end", len(late), _GRACE)
            await asyncio.wait(late, timeout=_GRACE)

    async def _done(
        self, key: str, work: Callable[[], Coroutine[Any, Any, RefreshOutcome]]
    ) -> RefreshOutcome | None:
        try:
            refreshed = await work()
        except Exception as error:  # noqa: BLE001 - a factory's own, of which an event told
            if key not in self._retry_at:  # said once, until it succeeds again
                logger.warning(
                    "refreshing %r failed (%s: %s); what is stored is served as long as it may "
                    "be, and further failures are counted, not logged",
                    *(key, type(error).__name__, error),
                )
            self._pause(key)
            return None
        if refreshed.is_stored:
            self._retry_at.pop(key, None)
        else:
            self._pause(key)
        return refreshed

    def _pause(self, key: str) -> None:
        now = self._clock.monotonic()
        if len(self._retry_at) >= _MANY:
            for old in [key for key, until in self._retry_at.items() if until <= now]:
                del self._retry_at[old]
        self._retry_at[key] = now + RETRY_AFTER

    def _ended(self, key: str, task: RefreshTask, tasks: set[RefreshTask]) -> None:
        tasks.discard(task)
        if self._running.get(key) is task:
            del self._running[key]
