"""Single flight: of all who want the same thing at once, one fetches it.

The work is a task of its own, and every caller waits for it by a future of his own, so a
caller that is cancelled or runs out of time takes nobody along. Callers are counted:
when the last one has left, the work is cancelled too. (The idea is Go's
``singleflight``; counting the waiters is async-lru's.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, NamedTuple

from aiocache_pe.runtime.loops import PerLoop

WAIT_TIMEOUT = 300.0
"""Seconds that a caller waits for another caller's computation by default."""
_inside: ContextVar[frozenset[object]] = ContextVar("aiocache_pe_flights")
Work = Callable[[float | None], Awaitable[Any]]
"""What is to be done, given how many seconds it may wait for other loops and processes.

``None`` is for not at all.
"""


class Flight:
    """Work under way, and who waits for it.

    Attributes:
        task: does the work, once it was begun.
        waiters: the futures of those who wait, and until when each of them does.
    """

    __slots__ = ("_alarm", "_loop", "_mark", "task", "waiters")

    task: asyncio.Task[Any]

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._alarm: asyncio.TimerHandle | None = None
        self._mark = object()  # by which its own work knows it
        self.waiters: dict[asyncio.Future[Any], float] = {}

    def join(self, patience: float | None) -> asyncio.Future[Any]:
        """A future for the outcome; it is cancelled when patience is over."""
        waiter = self._loop.create_future()
        if patience is None:
            self.waiters[waiter] = float("inf")
            return waiter
        until = self.waiters[waiter] = self._loop.time() + patience
        # One alarm for all of them, as nearly always the first to come is the first to go.
        if self._alarm is None or until < self._alarm.when():
            self._set_alarm(until)
        return waiter

    @property
    def is_own_caller(self) -> bool:
        """Whether this is called, by however many others, by the flight's own work."""
        return self._mark in _inside.get(frozenset())

    def start(self, work: Callable[[], Awaitable[Any]], on_landing: Callable[[], object]) -> None:
        """Have the work done in a task.

        Args:
            work: called in the task.
            on_landing: called when it is over, before those who wait are told.
        """
        token = _inside.set(_inside.get(frozenset()) | {self._mark})
        try:
            self.task = asyncio.ensure_future(_awaited(work))
        finally:
            _inside.reset(token)

        def landed(_: asyncio.Task[Any]) -> None:
            on_landing()
            self._land()

        self.task.add_done_callback(landed)

    def leave(self, waiter: asyncio.Future[Any]) -> bool:
        """Whether nobody waits any more for what is still being done."""
        del self.waiters[waiter]
        return not self.waiters and not self.task.done()

    def _land(self) -> None:
        """Tell everybody what it came to."""
        if self._alarm is not None:
            self._alarm.cancel()
        task = self.task
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()
        for waiter in self.waiters:
            if waiter.done():
                continue
            if cancelled:
                waiter.cancel()
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(task.result())

    def _set_alarm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now, self._alarm = self._loop.time(), None
        later: list[float] = []
        for waiter, until in self.waiters.items():
            if until <= now:
                waiter.cancel()
            else:
                later.append(until)
        if later and min(later) < float("inf"):
            self._set_alarm(min(later))


class GaveUp(NamedTuple):
    """What a caller has left who waited for another's work in vain.

    Attributes:
        patience: how many seconds to wait for others elsewhere, now that it is this caller's
            turn; ``None`` for not asking them.
    """

    patience: float | None


class Flights:
    """The flights of a cache, kept apart by event loop.

    Args:
        under_way: where the keys of flights are noted, those of all loops.
        on_shared: called with a result that several get, before any of them has it.
    """

    __slots__ = ("_flights", "_on_shared", "_under_way")

    def __init__(
        self,
        under_way: set[str] | None = None,
        on_shared: Callable[[Any], object] = lambda _: None,
    ) -> None:
        self._flights: PerLoop[dict[str, Flight]] = PerLoop(dict)
        self._under_way = set[str]() if under_way is None else under_way
        self._on_shared = on_shared

    def join(self, key: str, patience: float | None) -> Coroutine[Any, Any, Any] | None:
        """Wait for work that another caller began.

        Args:
            key: what tells one piece of work from another.
            patience: how many seconds to wait; ``None`` for as long as it takes.

        Returns:
            What to await: the result, or a `GaveUp` if there is none for this caller. ``None``
            if there is no such work, or this is called inside it.
        """
        flights = self._flights.get()
        flight = flights.get(key)
        if flight is None or flight.is_own_caller:
            return None
        return _outcome(flights, key, flight, patience)

    async def run(
        self, key: str, work: Work, patience: float | None = None, before: GaveUp | None = None
    ) -> tuple[Any, bool]:
        """Do the work, or wait for whoever does it already.

        Args:
            key: what tells one piece of work from another.
            work: called in a task with the context variables of its first caller. Asking
                for the same key inside it does the work there and then: waiting for
                itself would last for ever.
            patience: how many seconds to wait for another caller's work. When that is
                over, one of those who waited does it as well, and the others wait for it.
                ``None`` waits as long as that takes; to the work it means that it is to wait
                for nobody elsewhere (`Work`).
            before: how it ended when this caller has waited already.

        Returns:
            The result, and whether it is another caller's.

        Raises:
            Whatever the work raised, for every caller that waited. Where the work was
            cancelled, the next of them does it.
        """
        flights = self._flights.get()
        left = patience if before is None else before.patience
        while True:
            flight = flights.get(key)
            if flight is None:
                flight = self._begun(flights, key, work, left)
                waiter = flight.join(None)
                try:
                    return await waiter, False
                finally:
                    _leave(flights, key, flight, waiter)
            if flight.is_own_caller:
                return await work(left), False
            outcome = await _outcome(flights, key, flight, patience)
            if not isinstance(outcome, GaveUp):
                return outcome, True
            left = outcome.patience

    def _begun(
        self, flights: dict[str, Flight], key: str, work: Work, left: float | None
    ) -> Flight:
        flight = flights[key] = Flight(asyncio.get_running_loop())
        self._under_way.add(key)

        def landed() -> None:
            self._under_way.discard(key)
            _forget(flights, key, flight)
            task = flight.task
            if len(flight.waiters) > 1 and not task.cancelled() and task.exception() is None:
                self._on_shared(task.result())

        flight.start(lambda: work(left), landed)
        return flight


async def _outcome(
    flights: dict[str, Flight], key: str, flight: Flight, patience: float | None
) -> Any:
    """What another caller's flight comes to, or a `GaveUp`."""
    waiter, before = flight.join(patience), _cancellations()
    try:
        return await waiter
    except asyncio.CancelledError:
        # Who did the work was stopped, and not we: then it is our turn. So it is
        # when we waited for too long; the work goes on, but nobody joins it.
        if not waiter.cancelled() or _cancellations() > before:
            raise
        _forget(flights, key, flight)
        return GaveUp(patience if flight.task.cancelled() else 0.0)
    finally:
        _leave(flights, key, flight, waiter)


def _leave(
    flights: dict[str, Flight], key: str, flight: Flight, waiter: asyncio.Future[Any]
) -> None:
    """Wait no more; who is the last to leave stops the work."""
    if flight.leave(waiter):
        _forget(flights, key, flight)
        flight.task.cancel()


def _cancellations() -> int:
    """How often this task was cancelled; it may be tidying up after that."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _awaited(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


def _forget(flights: dict[str, Flight], key: str, flight: Flight) -> None:
    if flights.get(key) is flight:
        del flights[key]
