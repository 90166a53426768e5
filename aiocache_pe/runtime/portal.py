"""An event loop in a thread of its own, for callers that have none: scripts, threads, notebooks.

One for the process, begun at the first call that needs it and ended with the interpreter.
The loop runs anyio's blocking portal; a call goes there in one step, with the caller's
context variables.

It serves other threads until they are done, and handlers of `atexit` too. Those that come
when it is over, or first need it when no thread can be begun any more, have their calls
run in a loop of their own, in the calling thread.

One piece of work in the portal's loop, begun from any other loop.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.runtime.fork import block_forks, reset_after_fork
from aiocache_pe.runtime.threads import CallerPool, is_ending

T = TypeVar("T")
_THREADS = 1 << 16


class PortalEndedError(RuntimeError):
    """The interpreter is about to end, and a loop is running in the one thread there is."""


class _Running(NamedTuple):
    """A thread with a loop; `stop` ends both."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    stop: Callable[[], object]


class Settleable(Protocol):
    """Something with work under way that nobody waits for."""

    async def settle(self) -> None:
        """Wait for what was begun in the running loop; not for ever."""


class Portal:
    """Runs async functions for threads that wait for them.

    Example:
        >>> async def add(a, b):
        ...     return a + b
        >>> Portal().call(add, 1, 2)
        3
    """

    def __init__(self) -> None:
        self.awaits = WeakSet[Settleable]()
        """What to wait for before the loop ends, while its tasks are alive."""
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a thread: the parent's is not in this process.

        What stood for it is dropped, and nothing may hang on that: no generator that
        would be closed now and wait for the thread to end.
        """
        self._lock = threading.Lock()
        self._begun: _Running | None = None
        self.has_ended = False
        """Whether the interpreter is about to end, and no thread can be had any more."""

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Call an async function in the portal's loop, and wait for its result.

        Args:
            function: called with the caller's context variables.
            args: its arguments.

        Returns:
            What it returned.

        Raises:
            DeadlockError: the caller is the thread that would have to do the work.
            PortalEndedError: the interpreter is about to end, and a loop is running here.
            Whatever the function raised. A caller that is interrupted takes it along.
        """
        future: Future[T] = Future()
        try:
            self.start(future, function, *args)
            return self.run(future)
        except PortalEndedError:
            if future.done():  # it is the function that says so
                raise
            return _run_here(function(*args))
        except BaseException:
            future.cancel()
            raise

    def run(self, future: Future[T]) -> T:
        """Wait for what `begin` began."""
        try:
            return future.result()
        except CancelledError:
            if self.has_ended:
                _wait_for_the_end()
            raise

    def start(
        self, future: Future[T], function: Callable[..., Coroutine[Any, Any, T]], *args: Any
    ) -> None:
        """Begin what `call` does, and do not wait for it.

        Args:
            future: the result to come; cancelling it cancels the call. It is the caller's, who
                may be interrupted before this returns, and must be able to cancel even so.
            function: called with the caller's context variables.
            args: its arguments.

        Raises:
            DeadlockError: the caller is the thread that would have to do the work.
            PortalEndedError: the interpreter is about to end, and nobody would do it.
        """
        running = self._running()
        if threading.current_thread() is running.thread:
            raise DeadlockError(
                "a blocking call in the thread of the event loop that would do its work; "
                "call the async function there, or the blocking one in another thread"
            )
        running.loop.call_soon_threadsafe(_begin, future, function, args)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a plain function called in the portal's loop, at the next occasion."""
        self._running().loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """End the loop and its thread; what still runs is cancelled. A later call begins anew."""
        with self._lock:
            running, self._begun = self._begun, None
        if running is not None:
            with suppress(RuntimeError):  # it ended by itself
                running.stop()
            running.thread.join()

    def end(self) -> None:
        """Stop for good."""
        self.has_ended = True
        self.stop()

    def _running(self) -> _Running:
        with self._lock:
            if self.has_ended or (self._begun is None and is_ending()):
                raise PortalEndedError("the interpreter is about to end")
            if self._begun is None or self._begun.loop.is_closed():  # ended by a `SystemExit`
                self._begun = _started(self.awaits)
            return self._begun


