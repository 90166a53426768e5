"""Removing in the background what is over, while a cache is in use.

A store that does not do so by itself is gone through in small steps, with rests between
them that are ten times as long, and no two steps under way at once. Between the steps
nothing is held but a timer, so neither `close` nor the end of a loop waits for a round, and
a round that is cut off is taken up by the next one, in whichever process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from aiocache_pe.backends.base import Maintainable
from aiocache_pe.engine.engine import Engine
from aiocache_pe.record import Head
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook

logger = logging.getLogger("aiocache_pe")
FIRST = 10.0
"""Seconds from the first use of a cache to its first round: scripts are over by then."""
AGAIN = 60.0
"""Seconds from the end of a round to the next attempt; the store says whether it is due."""
_REST = 10.0  # times as long as a step took
_LEAST_REST = 0.01  # seconds


class Maintenance:
    """Goes through an engine's store, if that is of use to it.

    Args:
        engine: whose store and clock.
        on_expired: called with the head of every entry that was removed.
    """

    __slots__ = (
        "__weakref__",
        "_at_end",
        "_due",
        "_engine",
        "_handle",
        "_loop",
        "_on_expired",
        "_task",
    )

    def __init__(self, engine: Engine, on_expired: Callable[[Head], object]) -> None:
        self._engine = engine
        self._on_expired = on_expired
        self._due: float | None = None  # not before it is used
        self._at_end = LoopEndHook(self._finish)
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's round to the parent."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def arm(self) -> None:
        """Begin a round in the running loop, if it is time and none is under way."""
        now = self._engine.clock.monotonic()
        if self._due is None:
            self._due = now + FIRST
        if now < self._due:
            return
        if not self._is_under_way() and not self._at_end.is_loop_ending:
            self._loop = asyncio.get_running_loop()
            self._at_end.arm()
            self._begin()

    def stop(self) -> None:
        """End the round that is under way; to be called in any loop."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            if loop is asyncio.get_running_loop():
                self._cancel()
            else:
                loop.call_soon_threadsafe(self._cancel)

    def _is_under_way(self) -> bool:
        return self._loop is not None and self._loop.is_running()

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._step())

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._task is not None:
            self._task.cancel()

    async def _finish(self) -> None:
        """Leave no task to a loop that comes to its end: its timers fire until it is closed."""
        task = self._task
        if self._loop is asyncio.get_running_loop():
            self.stop()
            if task is not None:
                await asyncio.wait({task})

    async def _step(self) -> None:
        loop, backend = asyncio.get_running_loop(), self._engine.backend
        began = loop.time()
        removed: Sequence[Head] | None = None
        try:
            if isinstance(backend, Maintainable):
                removed = await backend.maintain(self._engine.clock.time())
        except Exception as error:  # noqa: BLE001 - it is no caller's; it will be tried again
            logger.info("could not go through the store (%s: %s)", type(error).__name__, error)
        except asyncio.CancelledError:  # perhaps by somebody who cancels all there is
            if self._loop is loop:
                self._loop = None
            raise
        if self._loop is not loop:  # stopped
            return
        if removed is None:
            self._due = self._engine.clock.monotonic() + AGAIN
            self._loop = None
            return
        for head in removed:
            self._on_expired(head)
        rest = max(_LEAST_REST, _REST * (loop.time() - began))
        self._handle = loop.call_later(rest, self._begin)
