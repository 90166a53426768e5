"""Portal: event loops in threads of their own, for scripts, worker threads and notebooks.

A process has one portal. Its thread starts at the first call that needs it and ends with the
interpreter. A call reaches the loop in one step, with the caller's context variables
(`aiocache_pe.runtime.portal_call`).

User code that runs in the loop may make a blocking call as well: a function given as ``ttl=``, a
subscriber, a finalizer. A second loop serves this call, and a third one serves calls of user code
in the second.

The portal serves other threads until they have finished, and handlers of `atexit`. Once it has
ended, each call runs in an event loop of its own in the calling thread.

`Background` runs one async function in the portal's loop and is started from any other loop.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from _thread import start_new_thread
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from inspect import isawaitable
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.runtime import log_forwarding, wait_graph
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.runtime.portal_call import INTERRUPT_SECONDS, Inbox, PortalCall, get_waiting_calls
from aiocache_pe.runtime.threads import CallerPool, is_ending, own_threads
from aiocache_pe.runtime.wait_graph import WaitNode

T = TypeVar("T")
_MAX_THREADS = 1 << 16
_MAX_LEVEL = 64  # loops whose user code makes a blocking call inside another one


class PortalEndedError(RuntimeError):
    """An error for calls that no loop can serve, because the interpreter is shutting down."""


class Settleable(Protocol):
    """An object with background tasks that no caller awaits."""

    async def settle(self) -> None:
        """Wait a limited time for the tasks that were started in the running loop."""


class _Level(threading.local):
    """The level of the loop that serves blocking calls of this thread."""

    value = 0


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
        self._level = _Level()
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begin without a thread: the parent's threads are not in this process."""
        self._threads: dict[int, _LoopThread] = {}
        self._was_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether the interpreter is shutting down and the portal serves no more calls."""
        return self._was_ended or (is_ending() and self._level.value not in self._threads)

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Call an async function in the portal's loop, and wait for its result.

        The function has the caller's context variables. When the calling thread is interrupted,
        the call is cancelled.

        Raises:
            DeadlockError: blocking calls inside each other are endless.
            PortalEndedError: the interpreter is shutting down, and this thread runs a loop.
            Exception: any exception of the function.
        """
        return self.run(PortalCall(self._find_inbox, function, args))

    def make_call(
        self, operation: Callable[..., Coroutine[Any, Any, T]], function: Callable[..., Any]
    ) -> PortalCall[T]:
        """Return a call of an operation; its argument calls a function in the caller's thread.

        An awaitable result of the function is awaited in the loop.
        """

        async def compute(*args: Any) -> Any:
            value = await call.run_in_caller(partial(function, *args))
            return await value if isawaitable(value) else value

        call = PortalCall(self._find_inbox, operation, (compute,), is_helped=True)
        return call

    def run(self, call: PortalCall[T]) -> T:
        """Run a call, and wait for its result; the errors are those of `call`."""
        blocked: list[object] = [*get_waiting_calls()]
        try:
            blocked.append(asyncio.get_running_loop())
        except RuntimeError as error:
            raise_interrupt(error)
        if not blocked:
            return self._run(call, None)
        blocker = WaitNode(call)
        with wait_graph.block(blocker, blocked):
            return self._run(call, wait_graph.make_context(copy_context(), blocker))

    def call_soon(
        self, function: Callable[[], object], refuse: Callable[[], object] = lambda: None
    ) -> bool:
        """Schedule a plain function in the portal's loop; return whether the portal serves calls.

        ``refuse`` is called instead if the loop ends before that.
        """
        try:
            self._find_inbox(level=0).put(function, refuse)
        except RuntimeError as error:  # the portal has ended, or a thread cannot start
            raise_interrupt(error)
            return False
        return True

    def stop(self) -> None:
        """Cancel all calls, and end the loops and their threads; a later call starts them again."""
        for level in sorted(self._threads, reverse=True):
            thread = self._threads.pop(level, None)
            if thread is not None:
                thread.stop()

    def end(self) -> None:
        """Stop the portal; later calls run in the calling thread."""
        self._was_ended = True
        self.stop()
        log_forwarding.flush()

    def register(self, thread: _LoopThread, level: int) -> bool:
        """Let a new thread serve a level, unless another one serves it; called in that thread."""
        self._level.value = level + 1
        present = self._threads.get(level)
        if present is not None and present.inbox.has_ended:
            self._threads.pop(level, None)
        return self._threads.setdefault(level, thread) is thread

    def _run(self, call: PortalCall[T], context: Context | None) -> T:
        try:
            return call.run(context)
        except PortalEndedError:
            if call.has_started:  # the function itself raised it
                raise
            self._block_daemon_thread()
            return _run_in_this_thread(call.make_coroutine())
        except CancelledError:
            if self.has_ended:
                self._block_daemon_thread()
            raise

    def _find_inbox(self, level: int | None = None) -> Inbox:
        """Return the inbox of the loop that serves this thread; start its thread if necessary."""
        if level is None:
            # A loop may wait for the worker, so another loop serves a finalizer in the worker.
            level = self._level.value or int(threading.get_ident() in own_threads.workers)
        if level > _MAX_LEVEL:
            raise DeadlockError(
                f"blocking calls must not be nested in more than {_MAX_LEVEL} event loops; "
                "an async function must await the cache, not block for it"
            )
        while True:
            thread = self._threads.get(level)
            if self.has_ended:
                raise PortalEndedError(
                    "the interpreter is shutting down, so the portal serves no more calls"
                )
            if thread is not None and not thread.inbox.has_ended:
                return thread.inbox
            _LoopThread(self, level).start()

    def _block_daemon_thread(self) -> None:
        """Block a daemon thread until the interpreter ends, as Python itself does."""
        if threading.current_thread().daemon and not self._level.value:
            threading.Event().wait()


