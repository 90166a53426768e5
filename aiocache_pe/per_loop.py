"""One thing per running event loop, so that nothing bound to a loop outlives it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from aiocache_pe.forks import renewed_at_fork

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes a thing on first use in each loop, and forgets it with its loop.

    A manager at module level is used by one `asyncio.run` after another, and by loops
    in several threads; futures, tasks and connections of one must not reach the other.

    Example:
        >>> queues = PerLoop(list)
        >>> async def main():
        ...     return queues.get() is queues.get()
        >>> asyncio.run(main())
        True
    """

    __slots__ = ("__weakref__", "_lock", "_make", "_things")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._things: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self.after_fork()
        renewed_at_fork(self)

    def after_fork(self) -> None:
        """Begin with a free lock: a thread of the parent may have held the one before."""
        self._lock = threading.Lock()

    def get(self) -> T:
        """The running loop's thing.

        Raises:
            RuntimeError: no event loop is running in this thread.
        """
        loop = asyncio.get_running_loop()
        thing = self._things.get(loop)  # only this thread, which runs the loop, puts it there
        if thing is not None:
            return thing
        with self._lock:
            thing = self._things.get(loop)
            if thing is None:
                # A thing may hold its loop, as tasks and timers do; so weakness alone
                # would keep every loop that ended for as long as this object lives.
                for ended in [other for other in self._things if other.is_closed()]:
                    del self._things[ended]
                thing = self._things[loop] = self._make()
            return thing


class UnderWay:
    """What tasks have begun and others must see done, kept apart by event loop.

    A loop waits for its own only: another may stand still, and be waiting for this one.

    Example:
        >>> things = UnderWay()
        >>> async def write(done):
        ...     with things.one():
        ...         await asyncio.sleep(0)
        ...         done.append("written")
        >>> async def main():
        ...     done = []
        ...     task = asyncio.create_task(write(done))
        ...     await asyncio.sleep(0)
        ...     await things.settled()
        ...     return done
        >>> asyncio.run(main())
        ['written']
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: PerLoop[set[asyncio.Future[None]]] = PerLoop(set)

    @contextmanager
    def one(self) -> Generator[None, None, None]:
        """Something is under way, in a ``with``, until that ends, however it does."""
        loop, begun = asyncio.get_running_loop(), self._begun.get()
        done = loop.create_future()
        begun.add(done)
        try:
            yield
        finally:
            begun.discard(done)
            if not loop.is_closed():
                done.set_result(None)

    async def settled(self, patience: float | None = None) -> None:
        """Wait until all that is under way now has ended, or for so many seconds."""
        if begun := set(self._begun.get()):
            await asyncio.wait(begun, timeout=patience)
