"""One thing per running event loop, so that nothing bound to a loop outlives it.

Long loops that let others run now and then.

Doing something at the end of an event loop that nobody told us about.

`asyncio.run`, test runners and servers all end a loop with ``shutdown_asyncgens()``,
which closes every asynchronous generator that was begun in it. A generator that only
waits to be closed is therefore a way to be called at the end, while the loop still
works, without asking the user to close anything.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from aiocache_pe.runtime.fork import reset_after_fork

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
        reset_after_fork(self)

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


class PendingWork:
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

    def track(self) -> _One:
        """Something is under way, in a ``with``, until that ends, however it does."""
        return _One(self._begun.get())

    async def wait_done(self, patience: float | None = None) -> None:
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


_MANY = 256  # items; decoding that many takes some milliseconds


async def checkpoint(count: int) -> None:
    """Give whatever else is to be done a turn, after some hundred items.

    Args:
        count: how many items were worked on so far.

    Example:
        >>> async def total(numbers):
        ...     result = 0
        ...     for count, number in enumerate(numbers, 1):
        ...         result += number
        ...         await checkpoint(count)
        ...     return result
        >>> run(total(range(1000)))
        499500
    """
    if not count % _MANY:
        await asyncio.sleep(0)


logger = logging.getLogger("aiocache_pe")
_PATIENCE = 10.0  # seconds that the last wait for the others, at most
_others = PendingWork()
"""What the last wait for: each of the others until it has finished."""


class LoopEndHook:
    """Calls an async function when a loop in which it was armed comes to its end.

    Args:
        callback: the function.
        last: whether it gives back what others use to finish: it is called after theirs.

    Example:
        >>> import asyncio
        >>> async def goodbye():
        ...     print("goodbye")
        >>> at_end = AtLoopEnd(goodbye)
        >>> async def main():
        ...     at_end.arm()
        >>> asyncio.run(main())
        goodbye
    """

    __slots__ = ("_ended", "_waiting")

    def __init__(self, callback: Callable[[], Awaitable[None]], *, last: bool = False) -> None:
        until_closed = _last_of_all if last else _one_of_all
        ended = self._ended = WeakSet[asyncio.AbstractEventLoop]()

        async def at_end() -> None:
            ended.add(asyncio.get_running_loop())
            await callback()

        self._waiting = PerLoop(lambda: _begun(until_closed(at_end)))

    @property
    def is_reached(self) -> bool:
        """Whether the running loop has come to its end: it cancels no task that begins now."""
        return asyncio.get_running_loop() in self._ended

    def arm(self) -> None:
        """Arm it for the running loop; once is enough, more do no harm."""
        self._waiting.get()


async def _one_of_all(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    with _others.track():
        try:
            yield
        finally:
            await _called(callback)


async def _last_of_all(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        try:
            await _others.wait_done(_PATIENCE)
        finally:
            await _called(callback)


async def _called(callback: Callable[[], Awaitable[None]]) -> None:
    try:
        await callback()
    except Exception:
        logger.exception("could not finish at the end of the event loop")


def _begun(generator: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    step = generator.__anext__()  # registers the generator with the running loop
    with suppress(StopIteration):  # it stands at its `yield`
        step.send(None)
    return generator
