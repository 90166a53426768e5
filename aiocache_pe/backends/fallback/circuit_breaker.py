"""Whether a store is to be trusted: who says so, who is told, and how it is tried again.

A breaker in the sense of Nygard's *Release It!*: one failed call opens it, and all calls
under way are let go at that moment instead of each waiting for a time-out of its own.
While it is open nobody but a task in the background asks the store, ever less often.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakMethod

from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background

logger = logging.getLogger("aiocache_pe")
T = TypeVar("T")

Recover = Callable[[], Awaitable[None]]
Sleep = Callable[[float], Awaitable[object]]


class CircuitBreaker:
    """Guards a store.

    Args:
        name: the store's, for the log.
        recover: called in the portal's loop every now and then while it is open: asks
            the store and puts it in order, then calls `close`; raises if it is still away.
        is_open: whether to begin without trust.
        pauses: the first pause between two tries, and the longest, in seconds.
        sleep: makes the pauses; tests hand in one that does not wait.
    """

    def __init__(
        self,
        name: str,
        recover: Recover,
        *,
        is_open: bool = False,
        pauses: tuple[float, float] = (0.1, 2.0),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._recover: WeakMethod[Recover] = WeakMethod(recover)
        self._pauses = pauses
        self._sleep = sleep
        self._background = Background()
        self.is_open = is_open
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without calls under way: the parent's are not in this process."""
        self._lock = threading.Lock()
        self._calls: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await something of the store, but only for as long as it is trusted.

        Raises:
            TimeoutError: it was opened meanwhile.
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
        """Trust the store no more, and let go all calls that wait for it."""
        with self._lock:
            if self.is_open:
                return
            self.is_open = True
            calls = list(self._calls.items())
        logger.warning("%s is away, the fallback serves meanwhile: %s", self._name, reason)
        for scope, loop in calls:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._let_go, scope, loop)

    def close(self) -> None:
        """Trust it again."""
        self.is_open = False
        logger.warning("%s is back", self._name)

    def watch(self) -> None:
        """See to it that somebody tries; called in a running loop while it is open."""
        self._background.start(_probing, self._recover, self._pauses, self._sleep)

    def stop(self) -> None:
        """Let nobody try any more, until the next `watch`."""
        self._background.stop()

    def _let_go(self, scope: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
        if scope in self._calls:
            scope.reschedule(loop.time())


async def _probing(recover: WeakMethod[Recover], pauses: tuple[float, float], sleep: Sleep) -> None:
    pause, longest = pauses
    while True:
        await sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        method = recover()
        if method is None:  # its store is gone
            return
        try:
            await method()
        except Exception as error:  # noqa: BLE001 - it is away, whatever it says
            logger.debug("still away: %s", error)
            pause = min(pause * 2, longest)
        else:
            return
        finally:
            del method
