"""An event loop in a thread of its own, for callers that have none: scripts, threads, notebooks.

One for the process, begun at the first call that needs it and ended with the interpreter.
The thread is anyio's blocking portal; a call goes there in one step, with the caller's
context variables.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.forks import renewed_at_fork

T = TypeVar("T")


class PortalEndedError(RuntimeError):
    """The interpreter is about to end, and no thread can be had any more."""


class Portal:
    """Runs async functions for threads that wait for them.

    Example:
        >>> async def add(a, b):
        ...     return a + b
        >>> Portal().call(add, 1, 2)
        3
    """

    def __init__(self) -> None:
        self.after_fork()
        renewed_at_fork(self)

    def after_fork(self) -> None:
        """Begin without a thread: the parent's is not in this process."""
        self._lock = threading.Lock()
        self._exit = ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
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
            PortalEndedError: the interpreter is about to end.
            Whatever the function raised. A caller that is interrupted takes it along.
        """
        future = self.begin(function, *args)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def begin(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Future[T]:
        """The same without waiting.

        Returns:
            The result to come; cancelling it cancels the call.
        """
        loop = self._running()
        if threading.get_ident() == self._thread:
            raise DeadlockError(
                "a blocking call in the thread of the event loop that would do its work; "
                "call the async function there, or the blocking one in another thread"
            )
        return asyncio.run_coroutine_threadsafe(function(*args), loop)

    def soon(self, function: Callable[[], object]) -> None:
        """Have a plain function called in the portal's loop, at the next occasion."""
        self._running().call_soon_threadsafe(function)

    def stop(self) -> None:
        """End the loop and its thread; what still runs is cancelled. A later call begins anew."""
        with self._lock:
            exits, self._exit, self._loop, self._thread = self._exit, ExitStack(), None, None
        exits.close()

    def end(self) -> None:
        """Stop for good."""
        self.has_ended = True
        self.stop()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self.has_ended:
                raise PortalEndedError("the interpreter is about to end")
            return self._loop or self._started()

    def _started(self) -> asyncio.AbstractEventLoop:
        # Most programs never get here, and this takes as long as all the rest to import.
        from anyio.from_thread import start_blocking_portal  # noqa: PLC0415

        running = self._exit.enter_context(start_blocking_portal(name="aiocache_pe"))
        self._loop, self._thread = running.call(_loop_and_thread)
        return self._loop


async def _loop_and_thread() -> tuple[asyncio.AbstractEventLoop, int]:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="aiocache_pe"))
    # What is to be written when the interpreter ends is written in a thread, and by then
    # none can be started any more.
    await loop.run_in_executor(None, threading.get_ident)
    return loop, threading.get_ident()


portal = Portal()
"""The process's own."""

# Functions registered with `atexit` are called when no pool takes work any more. Those of
# `threading` are called before, the last registered first; that is how pools end, too,
# so ours ends before them.
getattr(threading, "_register_atexit", atexit.register)(portal.end)
