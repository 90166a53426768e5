"""Single flight: of all callers that need the same result at once, one computes it.

The work is a task of its own, and every caller waits for it by its own future. A caller
that is cancelled or times out therefore does not affect the others. Callers are counted:
when the last one leaves, the work is cancelled too. (The idea is Go's ``singleflight``;
counting the waiters is async-lru's.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import copy_context
from typing import Any, NamedTuple

from aiocache_pe.runtime import wait_graph
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.runtime.loops import PerLoop, get_loop
from aiocache_pe.runtime.wait_graph import WaitNode

WAIT_TIMEOUT = 300.0
"""Default seconds that a caller waits for another caller's computation."""

Work = Callable[["Flight", float | None], Awaitable[Any]]
"""A function that computes the result.

Its arguments are its flight, and the number of seconds that it may wait for computations in other
loops and processes; ``None`` means that it must not wait.
"""


class Flight:
    """Work in flight and its waiters.

    Attributes:
        node: the work, as the graph of waiting computations sees it.
        task: the work's task, set by `start`.
        waiters: the callers' futures, each with the loop time at which its caller gives up.
        is_outdated: returns whether the result may be outdated for callers that come now; set by
            the work when it begins to read.
    """

    __slots__ = ("_loop", "_timer", "is_outdated", "node", "task", "waiters")

    task: asyncio.Task[Any]

    def __init__(self, node: WaitNode) -> None:
        self.node = node
        self._loop = get_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.waiters: dict[asyncio.Future[Any], float] = {}
        self.is_outdated: Callable[[], bool] = _is_never_outdated

    def start(self, work: Callable[[], Awaitable[Any]], on_done: Callable[[], object]) -> None:
        """Start the work in a task, with the context variables of this caller.

        ``on_done`` is called when the work has ended, before the waiters get its outcome.
        """
        context = wait_graph.make_context(copy_context(), self.node)
        self.task = self._loop.create_task(_await(work), context=context)

        def finish(_: asyncio.Task[Any]) -> None:
            try:
                on_done()
            finally:
                self._resolve_waiters()

        self.task.add_done_callback(finish)

    @property
    def is_reentrant(self) -> bool:
        """Return whether the work cannot end before the running code has ended."""
        return wait_graph.depends_on_caller(self.node)

    def join(self, max_wait: float | None) -> asyncio.Future[Any]:
        """Return a future for the outcome; it is cancelled after ``max_wait`` seconds."""
        waiter = self._loop.create_future()
        if max_wait is None:
            self.waiters[waiter] = float("inf")
            return waiter
        deadline = self.waiters[waiter] = self._loop.time() + max_wait
        # One timer for all waiters: the first to come is nearly always the first to time out.
        if self._timer is None or deadline < self._timer.when():
            self._set_timer(deadline)
        return waiter

    def leave(self, waiter: asyncio.Future[Any]) -> bool:
        """Remove a waiter; return whether the work goes on and has no waiter left."""
        del self.waiters[waiter]
        return not self.waiters and not self.task.done()

    def _resolve_waiters(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task = self.task
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()
        errors = None if error is None else _copy_for_all(error)
        for waiter in self.waiters:
            if waiter.done():
                continue
            if cancelled:
                waiter.cancel()
            elif errors is not None:
                waiter.set_exception(next(errors))
            else:
                waiter.set_result(task.result())

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._cancel_late_waiters)

    def _cancel_late_waiters(self) -> None:
        now, self._timer = self._loop.time(), None
        later: list[float] = []
        for waiter, deadline in self.waiters.items():
            if deadline <= now:
                waiter.cancel()
            else:
                later.append(deadline)
        if later and min(later) < float("inf"):
            self._set_timer(min(later))


