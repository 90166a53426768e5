"""One thing per running event loop, so that nothing bound to a loop outlives it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
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

    def one(self) -> _One:
        """Something is under way, in a ``with``, until that ends, however it does."""
        return _One(self._begun.get())

    async def settled(self, patience: float | None = None) -> None:
        """Wait until all that is under way now has ended, or for so many seconds."""
        if begun := set(self._begun.get()):
            await asyncio.wait(begun, timeout=patience)


class _One:
    """A part of what is under way.

    No generator: the collector would run that to its end when a loop was dropped while
    something was under way, in any thread, and with futures that are cleared already.
    """

    __slots__ = ("_begun", "_done")

    def __init__(self, begun: set[asyncio.Future[None]]) -> None:
        self._begun = begun
        self._done = asyncio.get_running_loop().create_future()

    def __enter__(self) -> None:
        self._begun.add(self._done)

    def __exit__(self, *_: object) -> None:
        self._begun.discard(self._done)
        if not self._done.get_loop().is_closed():
            self._done.set_result(None)