def run_in_new_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new event loop, without the event loop policy.

    A finalizer may interrupt any code and start another portal. It would wait for the lock under
    which the first loop of a process creates the policy.
    """
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(coroutine)


def _run_in_this_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_in_new_loop(coroutine)
    coroutine.close()
    raise PortalEndedError(
        "the interpreter is shutting down, and this thread already runs an event loop; "
        "await the async function instead of making a blocking call"
    )


class _LoopThread:
    """A thread with an event loop; several may start, and one of them serves the portal.

    The thread itself decides which one, because a signal handler may interrupt the thread that
    starts it, and may start another one.
    """

    def __init__(self, portal: Portal, level: int) -> None:
        self.inbox = Inbox()
        self._portal = portal
        self._registered = SimpleQueue[RuntimeError | None]()
        self._level = level
        self._is_settled = False
        self._thread = threading.Thread(target=self._run, name="aiocache_pe", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until one of the started threads serves the level.

        Raises:
            RuntimeError: the interpreter starts no thread any more.
        """
        # `Thread.start` takes locks and changes shared state, which a signal handler in this
        # thread may interrupt. A thread without handlers calls it.
        start_new_thread(self._start_thread, ())
        while True:
            with suppress(Empty):
                error = self._registered.get(timeout=INTERRUPT_SECONDS)
                break
        if error is not None:
            raise error

    def stop(self) -> None:
        """Cancel all calls, and wait until the thread has ended."""
        with suppress(CancelledError):
            PortalCall(self._find_inbox, self._settle, ()).run()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _find_inbox(self) -> Inbox:
        if self.inbox.has_ended:
            raise CancelledError
        return self.inbox

    def _start_thread(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            self._registered.put(error)

    def _run(self) -> None:
        is_serving = self._portal.register(self, self._level)
        self._registered.put(None)
        if not is_serving:
            return
        own_threads.loops.add(threading.get_ident())
        try:
            run_in_new_loop(self._serve())
        except RuntimeError:
            # Python 3.12 starts no thread during shutdown, and asyncio wants to start one to
            # wait for the pool of its loop. That pool has ended by then.
            if not (self._is_settled and is_ending()):
                raise
        finally:
            own_threads.loops.discard(threading.get_ident())
            self.inbox.close()

    async def _serve(self) -> None:
        # As many threads as calls: a call may wait for another that needs a thread, too.
        pool = CallerPool(_MAX_THREADS, thread_name_prefix="aiocache_pe")
        asyncio.get_running_loop().set_default_executor(pool)
        self._stopped = asyncio.Event()
        self.inbox.start()
        try:
            await self._stopped.wait()
        finally:
            self.inbox.close()

    async def _settle(self) -> None:
        for settleable in list(self._portal.settleables):
            await settleable.settle()
        self._is_settled = True
        self._stopped.set()


portal = Portal()
"""The portal of this process."""

atexit.register(portal.end)
log_forwarding.install()


class _BackgroundRun:
    """One run of a function in the portal's loop."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.has_ended = False
        self._function = function
        self._task: asyncio.Future[None] | None = None

    def begin(self) -> None:
        if not self.has_ended:
            self._task = asyncio.ensure_future(self._function())
            self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        self.has_ended = True
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Future[None]) -> None:
        self.has_ended = True
        if not task.cancelled():
            task.exception()  # or asyncio logs that the exception was never retrieved


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
        self._runs: dict[None, _BackgroundRun] = {}  # at most one; a dict is safe for threads

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Call an async function, unless a call is in progress."""
        present = self._runs.get(None)
        if present is not None and present.has_ended:
            self._runs.pop(None, None)
        run = _BackgroundRun(partial(function, *args))
        if self._runs.setdefault(None, run) is run and not portal.call_soon(run.begin, run.cancel):
            run.has_ended = True

    def stop(self) -> None:
        """Cancel the call in progress; the next one may start at once."""
        run = self._runs.pop(None, None)
        if run is not None:
            portal.call_soon(run.cancel)
