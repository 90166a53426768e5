"""One piece of work in the portal's loop, begun from any other loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from aiocache_pe.forks import renewed_at_fork
from aiocache_pe.portal import PortalEndedError, portal


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
        renewed_at_fork(self)

    def after_fork(self) -> None:
        """Begin without work: the parent's thread is not in this process."""
        self._lock = threading.Lock()
        self._work: Future[None] | None = None

    def begin(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Have an async function called, unless one is under way; called in a running loop."""
        with self._lock:
            if self._work is not None and not self._work.done():
                return
            promise: Future[None] = Future()
            self._work = promise
        # In a thread: the portal's may have to be started first, which takes time.
        asyncio.get_running_loop().run_in_executor(None, _begin, promise, function, args)

    def stop(self) -> None:
        """End it; the next one may begin at once."""
        with self._lock:
            work, self._work = self._work, None
        if work is not None:
            work.cancel()


def _begin(
    promise: Future[None],
    function: Callable[..., Coroutine[Any, Any, None]],
    args: tuple[Any, ...],
) -> None:
    work: Future[None] = Future()
    try:
        portal.begin(work, function, *args)
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