def _copy_for_all(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, then copies of it; no caller runs before all of them have theirs."""
    yield error
    while True:
        yield copy_error(error)


class GaveUp(NamedTuple):
    """The outcome for a caller that waited for another caller's work in vain.

    Attributes:
        max_wait: seconds that this caller's own work may wait for other loops and
            processes; ``None`` if it must not wait.
    """

    max_wait: float | None


class Flights:
    """The flights of a cache, kept apart by event loop.

    Args:
        in_flight: a set that holds the keys in flight of all loops.
        on_shared: called with a key and a result that several callers get, before any of them
            has it.
    """

    def __init__(
        self,
        in_flight: set[str] | None = None,
        on_shared: Callable[[str, Any], object] = lambda _key, _result: None,
    ) -> None:
        self._flights: PerLoop[dict[str, Flight]] = PerLoop(dict)
        self._in_flight = set[str]() if in_flight is None else in_flight
        self._on_shared = on_shared

    def join(self, key: str, max_wait: float | None) -> Coroutine[Any, Any, Any] | None:
        """Wait ``max_wait`` seconds at most for work that another caller started.

        Returns:
            An awaitable of the result, or of a `GaveUp` if this caller gets none. ``None``
            if no such work is in flight, or if the work depends on this call.
        """
        flights = self._flights.get()
        flight = flights.get(key)
        if flight is None or flight.is_reentrant or flight.is_outdated():
            return None
        return _wait(flights, key, flight, max_wait)

    async def run(
        self, key: str, work: Work, max_wait: float | None = None, before: GaveUp | None = None
    ) -> tuple[Any, bool]:
        """Do the work, or wait for the caller that does it already.

        Args:
            key: identifies the work.
            work: called in a task with the context variables of its first caller. A call
                for the same key from inside the work, or from work that it waits for, does
                the work at once: waiting for itself would never end.
            max_wait: seconds to wait for another caller's work. After that time one of the
                waiting callers does the work as well, and the others wait for it. ``None``
                waits without limit; the work then must not wait for others (`Work`).
            before: the outcome of `join`, if this caller has waited already.

        Returns:
            The result, and whether another caller computed it.

        Raises:
            Exception: the exception of the work, or a copy of it for each further caller. If
                the work was cancelled, one of the waiting callers does it.
        """
        flights = self._flights.get()
        work_max_wait = max_wait if before is None else before.max_wait
        while True:
            flight = flights.get(key)
            if flight is not None and flight.is_reentrant:
                own = Flight(WaitNode(get_loop()))
                return await work(own, work_max_wait), False
            if flight is None or flight.is_outdated():
                flight = self._start(flights, key, work, work_max_wait)
                waiter = flight.join(None)
                try:
                    with wait_graph.wait_for([flight.node]):
                        return await waiter, False
                finally:
                    _leave(flights, key, flight, waiter)
            outcome = await _wait(flights, key, flight, max_wait)
            if not isinstance(outcome, GaveUp):
                return outcome, True
            work_max_wait = outcome.max_wait

    def _start(
        self, flights: dict[str, Flight], key: str, work: Work, max_wait: float | None
    ) -> Flight:
        flight = flights[key] = Flight(WaitNode(get_loop()))
        self._in_flight.add(key)

        def finish() -> None:
            _remove(flights, key, flight)
            if key not in flights:
                self._in_flight.discard(key)
            task = flight.task
            if len(flight.waiters) > 1 and not task.cancelled() and task.exception() is None:
                self._on_shared(key, task.result())

        flight.start(lambda: work(flight, max_wait), finish)
        return flight


async def _wait(
    flights: dict[str, Flight], key: str, flight: Flight, max_wait: float | None
) -> Any:
    """Wait for another caller's flight; return its result or a `GaveUp`."""
    waiter, before = flight.join(max_wait), _count_cancellations()
    try:
        with wait_graph.wait_for([flight.node]):
            return await waiter
    except asyncio.CancelledError:
        if not waiter.cancelled() or _count_cancellations() > before:
            raise
        # Not this caller was cancelled, but the work, or the waiter after `max_wait` seconds.
        # Then this caller's own work starts. Work that took too long goes on without new waiters.
        _remove(flights, key, flight)
        return GaveUp(max_wait if flight.task.cancelled() else 0.0)
    finally:
        _leave(flights, key, flight, waiter)


def _leave(
    flights: dict[str, Flight], key: str, flight: Flight, waiter: asyncio.Future[Any]
) -> None:
    """Remove a waiter; cancel the work if it was the last one."""
    if flight.leave(waiter):
        _remove(flights, key, flight)
        flight.task.cancel()


def _remove(flights: dict[str, Flight], key: str, flight: Flight) -> None:
    if flights.get(key) is flight:
        del flights[key]


def _is_never_outdated() -> bool:
    return False


def _count_cancellations() -> int:
    """Return how often this task was cancelled; it may be cleaning up after that."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _await(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()
