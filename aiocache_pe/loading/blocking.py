"""Loading for blocking callers: the store is read in the portal's loop, values are computed here.

A function that a blocking caller decorated runs in the caller's thread. There it finds its
thread-local connections and its signal handlers, and Ctrl-C interrupts it. The portal's loop asks
for the value when it is this caller's turn to compute. The caller waits before that, and while
another caller computes the value.

Once the interpreter is shutting down and the portal has ended, a call runs its function directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from inspect import isawaitable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.runtime.portal import INTERRUPT_SECONDS, portal
from aiocache_pe.runtime.threads import call_in_thread

T = TypeVar("T")
LoadOperation = Callable[[Callable[..., Coroutine[Any, Any, Any]]], Coroutine[Any, Any, T]]
"""An async function of a factory that returns the factory's value, or one computed elsewhere."""

_ITEMS_PER_CALL = 256


class FactoryExitError(RuntimeError):
    """A factory in a helper thread raised `SystemExit` or `KeyboardInterrupt`, its cause."""


class _Job:
    """A value that the portal's loop waits for and the caller's thread computes."""

    __slots__ = ("_context", "_function", "_loop", "future")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()
        self._context: Context = copy_context()  # nested calls find the held leases there

    def run(self) -> None:
        """Compute the value in this thread, and hand it to the loop.

        An interrupt is raised here, because it concerns this thread only. Any other exception of
        the function is raised in the loop, for every caller that waits.
        """
        future = self.future
        try:
            value = self._context.run(self._function)
        except BaseException as error:
            # A future cannot hold a StopIteration.
            if not isinstance(error, Exception) or isinstance(error, StopIteration):
                self.reject()
                raise
            failure = error  # Python deletes `error` at the end of the block
            self._call_in_loop(lambda: None if future.done() else future.set_exception(failure))
        else:
            self._call_in_loop(lambda: None if future.done() else future.set_result(value))

    def reject(self) -> None:
        """Let another caller that waits for the value compute it."""
        self._call_in_loop(self.future.cancel)

    def _call_in_loop(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed, as at the exit of the program
            self._loop.call_soon_threadsafe(function)


class _CallerQueue:
    """Jobs from the portal's loop for the thread of a blocking caller."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._is_closed = False

    async def factory(self, *args: Any) -> Any:
        """Return the value of the function for these arguments; called in the loop."""
        job = _Job(partial(self._function, *args))
        self._jobs.put(job)
        if self._is_closed:
            job.reject()
        value = await job.future
        return await value if isawaitable(value) else value

    def run(self, operation: LoadOperation[T], factory: Callable[..., Any] | None = None) -> T:
        """Run an operation with a factory in the portal's loop, and its jobs in this thread."""
        future: Future[T] = Future()
        future.add_done_callback(lambda _: self._jobs.put(None))
        try:
            portal.start(future, operation, factory or self.factory)
            while (job := self._get_job()) is not None:
                job.run()
            return portal.wait(future)
        except BaseException:
            future.cancel()
            self._close()
            raise

    def _get_job(self) -> _Job | None:
        while True:
            with suppress(Empty):
                return self._jobs.get(timeout=INTERRUPT_SECONDS)

    def _close(self) -> None:
        """Reject all jobs, because other callers may wait for their values."""
        self._is_closed = True
        with suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.reject()


def load(
    operation: LoadOperation[T],
    function: Callable[[], Any],
    wrap: Callable[[Any], T] = lambda value: value,
) -> T:
    """Load a value by an async operation, and compute it in this thread if needed.

    Args:
        operation: receives the factory; runs in the portal's loop.
        function: computes the value; an awaitable result is awaited in the portal's loop.
        wrap: makes a result of a value that was computed during interpreter shutdown.

    Raises:
        DeadlockError: the caller is the portal's own thread.
        Exception: the function or the operation raised it.
    """
    if not portal.has_ended:
        return _CallerQueue(function).run(operation)
    value = function()
    return wrap(portal.call(_await, value) if isawaitable(value) else value)


def load_batch(
    operation: LoadOperation[T], function: Callable[..., Any], *, in_threads: bool = False
) -> T:
    """Load values by an async operation that may call the function several times.

    Args:
        operation: receives the factory, which takes the function's arguments; runs in the
            portal's loop.
        function: computes some values.
        in_threads: whether the function is called in other threads, so that calls may overlap.

    Raises:
        DeadlockError: the caller is the portal's own thread.
        Exception: the function or the operation raised it.
    """

    async def call_in_thread(*args: Any) -> Any:
        return await run_in_thread(partial(function, *args))

    async def call(*args: Any) -> Any:
        return function(*args)

    if portal.has_ended:
        return portal.call(operation, call)
    return _CallerQueue(function).run(operation, call_in_thread if in_threads else None)


def load_request(
    load_outcome: Callable[[LoadRequest], Coroutine[Any, Any, Outcome]], request: LoadRequest
) -> Outcome:
    """Load the value of a request in the portal's loop, and compute it in this thread if needed.

    A caller that may return before the value is computed cannot compute it. Then a helper thread
    computes it, and continues when the caller has returned.

    Raises:
        DeadlockError: the caller is the portal's own thread.
        Exception: the factory or ``load_outcome`` raised it.
    """
    factory = request.factory
    in_background = partial(run_in_thread, request.background_factory or factory)
    request = request._replace(background_factory=in_background)
    if request.policy.may_leave and not portal.has_ended:
        in_thread = partial(run_in_thread, factory)
        try:
            return portal.call(load_outcome, request._replace(factory=in_thread))
        except FactoryExitError as error:
            raise (error.__cause__ or error) from None
    return load(
        lambda compute: load_outcome(request._replace(factory=compute)),
        factory,
        lambda value: Outcome(value, "miss"),
    )


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a helper thread; an awaitable result is awaited in this event loop.

    Raises:
        RuntimeError: the function raised ``StopIteration``, which a future cannot hold.
        FactoryExitError: the function raised `SystemExit` or `KeyboardInterrupt`, which would
            end this event loop.
        Exception: the function raised it.
    """

    def call() -> Any:
        try:
            return function()
        except StopIteration as error:
            raise RuntimeError(f"{function!r} raised StopIteration") from error
        except (SystemExit, KeyboardInterrupt) as error:
            raise FactoryExitError(f"{function!r} raised {type(error).__name__}") from error

    value = await call_in_thread(call)
    return await value if isawaitable(value) else value


def wait_for(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, otherwise: T) -> T:
    """Call an async function in the portal's loop, and wait for its result.

    The result is ``otherwise`` once the portal has ended.

    Raises:
        DeadlockError: the caller is the portal's own thread.
        Exception: the function raised it.
    """
    return otherwise if portal.has_ended else portal.call(function, *args)


def wait_or_schedule(function: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Call an async function in the portal's loop, and wait for it unless that would deadlock.

    The portal's own thread calls this when the garbage collector closes a generator there.
    """
    try:
        wait_for(function, otherwise=None)
    except DeadlockError:
        task = asyncio.ensure_future(function())
        _scheduled.add(task)
        task.add_done_callback(_scheduled.discard)


_scheduled: set[asyncio.Future[object]] = set()


def iter_in_batches(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """Yield the items of an async generator, with one call into the portal for many items."""
    try:
        has_more = True
        while has_more:
            batch: list[T] = portal.call(_take_batch, items)
            yield from batch
            has_more = len(batch) == _ITEMS_PER_CALL
    finally:
        wait_for(_close, items, otherwise=None)


async def _take_batch(items: AsyncGenerator[T, None]) -> list[T]:
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        # When the portal has ended, each call has its own loop, the end of which closes `items`.
        if len(batch) == _ITEMS_PER_CALL and not portal.has_ended:
            break
    return batch


async def _await(value: Awaitable[T]) -> T:
    return await value


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()
