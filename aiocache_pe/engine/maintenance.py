"""Background maintenance: removal of expired entries from a store while the cache is in use.

A store that does not remove expired entries by itself is processed in small steps. A pause ten
times as long as the step follows each, and no two steps run at once. Between steps only a timer
exists, so neither the closing of a cache nor the end of an event loop waits for a round. The next
round, in any process, continues a round that was cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context

from aiocache_pe.backends.base import Maintainable
from aiocache_pe.engine.engine import Engine
from aiocache_pe.record import Head
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import LoopEndHook

logger = logging.getLogger("aiocache_pe")
FIRST_ROUND_DELAY = 10.0
"""Seconds from the first use of a cache to its first round. Most scripts have ended by then."""
ROUND_INTERVAL = 60.0
"""Seconds from the end of a round to the next one; the store decides whether it is due."""
_PAUSE_FACTOR = 10.0  # pause after a step, as a multiple of its duration
_MIN_PAUSE = 0.01  # seconds


class Maintenance:
    """The maintenance of a store; ``on_expire`` is called with every removed entry's head."""

    def __init__(self, engine: Engine, on_expire: Callable[[Head], object]) -> None:
        self._engine = engine
        self._on_expire = on_expire
        self._due_at: float | None = None  # set at the first use
        self._loop_end = LoopEndHook(self._stop_with_loop)
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a round: the parent's round stays with the parent."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def arm(self) -> None:
        """Start a round in the running event loop if one is due and none is in progress."""
        now = self._engine.clock.monotonic()
        if self._due_at is None:
            self._due_at = now + FIRST_ROUND_DELAY
        if now < self._due_at:
            return
        is_in_progress = self._loop is not None and self._loop.is_running()
        if not is_in_progress and not self._loop_end.is_loop_ending:
            self._loop = asyncio.get_running_loop()
            self._loop_end.arm()
            self._start_step()

    def stop(self) -> None:
        """Cancel the round in progress; callable in any event loop."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            if loop is asyncio.get_running_loop():
                self._cancel()
            else:
                loop.call_soon_threadsafe(self._cancel)

    def _start_step(self) -> None:
        self._task = asyncio.ensure_future(self._run_step())

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._task is not None:
            self._task.cancel()

    async def _stop_with_loop(self) -> None:
        """Leave no task behind in a loop that ends; its timers fire until it is closed."""
        task = self._task
        if self._loop is asyncio.get_running_loop():
            self.stop()
            if task is not None:
                await asyncio.wait({task})

    async def _run_step(self) -> None:
        loop, backend = asyncio.get_running_loop(), self._engine.backend
        began = loop.time()
        removed: Sequence[Head] | None = None
        try:
            if isinstance(backend, Maintainable):
                removed = await backend.maintain(self._engine.clock.time())
        except Exception as error:  # noqa: BLE001 - no caller waits; the next round tries again
            logger.info(
                "maintenance of store %s failed (%s: %s); it is tried again later",
                *(backend.name, type(error).__name__, error),
            )
        except asyncio.CancelledError:  # possibly by a caller that cancels all tasks of the loop
            if self._loop is loop:
                self._loop = None
            raise

        if self._loop is not loop:  # stopped meanwhile
            return
        if removed is None:
            self._due_at = self._engine.clock.monotonic() + ROUND_INTERVAL
            self._loop = None
            return
        for head in removed:
            self._on_expire(head)
        pause = max(_MIN_PAUSE, _PAUSE_FACTOR * (loop.time() - began))
        self._handle = loop.call_later(pause, self._start_step, context=Context())