def _begin(
    future: Future[T], function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]
) -> None:
    """Call an async function in the running loop, for one who waits for a future elsewhere."""
    if future.cancelled():
        return
    try:
        task = asyncio.ensure_future(function(*args))
    except Exception as error:  # noqa: BLE001 - it is the caller's, who waits in a thread
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
        return
    loop = asyncio.get_running_loop()

    def cancel_too(future: Future[T]) -> None:
        if future.cancelled() and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    task.add_done_callback(partial(_hand_over, future))
    future.add_done_callback(cancel_too)


def _hand_over(future: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    error = task.exception()
    if error is None:
        future.set_result(task.result())
    else:
        future.set_exception(error)


def _run_here(work: Coroutine[Any, Any, T]) -> T:
    _wait_for_the_end()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise PortalEndedError("the interpreter is about to end, and a loop is running here")


def _wait_for_the_end() -> None:
    """Let a daemon thread end as Python has them end: with the program, without a word."""
    if threading.current_thread().daemon:
        threading.Event().wait()


def _started(awaits: Iterable[Settleable]) -> _Running:
    # Most programs never get here, and this takes as long as all the rest to import.
    # A child that is forked meanwhile would wait for the rest of the import for ever.
    with block_forks():
        import anyio  # noqa: PLC0415
        from anyio.from_thread import BlockingPortal  # noqa: PLC0415

    ready: Future[_Running] = Future()
    served = threading.Event()

    async def serve() -> None:
        async with BlockingPortal() as serving:
            loop = asyncio.get_running_loop()
            # As many threads as calls: one may wait for another that is to be made there too.
            loop.set_default_executor(CallerPool(_THREADS, thread_name_prefix="aiocache_pe"))
            stop = partial(serving.stop, cancel_remaining=True)
            ready.set_result(_Running(loop, threading.current_thread(), lambda: serving.call(stop)))
            await serving.sleep_until_stopped()
        for thing in list(awaits):
            await thing.settle()
        served.set()

    def run() -> None:
        try:
            with block_forks():
                anyio.run(anyio.sleep, 0)  # the first time it imports the rest of anyio
            anyio.run(serve)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            # Python 3.12 begins no thread when the program ends, and asyncio wants one to
            # wait for the pool of its loop. That pool has ended by then.
            elif not (served.is_set() and is_ending() and isinstance(error, RuntimeError)):
                raise

    threading.Thread(target=run, name="aiocache_pe", daemon=True).start()
    return ready.result()


portal = Portal()
"""The process's own."""

atexit.register(portal.end)


class Background:
    """An async function that runs in the portal's loop, one at a time, until it ends or is stopped.

    Example:
        >>> heard = asyncio.Queue()
        >>> async def main():
        ...     loop = asyncio.get_running_loop()
        ...     async def work(word):
        ...         loop.call_soon_threadsafe(heard.put_nowait, word)
        ...     Background().begin(work, "done")
        ...     return await heard.get()
        >>> run(main())
        'done'
    """

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without work: the parent's thread is not in this process."""
        self._lock = threading.Lock()
        self._work: Future[None] | None = None

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Have an async function called, unless one is under way; called in a running loop."""
        with self._lock:
            if self._work is not None and not self._work.done():
                return
            promise: Future[None] = Future()
            self._work = promise
        # In a thread: the portal's may have to be started first, which takes time.
        asyncio.get_running_loop().run_in_executor(None, _begin_on_portal, promise, function, args)

    def stop(self) -> None:
        """End it; the next one may begin at once."""
        with self._lock:
            work, self._work = self._work, None
        if work is not None:
            work.cancel()


def _begin_on_portal(
    promise: Future[None],
    function: Callable[..., Coroutine[Any, Any, None]],
    args: tuple[Any, ...],
) -> None:
    work: Future[None] = Future()
    try:
        portal.start(work, function, *args)
    except PortalEndedError:
        promise.cancel()
        return

    def stopped(future: Future[None]) -> None:
        if future.cancelled():
            work.cancel()

    def ended(_: Future[None]) -> None:
        if not promise.done():
            with suppress(Exception):  # it was stopped just now
                promise.set_result(None)

    promise.add_done_callback(stopped)
    work.add_done_callback(ended)
