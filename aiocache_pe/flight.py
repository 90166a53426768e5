"""Single flight: of all who want the same thing at once, one fetches it.

The work is a task of its own, and every caller waits for it behind a shield, so a
caller that is cancelled or runs out of time takes nobody along. Callers are counted:
when the last one has left, the work is cancelled too. (The idea is Go's
``singleflight``; counting the waiters is async-lru's.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiocache_pe.per_loop import PerLoop

_inside: ContextVar[frozenset[object]] = ContextVar("aiocache_pe_flights")


class _Flight:
    __slots__ = ("mark", "task", "waiters")

    def __init__(self, mark: object, task: asyncio.Task[Any]) -> None:
        self.mark = mark  # by which its own work knows it
        self.task = task
        self.waiters = 0


class Flights:
    """The flights of a cache, kept apart by event loop."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: PerLoop[dict[str, _Flight]] = PerLoop(dict)

    async def run(
        self, key: str, work: Callable[[], Awaitable[Any]], patience: float | None = None
    ) -> tuple[Any, bool]:
        """Do the work, or wait for whoever does it already.

        Args:
            key: what tells one piece of work from another.
            work: called in a task with the context variables of its first caller. Asking
                for the same key inside it does the work there and then: waiting for
                itself would last for ever.
            patience: how many seconds to wait for another caller's work. When that is
                over, one of those who waited does it as well, and the others wait for it.

        Returns:
            The result, and whether it is another caller's.

        Raises:
            Whatever the work raised, for every caller that waited. Where the work was
            cancelled, the next of them does it.
        """
        around = _inside.get(frozenset())
        flights = self._flights.get()
        while True:
            flight = flights.get(key)
            if flight is not None and flight.mark in around:
                return await work(), False
            joined = flight is not None
            if flight is None:
                flight = _begun(flights, key, work, around)
            flight.waiters += 1
            result = asyncio.shield(flight.task)
            alarm = None
            if joined and patience is not None:
                alarm = asyncio.get_running_loop().call_later(patience, result.cancel)
            try:
                return await result, joined
            except asyncio.CancelledError:
                # Who did the work was stopped, and not we: then it is our turn. So it is
                # when we waited for too long; the work goes on, but nobody joins it.
                if not joined or not result.cancelled() or _is_cancelled():
                    raise
                _forget(flights, key, flight.task)
            finally:
                if alarm is not None:
                    alarm.cancel()
                flight.waiters -= 1
                if not flight.waiters and not flight.task.done():
                    _forget(flights, key, flight.task)
                    flight.task.cancel()


def _begun(
    flights: dict[str, _Flight],
    key: str,
    work: Callable[[], Awaitable[Any]],
    around: frozenset[object],
) -> _Flight:
    mark = object()
    token = _inside.set(around | {mark})
    try:
        task = asyncio.ensure_future(_awaited(work))
    finally:
        _inside.reset(token)
    flight = flights[key] = _Flight(mark, task)
    task.add_done_callback(lambda task: _landed(flights, key, task))
    return flight


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _awaited(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


def _landed(flights: dict[str, _Flight], key: str, task: asyncio.Task[Any]) -> None:
    _forget(flights, key, task)
    if not task.cancelled():
        task.exception()  # seen by those who waited; if none was left, it is nobody's


def _forget(flights: dict[str, _Flight], key: str, task: asyncio.Task[Any]) -> None:
    flight = flights.get(key)
    if flight is not None and flight.task is task:
        del flights[key]
