"""Blocking callers: the store is asked in the portal's loop, values are computed in the caller.

So a function finds its thread as ever: thread-local connections, signal handlers, a
Ctrl-C that stops it. The loop asks for the value when it is this caller's turn to
compute; until then, and while others compute, the caller waits.

How a thread waits for a value that it wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from inspect import isawaitable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.loading.copying import Outcome
from aiocache_pe.loading.options import LoadRequest
from aiocache_pe.runtime.portal import PortalEndedError, portal

T = TypeVar("T")
_BATCH = 256
Loading = Callable[[Callable[..., Coroutine[Any, Any, Any]]], Coroutine[Any, Any, T]]
"""An async function that is given a factory, and returns what that computed, or another did."""


class CallerLeftError(RuntimeError):
    """A function in a thread of nobody's wanted to end the program; by what is its cause."""


class _Job:
    """A value that the loop waits for, to be computed in the caller's thread."""

    __slots__ = ("_context", "_function", "_future", "_loop")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self._loop.create_future()
        self._context: Context = copy_context()  # by which nested calls know where they are

    async def result(self) -> Any:
        """What was computed; raises what was raised."""
        return await self._future

    def run(self) -> list[Any]:
        """Compute it, here and now, and tell the loop.

        Returns:
            The value, if there is one and it needs no loop any more.

        Raises:
            BaseException: an interrupt, which concerns this thread alone. All else that
                the function raises is for the loop to raise, for everybody who waits.
        """
        future = self._future
        try:
            value = self._context.run(self._function)
        except BaseException as error:
            # No future takes a StopIteration.
            if not isinstance(error, Exception) or isinstance(error, StopIteration):
                self.reject()
                raise
            failure = error  # the name in `except` is gone by the time it is used
            self._tell(lambda: None if future.done() else future.set_exception(failure))
            return []
        self._tell(lambda: None if future.done() else future.set_result(value))
        return [] if isawaitable(value) else [value]

    def reject(self) -> None:
        """Have the next one who waits for the value compute it."""
        self._tell(self._future.cancel)

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop ended meanwhile, as at the exit of the program
            self._loop.call_soon_threadsafe(what)


class _CallerQueue:
    """Where the loop leaves its orders, while the caller's thread sits at it.

    Args:
        function: computes a value.

    Attributes:
        begun: whether the loop has been given the work.
        computed: what was computed here.
        was_cut: whether the loop was ended before it had come to an end.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._orders: SimpleQueue[_Job | None] = SimpleQueue()
        self._is_left = self.begun = self.was_cut = False
        self.computed: list[Any] = []

    async def factory(self, *args: Any) -> Any:
        """Have the function called with these arguments; for the loop to call."""
        order = _Job(partial(self._function, *args))
        self._orders.put(order)
        if self._is_left:
            order.reject()
        value = await order.result()
        return await value if isawaitable(value) else value

    def serve(self, loading: Loading[T], factory: Callable[..., Any] | None = None) -> T:
        """Load something, and compute what is ordered until it has come to its end.

        Args:
            loading: runs in the portal's loop.
            factory: what it is given, if not this desk's own.
        """
        future: Future[T] = Future()
        future.add_done_callback(lambda _: self._orders.put(None))
        try:
            portal.start(future, loading, factory or self.factory)
            self.begun = True
            while (order := self._orders.get()) is not None:
                self.computed += order.run()
            return portal.wait(future)
        except BaseException:
            self.was_cut = future.cancelled()
            future.cancel()
            self._leave()
            raise

    def _leave(self) -> None:
        """Sit here no longer: others may wait for what was ordered, and for ever."""
        self._is_left = True
        with suppress(Empty):
            while True:
                order = self._orders.get_nowait()
                if order is not None:
                    order.reject()


def _return(value: Any) -> Any:
    return value


def load(loading: Loading[T], function: Callable[[], Any], wrap: Callable[[Any], T] = _return) -> T:
    """Load a value by an async function, and compute it in this thread if that asks for it.

    Args:
        loading: given the factory; runs in the portal's loop.
        function: computes the value; an awaitable result is awaited in the portal's loop.
        wrap: makes a result of a value that was computed while the interpreter ends.

    Returns:
        The result of ``loading``.

    Raises:
        DeadlockError: this is the portal's own thread.
        Whatever the function or ``loading`` raised.
    """
    desk = _CallerQueue(function)
    try:
        return desk.serve(loading)
    except PortalEndedError:  # called by a handler of `atexit`
        if desk.begun:  # it is the function that says so
            raise
        return _load_here(loading, function, wrap)
    except CancelledError:
        if desk.was_cut and desk.computed:  # before the value could be stored
            return wrap(desk.computed[-1])
        raise


def load_parts(loading: Loading[T], function: Callable[..., Any], *, elsewhere: bool = False) -> T:
    """The same for what is computed in parts: the function may be called several times.

    Args:
        loading: as for `load`; the factory takes the function's arguments.
        function: computes a part.
        elsewhere: whether it is called in other threads, so that calls may overlap.

    Raises:
        PortalEndedError: the interpreter is about to end, and no loop can do it.
        DeadlockError: this is the portal's own thread.
        Whatever the function or ``loading`` raised.
    """
    desk = _CallerQueue(function)

    async def in_other_thread(*args: Any) -> Any:
        return await run_in_thread(partial(function, *args))

    try:
        return desk.serve(loading, in_other_thread if elsewhere else None)
    except CancelledError as error:
        if portal.has_ended and desk.was_cut:
            raise PortalEndedError("the interpreter is about to end") from error
        raise


def _load_here(loading: Loading[T], function: Callable[[], Any], wrap: Callable[[Any], T]) -> T:
    async def factory() -> Any:
        value = function()
        return await value if isawaitable(value) else value

    try:
        return portal.call(loading, factory)
    except PortalEndedError:
        return wrap(function())


async def run_in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread that is nobody's, with the context variables of now.

    Args:
        function: the function; what it returns is awaited in this loop, if it can be.

    Raises:
        RuntimeError: it raised ``StopIteration``, which no future takes.
        LeavingError: it wanted to end the program, which would end this loop.
        Whatever else it raised.
    """

    def call() -> Any:
        try:
            return function()
        except StopIteration as error:
            raise RuntimeError(f"{function!r} raised StopIteration") from error
        except (SystemExit, KeyboardInterrupt) as error:
            raise CallerLeftError(f"{function!r} raised {type(error).__name__}") from error

    value = await asyncio.to_thread(call)
    return await value if isawaitable(value) else value


