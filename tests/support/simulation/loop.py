"""Event loop whose schedule and clock come from a seed.

The loop runs one ready callback after another, in a random order. Its time stands still while
callbacks are ready, and then moves to the next timer. So the same seed gives the same schedule, a
pause of an hour takes no time, and a task that nothing can wake is found at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Args = TypeVarTuple("Args")
MAX_STEPS = 100_000
"""Callbacks of one run, after which the run counts as endless."""
_BUSY = 0.02  # the probability that time passes while callbacks are ready
_BUSY_SECONDS = 1.0  # that pass at most
_LAST_SECONDS = 1.0  # in which the tasks of cancelled calls end
_EPOCH = 1_700_000_000.0  # the wall time at which each run begins


class HangError(AssertionError):
    """Tasks that wait for each other, or that never end."""


class _Callback(NamedTuple):
    handle: asyncio.Handle
    function: Callable[..., object]
    args: tuple[Any, ...]
    context: contextvars.Context


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop without input and output.

    Args:
        chance: the source of all random choices.

    Attributes:
        steps: the number of callbacks that have run.
        errors: the contexts of errors that no code has handled.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.steps = 0
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))
        self._random = chance.random
        self._now = 0.0
        self._callbacks: list[_Callback] = []
        self._timers: list[tuple[float, int, _Callback]] = []
        self._timer_count = 0

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, then close the loop as `asyncio.run` does.

        Raises:
            HangError: the coroutine can never end, or leaves tasks behind.
        """
        try:
            result = self.run_until_complete(main)
            self.run_until_complete(asyncio.sleep(_LAST_SECONDS))
            self.run_until_complete(self.shutdown_asyncgens())
            self._check_idle()
        except BaseException:
            self._drop_tasks()
            raise
        else:
            return result
        finally:
            self.close()

    def _check_idle(self) -> None:
        if rest := asyncio.all_tasks(self):
            raise HangError(f"tasks are left behind: {rest}")

    def _drop_tasks(self) -> None:
        """Cancel the tasks of a run that has failed, so that none warns when it is collected."""
        for task in asyncio.all_tasks(self):
            task.cancel()
            self.steps = 0
            with suppress(BaseException):
                self.run_until_complete(task)

    def _run_once(self) -> None:
        """Run one callback; `run_forever` calls this in place of a turn of the loop."""
        callbacks = self._callbacks
        if not callbacks or self._random() < _BUSY:
            self._advance(self._now + _BUSY_SECONDS if callbacks else math.inf)
        index = int(self._random() * len(callbacks))
        callback = callbacks[index]
        callbacks[index] = callbacks[-1]
        del callbacks[-1]
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise HangError(f"the run did not end within {MAX_STEPS} steps")
        if not callback.handle.cancelled():
            try:
                callback.context.run(callback.function, *callback.args)
            except Exception as error:  # noqa: BLE001 - as each event loop does
                self.call_exception_handler({"message": "a callback failed", "exception": error})

    def _advance(self, limit: float) -> None:
        """Move the time to the next timer, if it is due before a limit, and make it ready."""
        timers = self._timers
        while timers and timers[0][2].handle.cancelled():
            heapq.heappop(timers)
        if timers and timers[0][0] <= limit:
            self._now = max(self._now, timers[0][0])
        elif not self._callbacks:
            raise HangError(f"nothing can wake these tasks: {asyncio.all_tasks(self)}")
        while timers and timers[0][0] <= self._now:
            self._callbacks.append(heapq.heappop(timers)[2])

    def time(self) -> float:
        """Return the simulated seconds since the begin of the run."""
        return self._now

    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """See `asyncio.loop.call_soon`; the order of the callbacks is random."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._callbacks.append(_Callback(handle, callback, args, context))
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_at`."""
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        entry = (when, self._timer_count, _Callback(handle, callback, args, context))
        heapq.heappush(self._timers, entry)
        return handle

    call_soon_threadsafe = call_soon

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: cancelled timers are dropped at their time."""


class SimulatedClock:
    """The clock of a cache, with the time of a loop; see `aiocache_pe.clock.Clock`."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.monotonic = loop.time
        self._loop = loop

    def time(self) -> float:
        """Return the wall time of the simulated machine."""
        return _EPOCH + self._loop.time()
