"""Failover between two stores, and the repair of the first store before it serves again."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar
from weakref import WeakMethod

from aiocache_pe.backends.base import Backend, Probed
from aiocache_pe.backends.fallback.circuit_breaker import CircuitBreaker, Pauses, Sleep
from aiocache_pe.backends.fallback.journal import Journal, JournalBatch
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]

UNAVAILABLE_ERRORS = (StoreUnavailableError, OSError)
"""Errors of the first store after which the second one serves."""

_PROBE_KEY = "aiocache_pe+probe:"
_SETTLE_BATCH = 500  # changes that are settled in one step
_MAX_BLOCKING_SETTLEMENT = 100  # changes that are settled while new changes wait
_CLOSE_DELAY_SECONDS = 0.2  # from the first answer of the first store to its repair
_POLL_SECONDS = 0.002  # between two checks whether changes in flight have ended
_ADOPTION_SECONDS = 2.0  # between two searches for journals of crashed processes


class Failover:
    """Calls the first store while it is available, and the second one otherwise.

    Args:
        first: the store to use.
        second: the store that serves while the first one is unavailable.
        folder: directory of the journals.
        pauses: see `CircuitBreaker`.
        sleep: see `CircuitBreaker`.

    Attributes:
        breaker: open while the second store serves.
    """

    def __init__(
        self, first: Backend, second: Backend, folder: str, pauses: Pauses, sleep: Sleep
    ) -> None:
        self._first, self._second = first, second
        self._journal = Journal(folder)
        self._sleep = sleep
        self._journal_watch = Background()
        # A journal may be that of a crashed process; then its changes have to be settled first.
        is_open = self._journal.has_files()
        self.breaker = CircuitBreaker(
            repr(first), self._recover, is_open=is_open, pauses=pauses, sleep=sleep
        )
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without changes in flight: the parent's changes are not in this process."""
        self._lock = threading.Lock()
        self._in_flight = 0
        self._is_settling = False
        self._is_watching = False

    async def read(self, read_first: Work[T], read_second: Work[T], keys: Iterable[str] = ()) -> T:
        """Read from the store that serves now.

        Args:
            read_first: reads from the first store.
            read_second: reads from the second store.
            keys: the keys that are read; the second store has no counters.

        Raises:
            StoreUnavailableError: a counter is requested from the second store.
        """
        if not self.breaker.is_open:
            self._watch_journals()
            try:
                return await self.breaker.call(read_first)
            except UNAVAILABLE_ERRORS as error:
                self.breaker.open(error)
        self.breaker.start_probing()
        self._refuse_counters(keys)
        return await read_second()

    async def change(
        self,
        change_first: Work[T],
        change_second: Work[T],
        keys: Sequence[str] = (),
        areas: Sequence[str] = (),
    ) -> T:
        """Change the store that serves now, and record the changes that the first one misses.

        Args:
            change_first: changes the first store.
            change_second: changes the second store.
            keys: the keys that are changed.
            areas: the key prefixes that are cleared.

        Raises:
            StoreUnavailableError: a counter would be changed in the second store.
            OSError: the change cannot be recorded.
        """
        has_failed = False
        while True:
            while self._is_settling:  # noqa: ASYNC110 - an Event belongs to one loop, this to all
                await asyncio.sleep(_POLL_SECONDS)

            if not self.breaker.is_open:
                self._watch_journals()
                try:
                    return await self.breaker.call(change_first)
                except UNAVAILABLE_ERRORS as error:
                    has_failed = True
                    self.breaker.open(error)

            with self._lock:
                if self._is_settling or not (self.breaker.is_open or has_failed):
                    continue
                self._in_flight += 1
            # A cancelled caller does not cancel the change: none may follow the settlement.
            work = asyncio.ensure_future(self._change_second(change_second, keys, areas))
            work.add_done_callback(self._finish_change)
            return await asyncio.shield(work)

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
        self, change_second: Work[T], keys: Sequence[str], areas: Sequence[str]
    ) -> T:
        self.breaker.start_probing()
        self._refuse_counters(keys)
        await self._journal.record(keys, areas)
        try:
            return await change_second()
        finally:
            self._journal.confirm(keys, areas)

    def _finish_change(self, work: asyncio.Future[Any]) -> None:
        with self._lock:
            self._in_flight -= 1
        if not work.cancelled():
            work.exception()  # marks it as retrieved; its caller may have been cancelled

    def _refuse_counters(self, keys: Iterable[str]) -> None:
        """Refuse counters, which must not start at zero again; the process keeps them meanwhile."""
        if any(is_counter(key) for key in keys):
            raise StoreUnavailableError(
                f"{self._first!r} is unavailable; its counters are written when it returns"
            )

    async def _recover(self) -> None:
        """Probe the first store, settle the changes that it missed, and close the breaker.

        Calls that were ended may still be in the server's buffers, and the server executes them
        when it continues. So the settlement begins a moment after the first answer.
        """
        if isinstance(self._first, Probed):
            await self._first.probe()
        else:
            await self._first.read([_PROBE_KEY])
        await asyncio.sleep(_CLOSE_DELAY_SECONDS)

        await asyncio.to_thread(self._journal.adopt)
        while len(self._journal) > _MAX_BLOCKING_SETTLEMENT:
            await self._settle(self._journal.get_pending(_SETTLE_BATCH))

        with self._lock:
            self._is_settling = True  # changes wait from here on
        try:
            await self._wait_idle()
            while len(self._journal):
                await self._settle(self._journal.get_pending(_SETTLE_BATCH))
            await asyncio.to_thread(self._journal.finish)
            self.breaker.close()
        finally:
            self._is_settling = False

    async def _settle(self, batch: JournalBatch) -> None:
        for area in batch.areas:
            await self._first.clear(area)
        if batch.keys:
            await self._first.delete(batch.keys)
            await self._second.delete(batch.keys)
        self._journal.mark_settled(batch)

    def _watch_journals(self) -> None:
        """Start the search for journals of processes that crash from now on, unless it runs."""
        if not self._is_watching:
            self._is_watching = True
            self._journal_watch.start(_repeat, WeakMethod(self._adopt_journals), self._sleep)

    async def _adopt_journals(self) -> None:
        """Adopt the journals of crashed processes, and open the breaker to settle them."""
        if not self.breaker.is_open and await asyncio.to_thread(self._journal.adopt):
            self.breaker.open(InterruptedError("a crashed process left changes to settle"))
            self.breaker.start_probing()


async def _repeat(adopt: WeakMethod[Callable[[], Awaitable[None]]], sleep: Sleep) -> None:
    while True:
        await sleep(_ADOPTION_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        method = adopt()
        if method is None:  # the stores were garbage-collected
            return
        await method()
        del method


def is_counter(key: str) -> bool:
    """Return whether a store key belongs to a counter."""
    return key.partition(":")[0].endswith("+stats")
