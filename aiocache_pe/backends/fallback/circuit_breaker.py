"""Circuit breaker of a store: it stops calls to a store that has failed, and probes the store.

After Nygard, *Release It!*. One failed call opens the breaker. All calls in flight end at that
moment, instead of each waiting for a time-out of its own. While the breaker is open, only one
background task calls the store, at growing intervals.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakMethod

from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background
from aiocache_pe.runtime.randomness import vary
from aiocache_pe.runtime.short_locks import get_free

logger = logging.getLogger("aiocache_pe")
T = TypeVar("T")

Recover = Callable[[], Awaitable[None]]
Sleep = Callable[[float], Awaitable[object]]
Pauses = tuple[float, float]


class CircuitBreaker:
    """A guard of the calls to one store.

    Args:
        name: the store's name for the log.
        recover: called in the portal's loop at intervals while the breaker is open. It probes the
            store, repairs it and calls `close`; it raises if the store is still unavailable.
        is_open: whether the breaker is open at first.
        pauses: the first and the longest pause between two attempts to recover, in seconds.
        sleep: makes the pauses; a test passes a function that does not wait.

    Attributes:
        is_open: whether calls are refused.
        on_change: called when the breaker opens and closes; see `Guarded.on_breaker`.
    """

    def __init__(
        self,
        name: str,
        recover: Recover,
        *,
        is_open: bool = False,
        pauses: Pauses = (0.1, 2.0),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._recover: WeakMethod[Recover] = WeakMethod(recover)
        self._pauses = pauses
        self._sleep = sleep
        self._background = Background()
        self.is_open = is_open
        self._has_warned = False
        self._opened_at = 0.0
        self.on_change: Callable[[BaseException | None, float], None] | None = None
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without calls in flight: the parent's calls are not in this process."""
        self._lock = threading.Lock()
        self._calls: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await a call to the store for as long as the breaker is closed.

        Raises:
            TimeoutError: the breaker is open, or was opened before the call ended.
        """
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._calls[scope] = asyncio.get_running_loop()
                if self.is_open:
                    raise TimeoutError
                return await work()
        finally:
            self._calls.pop(scope, None)

    def open(self, reason: BaseException) -> None:
        """Refuse calls from now on, and end all calls in flight."""
        with get_free(self._lock):
            if self.is_open:
                return
            self.is_open = True
            calls = list(self._calls.items())
            self._has_warned = True
            self._opened_at = time.monotonic()
        is_misconfigured = getattr(reason, "is_misconfigured", False)
        logger.log(
            logging.ERROR if is_misconfigured else logging.WARNING,
            "%s is unavailable; the fallback store serves: %s%s",
            *(self._name, reason, "; check the URL" if is_misconfigured else ""),
        )
        for scope, loop in calls:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end_call, scope, loop)
        if self.on_change is not None:
            self.on_change(reason, 0.0)

    def close(self) -> None:
        """Accept calls again."""
        self.is_open = False
        if self._has_warned:
            self._has_warned = False
            logger.warning("%s is available again", self._name)
            if self.on_change is not None:
                self.on_change(None, time.monotonic() - self._opened_at)

    def start_probing(self) -> None:
        """Start the attempts to recover, unless they run; needs a running loop."""
        self._background.start(_probe, self._recover, self._pauses, self._sleep)

    def stop_probing(self) -> None:
        """Stop the attempts to recover until the next `start_probing`."""
        self._background.stop()

    def _end_call(self, scope: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
        if scope in self._calls:
            scope.reschedule(loop.time())


async def _probe(recover: WeakMethod[Recover], pauses: Pauses, sleep: Sleep) -> None:
    pause, longest_pause = pauses
    while True:
        await sleep(vary(pause))
        method = recover()
        if method is None:  # the store was garbage-collected
            return
        try:
            await method()
        except Exception as error:  # noqa: BLE001 - after any error the store stays unavailable
            logger.debug("store is still unavailable: %s", error)
            pause = min(pause * 2, longest_pause)
        else:
            return
        finally:
            del method