def wait_for(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, otherwise: T) -> T:
    """Call an async function in the portal's loop.

    Args:
        function: the function.
        args: its arguments.
        otherwise: what to return if the interpreter is about to end.

    Returns:
        What the function returned.

    Raises:
        DeadlockError: this is the portal's own thread.
        Whatever the function raised.
    """
    try:
        return portal.call(function, *args)
    except PortalEndedError:
        return otherwise


def wait_or_leave(function: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Call an async function in the portal's loop, and wait for it where that is possible.

    It is not where a generator that was forgotten is closed in that very loop's thread.
    """
    try:
        wait_for(function, otherwise=None)
    except DeadlockError:
        task = asyncio.ensure_future(function())
        _left.add(task)
        task.add_done_callback(_left.discard)


_left: set[asyncio.Future[object]] = set()


def iter_batches(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of an async generator, some hundred of them with each switch to the loop."""
    try:
        more = True
        while more:
            batch: list[T] = wait_for(_taken, items, otherwise=[])
            yield from batch
            more = len(batch) == _BATCH
    finally:
        wait_for(_closed, items, otherwise=None)


async def _taken(items: AsyncGenerator[T, None]) -> list[T]:
    taken: list[T] = []
    async for item in items:
        taken.append(item)
        # When the program ends each call has a loop of its own, whose end ends `items`.
        if len(taken) == _BATCH and not portal.has_ended:
            break
    return taken


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


def load_request(
    loading: Callable[[LoadRequest], Coroutine[Any, Any, Outcome]], wanted: LoadRequest
) -> Outcome:
    """Load a value in the portal's loop, and compute it in this thread if it is its turn.

    A caller who may go on before the value is computed cannot compute it: then another
    thread does, and if nobody waits any more, to the end all the same.

    Args:
        loading: the loader's method.
        wanted: with factories that block.

    Returns:
        The outcome of ``loading``.

    Raises:
        DeadlockError: this is the portal's own thread.
        Whatever the factory or ``loading`` raised.
    """
    factory = wanted.factory
    detached = partial(run_in_thread, wanted.background_factory or factory)
    if wanted.policy.may_leave and not portal.has_ended:
        elsewhere = partial(run_in_thread, factory)
        try:
            return portal.call(
                loading, wanted._replace(factory=elsewhere, background_factory=detached)
            )
        except CallerLeftError as error:
            raise (error.__cause__ or error) from None
    return load(
        lambda compute: loading(wanted._replace(factory=compute, background_factory=detached)),
        factory,
        lambda value: Outcome(value, "miss"),
    )
