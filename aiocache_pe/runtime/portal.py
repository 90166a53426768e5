"""Portal: an event loop in a thread of its own, for scripts, worker threads and notebooks.

A process has one portal. It starts at the first call that needs it and ends with the
interpreter. The loop runs anyio's blocking portal. A call reaches it in one step, with the
caller's context variables.

The portal serves other threads until they have finished, and handlers of `atexit`. Once it has
ended, each call runs in an event loop of its own in the calling thread.

`Background` runs one async function in the portal's loop and is started from any other loop.
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
_MAX_THREADS = 1 << 16
INTERRUPT_SECONDS = 1.0
"""Time between two checks of a waiting thread for Ctrl-C.

A signal that arrives just before a thread begins to wait does not end the wait.
"""


class PortalEndedError(RuntimeError):
    """An error for calls that no loop can serve, because the interpreter is shutting down."""


class _LoopThread(NamedTuple):
    """A thread and its event loop; `stop` ends both."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    stop: Callable[[], object]


class Settleable(Protocol):
    """An object with background tasks that no caller awaits."""

    async def settle(self) -> None:
        """Wait a limited time for the tasks that were started in the running loop."""


class Portal:
    """A bridge that runs async functions for threads without an event loop.

    Attributes:
        settleables: objects with tasks that the portal waits for before its loop ends.

    Example:
        >>> async def add(a, b):
        ...     return a + b
        >>> Portal().call(add, 1, 2)
        3
    """

    def __init__(self) -> None:
        self.settleables = WeakSet[Settleable]()
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a thread: the parent's thread is not in this process."""
        # Nothing may depend on the parent's `_LoopThread`, such as a generator that would be
        # closed now and would wait for the thread to end.
        self._lock = threading.Lock()
        self._loop_thread: _LoopThread | None = None
        self._was_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether the interpreter is shutting down and the portal serves no more calls."""
        return self._was_ended or (self._loop_thread is None and is_ending())

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Call an async function in the portal's loop, and wait for its result.

        The function has the caller's context variables. When the calling thread is interrupted,
        the call is cancelled.

        Raises:
            DeadlockError: the caller is the portal's own thread.
            PortalEndedError: the interpreter is shutting down, and this thread runs a loop.
            Exception: any exception of the function.
        """
        future: Future[T] = Future()
        try:
            self.start(future, function, *args)
            return self.wait(future)
        except PortalEndedError:
            if future.done():  # the function itself raised it
                raise
            return _run_in_this_thread(function(*args))
        except BaseException:
            future.cancel()
            raise

    def start(
        self, future: Future[T], function: Callable[..., Coroutine[Any, Any, T]], *args: Any
    ) -> None:
        """Start a call in the portal's loop, and do not wait for it.

        The future receives the result; cancelling it cancels the call. The caller creates it,
        because an interrupted caller must be able to cancel the call even when this method does
        not return.

        Raises:
            DeadlockError: the caller is the portal's own thread.
            PortalEndedError: the interpreter is shutting down, and no loop serves the call.
        """
        try:
            running = self._get_loop_thread()
        except PortalEndedError:
            _block_daemon_thread()
            raise
        if threading.current_thread() is running.thread:
            raise DeadlockError(
                "a blocking call must not be made in the thread of the event loop that does its "
                "work; await the async function there, or make the call in another thread"
            )
        running.loop.call_soon_threadsafe(_start_task, future, function, args)

    def wait(self, future: Future[T]) -> T:
        """Wait for the result of a call that `start` started."""
        while True:
            try:
                return future.result(INTERRUPT_SECONDS)
            except TimeoutError:
                if future.done():  # perhaps the function raised it
                    return future.result()
            except CancelledError:
                if self.has_ended:
                    _block_daemon_thread()
                raise

    def call_soon(self, function: Callable[[], object]) -> None:
        """Schedule a plain function in the portal's loop, unless the portal has ended."""
        with suppress(PortalEndedError):
            self._get_loop_thread().loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Cancel all calls, and end the loop and its thread; a later call starts them again."""
        with self._lock:
            running, self._loop_thread = self._loop_thread, None
        if running is not None:
            with suppress(RuntimeError):  # the loop has ended already
                running.stop()
            running.thread.join()

    def end(self) -> None:
        """Stop the portal; later calls run in the calling thread."""
        self._was_ended = True
        self.stop()

    def _get_loop_thread(self) -> _LoopThread:
        with self._lock:
            running = self._loop_thread
            if self.has_ended:
                raise PortalEndedError(
                    "the interpreter is shutting down, so the portal serves no more calls"
                )
            if running is None or running.loop.is_closed():  # a `SystemExit` closes the loop
                running = self._loop_thread = _start_loop_thread(self.settleables)
            return running


def _start_task(
    future: Future[T], function: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]
) -> None:
    if future.cancelled():
        return
    try:
        task = asyncio.ensure_future(function(*args))
    except Exception as error:  # noqa: BLE001 - raised in the thread that waits for the future
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
        return
    loop = asyncio.get_running_loop()

    def cancel_task(future: Future[T]) -> None:
        if future.cancelled() and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    task.add_done_callback(partial(_copy_outcome, future))
    future.add_done_callback(cancel_task)


def _copy_outcome(future: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    error = task.exception()
    if error is None:
        future.set_result(task.result())
    else:
        future.set_exception(error)


def _run_in_this_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    coroutine.close()
    raise PortalEndedError(
        "the interpreter is shutting down, and this thread already runs an event loop; "
        "await the async function instead of making a blocking call"
    )


def _block_daemon_thread() -> None:
    """Block a daemon thread until the interpreter ends, as Python itself does, without output."""
    if threading.current_thread().daemon:
        threading.Event().wait()


def _start_loop_thread(settleables: Iterable[Settleable]) -> _LoopThread:
    # Imported here: most programs need no portal, and anyio takes as long to import as all the
    # rest. In a child that is forked during the import, the import would never finish.
    with block_forks():
        import anyio  # noqa: PLC0415
        from anyio.from_thread import BlockingPortal  # noqa: PLC0415

    ready: Future[_LoopThread] = Future()
    settled = threading.Event()

    async def serve() -> None:
        async with BlockingPortal() as blocking_portal:
            loop = asyncio.get_running_loop()
            # As many threads as calls: a call may wait for another that needs a thread, too.
            loop.set_default_executor(CallerPool(_MAX_THREADS, thread_name_prefix="aiocache_pe"))
            stop = partial(blocking_portal.stop, cancel_remaining=True)
            thread = threading.current_thread()
            ready.set_result(_LoopThread(loop, thread, lambda: blocking_portal.call(stop)))
            await blocking_portal.sleep_until_stopped()

        for settleable in list(settleables):
            await settleable.settle()
        settled.set()

    def run() -> None:
        try:
            with block_forks():
                anyio.run(anyio.sleep, 0)  # the first run imports the rest of anyio
            anyio.run(serve)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            # Python 3.12 starts no thread during shutdown, and asyncio wants to start one to
            # wait for the pool of its loop. That pool has ended by then.
            elif not (settled.is_set() and is_ending() and isinstance(error, RuntimeError)):
                raise

    threading.Thread(target=run, name="aiocache_pe", daemon=True).start()
    return ready.result()


portal = Portal()
"""The portal of this process."""

atexit.register(portal.end)


class Background:
    """An async function that runs in the portal's loop until it returns or is stopped.

    At most one call runs at a time.

    Example:
        >>> words = asyncio.Queue()
        >>> async def main():
        ...     loop = asyncio.get_running_loop()
        ...     async def work(word):
        ...         loop.call_soon_threadsafe(words.put_nowait, word)
        ...     Background().start(work, "done")
        ...     return await words.get()
        >>> run(main())
        'done'
    """

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a call: the parent's portal is not in this process."""
        self._lock = threading.Lock()
        self._future: Future[None] | None = None

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Call an async function, unless a call is in progress."""
        with self._lock:
            if self._future is not None and not self._future.done():
                return
            future = self._future = Future[None]()

        def start() -> None:
            try:
                portal.start(future, function, *args)
            except RuntimeError:  # the portal has ended, or its thread cannot start
                future.cancel()

        # In a thread: the portal may have to be started first, which takes time.
        try:
            threading.Thread(target=start, name="aiocache_pe-start", daemon=True).start()
        except RuntimeError:  # the interpreter is shutting down
            future.cancel()

    def stop(self) -> None:
        """Cancel the call in progress; the next one may start at once."""
        with self._lock:
            future, self._future = self._future, None
        if future is not None:
            future.cancel()
