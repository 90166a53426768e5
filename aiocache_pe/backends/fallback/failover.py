"""Which of two stores is asked, and what is put in order before the first is trusted again."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar
from weakref import WeakMethod

from aiocache_pe.backends.base import Backend, Probed
from aiocache_pe.backends.fallback.circuit_breaker import CircuitBreaker, Sleep
from aiocache_pe.backends.fallback.journal import Journal, JournalEntry
from aiocache_pe.exceptions import StoreUnavailableError
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.portal import Background

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]

AWAY = (StoreUnavailableError, OSError)
_PROBE = "aiocache_pe+probe:"
_CHUNK = 500
_FEW = 100
_GRACE = 0.2  # seconds from the first answer to trust
_GLANCE = 0.002  # seconds between two looks whether what is under way is done
_ROUND = 2.0  # seconds between two looks for what dead processes left


class Failover:
    """Sends work to the first store while it can be trusted, else to the second.

    Args:
        first: the store to be used.
        second: used while the first is away.
        folder: for the journal.
        pauses: the first pause between two tries of the first store, and the longest,
            in seconds.
        sleep: makes the pauses.
    """

    def __init__(
        self,
        first: Backend,
        second: Backend,
        folder: str,
        pauses: tuple[float, float],
        sleep: Sleep,
    ) -> None:
        self._first, self._second = first, second
        self._journal = Journal(folder)
        self._sleep = sleep
        self._guard = Background()
        # A journal that is there may be a dead process's; then it has to be settled first.
        self.breaker = CircuitBreaker(
            repr(first),
            self._recover,
            is_open=self._journal.has_other_journals(),
            pauses=pauses,
            sleep=sleep,
        )
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without changes under way: the parent's are not in this process."""
        self._lock = threading.Lock()
        self._under_way = 0
        self._settling = False
        self._guarded = False

    async def read(self, first: Work[T], second: Work[T], counted: Iterable[str] = ()) -> T:
        """Ask the store that serves now.

        Args:
            first: asks the first one.
            second: asks the second one.
            counted: keys; what adds up is not asked of the second.
        """
        if not self.breaker.is_open:
            self._keep_guard()
            try:
                return await self.breaker.call(first)
            except AWAY as error:
                self.breaker.open(error)
        self.breaker.watch()
        self._refuse_counters(counted)
        return await second()

    async def change(
        self,
        first: Work[T],
        second: Work[T],
        keys: Sequence[str] = (),
        areas: Sequence[str] = (),
    ) -> T:
        """Change something in the store that serves now; what the first misses is noted.

        Args:
            first: changes it in the first one.
            second: changes it in the second one.
            keys: what it concerns.
            areas: what it clears.
        """
        failed = False
        while True:
            while self._settling:  # noqa: ASYNC110 - an Event is one loop's, this is all loops'
                await asyncio.sleep(_GLANCE)
            if not self.breaker.is_open:
                self._keep_guard()
                try:
                    return await self.breaker.call(first)
                except AWAY as error:
                    failed = True
                    self.breaker.open(error)
            with self._lock:
                if self._settling or not (self.breaker.is_open or failed):
                    continue
                self._under_way += 1
            # Begun is finished, cancelled or not: nothing may come after the settlement.
            work = asyncio.ensure_future(self._noted(second, keys, areas))
            work.add_done_callback(self._done)
            return await asyncio.shield(work)

    def stop(self) -> None:
        """Let nothing go on in the background until the stores are used again."""
        self._guard.stop()
        self._guarded = False
        self.breaker.stop()

    async def close(self) -> None:
        """Stop, and leave what is not settled to whoever uses the stores next."""
        self.stop()
        await self._idle()
        self._journal.close()

    async def _idle(self) -> None:
        """Wait until no change is under way."""
        while self._under_way:  # noqa: ASYNC110 - an Event is one loop's
            await asyncio.sleep(_GLANCE)

    async def _noted(self, second: Work[T], keys: Sequence[str], areas: Sequence[str]) -> T:
        self.breaker.watch()
        self._refuse_counters(keys)
        await self._journal.note(keys, areas)
        try:
            return await second()
        finally:
            self._journal.open(keys, areas)

    def _done(self, work: asyncio.Future[Any]) -> None:
        with self._lock:
            self._under_way -= 1
        if not work.cancelled():
            work.exception()  # its caller may have gone

    def _refuse_counters(self, keys: Iterable[str]) -> None:
        """What adds up may not begin anew elsewhere: it waits in the process meanwhile."""
        if any(is_counter(key) for key in keys):
            raise StoreUnavailableError(f"{self._first!r} is away; its counters wait for it")

    async def _recover(self) -> None:
        """Try the first store; when it answers, settle what it missed and trust it.

        Calls that were let go may still be in the server's buffers and will be carried
        out by it when it wakes; so it is given a moment before it is told what to remove.
        """
        if isinstance(self._first, Probed):
            await self._first.probe()
        else:
            await self._first.read([_PROBE])
        await asyncio.sleep(_GRACE)
        await asyncio.to_thread(self._journal.adopt)
        while len(self._journal) > _FEW:
            await self._settle(self._journal.pending(_CHUNK))
        with self._lock:
            self._settling = True  # changes wait from here on
        try:
            await self._idle()
            while len(self._journal):
                await self._settle(self._journal.pending(_CHUNK))
            await asyncio.to_thread(self._journal.finish)
            self.breaker.close()
        finally:
            self._settling = False

    async def _settle(self, touched: JournalEntry) -> None:
        for area in touched.areas:
            await self._first.clear(area)
        if touched.keys:
            await self._first.delete(touched.keys)
            await self._second.delete(touched.keys)
        self._journal.mark_settled(touched)

    def _keep_guard(self) -> None:
        """See to it that somebody looks for what processes leave that die from now on."""
        if not self._guarded:
            self._guarded = True
            self._guard.start(_guarding, WeakMethod(self._look), self._sleep)

    async def _look(self) -> None:
        """Take over what a dead process noted, and put the first store in order by it."""
        if not self.breaker.is_open and await asyncio.to_thread(self._journal.adopt):
            self.breaker.open(InterruptedError("a process that died left changes to settle"))
            self.breaker.watch()


async def _guarding(look: WeakMethod[Callable[[], Awaitable[None]]], sleep: Sleep) -> None:
    while True:
        await sleep(_ROUND * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        method = look()
        if method is None:  # its stores are gone
            return
        await method()
        del method


def is_counter(key: str) -> bool:
    """Whether a key is that of a record that adds up."""
    return key.partition(":")[0].endswith("+stats")
