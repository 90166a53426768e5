"""Failover between two stores, and the repair of the first store before it serves again."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakMethod

from aiocache_pe.backends.base import Backend, Probed
from aiocache_pe.backends.fallback.circuit_breaker import CircuitBreaker, Pauses, Sleep
from aiocache_pe.backends.fallback.journal import Journal, Pattern
from aiocache_pe.backends.fallback.settlement import Settlement, is_counter
from aiocache_pe.clock import Clock
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.keys.store_keys import is_internal_key
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background
from aiocache_pe.runtime.randomness import vary
from aiocache_pe.runtime.short_locks import get_free

logger = logging.getLogger("aiocache_pe")
T = TypeVar("T")
Work = Callable[[], Awaitable[T]]

UNAVAILABLE_ERRORS = (StoreUnavailableError, OSError)
"""Errors of the first store after which the second one serves."""

_PROBE_KEY = "aiocache_pe+probe:"
_MAX_BLOCKING_SETTLEMENT = 100  # keys that are settled while new changes wait
_MAX_ROUNDS = 20  # of settling patterns that keep being recorded, before new changes wait
_CLOSE_DELAY_SECONDS = 0.2  # from the first answer of the first store to its repair
_START_PROBES = 10  # answers at the start of a process in the place of that delay
_START_SECONDS = 1.0  # of the first settlement that callers wait for
_POLL_SECONDS = 0.002  # between two checks whether changes in flight have ended
_FAILOVER_SECONDS = 2.0  # in which a changed value waits for the first store
_FAILOVER_POLL_SECONDS = 0.05
_ADOPTION_SECONDS = 2.0  # between two searches for journals of crashed processes


class Failover:
    """Calls the first store while it is available, and the second one otherwise.

    Args:
        first: the store to use.
        second: the store that serves while the first one is unavailable.
        folder: directory of the journals.
        pauses: see `CircuitBreaker`.
        sleep: see `CircuitBreaker`.
        clock: the clock that dates the records.

    Attributes:
        breaker: open while the second store serves.
        is_starting: whether journals of other processes may have to be settled, before the first
            store is used for the first time.
    """

    def __init__(
        self,
        first: Backend,
        second: Backend,
        folder: str,
        pauses: Pauses,
        sleep: Sleep,
        *,
        clock: Clock,
    ) -> None:
        self._first, self._second = first, second
        self._journal = Journal(folder)
        self._settlement = Settlement(first, second, self._journal, clock)
        self._clock = clock
        self._sleep = sleep
        self._journal_watch = Background()
        self.is_starting = self._journal.has_files()
        self._away_since = clock.time()
        self._has_answered = False
        self.breaker = CircuitBreaker(
            repr(first), self._recover, is_open=self.is_starting, pauses=pauses, sleep=sleep
        )
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without changes in flight: the parent's changes are not in this process."""
        self._lock = threading.Lock()
        self._has_begun = False
        self._start_task: asyncio.Task[None] | None = None
        self._in_flight = 0
        self._is_settling = False
        self._is_watching = False

    async def start(self) -> None:
        """Settle the journals of crashed processes before the first use of the first store.

        A script that lives for a tenth of a second has no other moment for it. All callers wait for
        one settlement, and not for long.
        """
        if not self.is_starting:
            return
        with get_free(self._lock):
            has_begun, self._has_begun = self._has_begun, True
        if not has_begun:
            self._start_task = asyncio.ensure_future(self._settle_at_start())
        end = time.monotonic() + _START_SECONDS
        while self.is_starting and time.monotonic() < end:  # noqa: ASYNC110 - as in `change`
            await asyncio.sleep(_POLL_SECONDS)
        self.is_starting = False

    async def read(self, read_first: Work[T], read_second: Work[T], keys: Iterable[str] = ()) -> T:
        """Read from the store that serves now.

        Args:
            read_first: reads from the first store.
            read_second: reads from the second store.
            keys: the keys that are read; the second store has no counters.

        Raises:
            StoreUnavailableError: a counter is requested from the second store.
        """
        if self.is_starting:
            await self.start()
        if not self.breaker.is_open:
            self._watch_journals()
            try:
                found = await self.breaker.call(read_first)
            except UNAVAILABLE_ERRORS as error:
                self.open_breaker(error)
            else:
                self._has_answered = True
                return found
        self.breaker.start_probing()
        self._refuse_counters(keys)
        return await read_second()

    async def change(
        self,
        change_first: Work[T],
        change_second: Work[T],
        keys: Sequence[str] = (),
        patterns: Sequence[Pattern] = (),
        *,
        is_whole: bool = True,
    ) -> T:
        """Change the store that serves now, and record the changes that the first one misses.

        Args:
            change_first: changes the first store.
            change_second: changes the second store.
            keys: the keys that are changed.
            patterns: patterns of the keys that are removed.
            is_whole: whether the new values do not depend on those in the first store.

        Raises:
            StoreUnavailableError: a counter would be changed in the second store.
            OSError: the change cannot be recorded.
        """
        has_failed = False
        if self.is_starting:
            await self.start()
        while True:
            while self._is_settling:  # noqa: ASYNC110 - an Event belongs to one loop, this to all
                await asyncio.sleep(_POLL_SECONDS)

            if not self.breaker.is_open:
                self._watch_journals()
                try:
                    changed = await self.breaker.call(change_first)
                except UNAVAILABLE_ERRORS as error:
                    has_failed = True
                    self.open_breaker(error)
                else:
                    self._has_answered = True
                    return changed

            self.breaker.start_probing()
            self._refuse_counters(keys)
            if self._needs_value(keys, is_whole=is_whole) and await self._has_recovered():
                continue
            with get_free(self._lock):
                if self._is_settling or not (self.breaker.is_open or has_failed):
                    continue
                self._in_flight += 1
            # A cancelled caller does not cancel the change: none may follow the settlement.
            recording = self._journal.record(
                self._clock.time(), self._away_since, keys, patterns, is_whole=is_whole
            )
            work = asyncio.ensure_future(self._change_second(recording, change_second, keys))
            work.add_done_callback(self._finish_change)
            return await asyncio.shield(work)

    def open_breaker(self, error: BaseException) -> None:
        """Let the second store serve from now on."""
        if not self.breaker.is_open:
            self._away_since = self._clock.time()
        self.breaker.open(error)

    def _needs_value(self, keys: Sequence[str], *, is_whole: bool) -> bool:
        """Return whether a change needs a value that the first store may still have."""
        is_needed = not is_whole and not all(map(is_internal_key, keys))
        return is_needed and self._has_answered

    async def _has_recovered(self) -> bool:
        """Wait for the first store until the outage is longer than a planned failover.

        The second store does not have the value that the first one still has: a counter would
        begin again.
        """
        for _ in range(round(_FAILOVER_SECONDS / _FAILOVER_POLL_SECONDS)):
            if not self.breaker.is_open:
                return True
            if self._clock.time() - self._away_since > _FAILOVER_SECONDS:
                return False
            await self._sleep(_FAILOVER_POLL_SECONDS)
        return False

    async def close(self) -> None:
        """Stop the background work; the next user of the directory settles pending changes."""
        self._journal_watch.stop()
        self._is_watching = False
        self.breaker.stop_probing()
        await self._wait_idle()
        self._journal.close()

    async def _wait_idle(self) -> None:
        while self._in_flight:  # noqa: ASYNC110 - an Event belongs to one loop, this to all
            await asyncio.sleep(_POLL_SECONDS)

    async def _change_second(
        self, recording: Coroutine[Any, Any, None], change_second: Work[T], keys: Sequence[str]
    ) -> T:
        await recording
        try:
            return await change_second()
        finally:
            self._journal.confirm(self._clock.time(), self._away_since, keys)

    def _finish_change(self, work: asyncio.Future[Any]) -> None:
        with get_free(self._lock):
            self._in_flight -= 1
        if not work.cancelled():
            work.exception()  # marks it as retrieved; its caller may have been cancelled

    def _refuse_counters(self, keys: Iterable[str]) -> None:
        """Refuse counters, which must not start at zero again; the process keeps them meanwhile."""
        if any(is_counter(key) for key in keys):
            raise StoreUnavailableError(
                f"{self._first!r} is unavailable; its counters are written when it returns"
            )

    async def _settle_at_start(self) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                for _ in range(_START_PROBES):
                    await self._probe()
                await self._repair()
        except Exception as error:  # noqa: BLE001 - after any error the second store serves
            logger.debug("%r is not settled at the start: %s", self._first, error)
            with suppress(OSError):  # the next process begins where this one has stopped
                await self._journal.run(self._journal.compact)
        finally:
            self.is_starting = False
            self._start_task = None

    async def _recover(self) -> None:
        """Probe the first store, settle the changes that it missed, and close the breaker.

        Calls that were ended may still be in the server's buffers, and the server executes them
        when it continues. So the settlement begins a moment after the first answer.
        """
        await self._probe()
        await asyncio.sleep(_CLOSE_DELAY_SECONDS)
        await self._repair()

    async def _probe(self) -> None:
        if isinstance(self._first, Probed):
            await self._first.probe()
        else:
            await self._first.read([_PROBE_KEY])

    async def _repair(self) -> None:
        journal = self._journal
        await journal.run(journal.adopt)
        for _ in range(_MAX_ROUNDS):
            await self._settlement.settle_patterns()
            while len(journal) > _MAX_BLOCKING_SETTLEMENT and not journal.get_patterns():
                await self._settlement.settle_keys()
            if not journal.get_patterns():
                break

        with get_free(self._lock):
            self._is_settling = True  # changes wait from here on
        try:
            await self._wait_idle()
            while len(journal):
                await self._settlement.settle_patterns()
                await self._settlement.settle_keys()
            await journal.run(journal.finish)
            self.breaker.close()
        finally:
            self._is_settling = False

    def _watch_journals(self) -> None:
        """Start the search for journals of processes that crash from now on, unless it runs."""
        if not self._is_watching:
            self._is_watching = True
            self._journal_watch.start(_repeat, WeakMethod(self._adopt_journals), self._sleep)

    async def _adopt_journals(self) -> None:
        """Adopt the journals of crashed processes, and open the breaker to settle them."""
        if self.breaker.is_open:
            return
        with suppress(OSError):  # tried again
            if await self._journal.run(self._journal.adopt):
                self.open_breaker(InterruptedError("a crashed process left changes to settle"))
                self.breaker.start_probing()


async def _repeat(adopt: WeakMethod[Callable[[], Awaitable[None]]], sleep: Sleep) -> None:
    while True:
        await sleep(vary(_ADOPTION_SECONDS))
        method = adopt()
        if method is None:  # the stores were garbage-collected
            return
        await method()
        del method
