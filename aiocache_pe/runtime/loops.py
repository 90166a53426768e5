"""Per-loop state, and work at the end of an event loop.

The end of a loop is noticed without any help from the user. `asyncio.run`, test runners and
servers end a loop with ``shutdown_asyncgens()``, which closes every asynchronous generator
that was started in the loop. A generator that only waits to be closed is therefore called at
the end, while the loop still works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

logger = logging.getLogger("aiocache_pe")
T = TypeVar("T")
R = TypeVar("R")

_CHECKPOINT_INTERVAL = 64  # items; encoding that many takes some milliseconds
_SLICE_ITEMS = 1000  # that all steps of a layer process at once, in some milliseconds
_LAST_HOOK_TIMEOUT = 10.0  # seconds that a hook with ``last=True`` waits for the other hooks


_NO_LOOP = (
    "aiocache_pe needs a running asyncio event loop, and there is none in this thread; without "
    "asyncio, as under trio, call the blocking API aiocache_pe.sync in a thread: "
    "await trio.to_thread.run_sync(cache.get, key)"
)


def get_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        RuntimeError: no event loop of asyncio is running in this thread.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(_NO_LOOP) from None


class PerLoop(Generic[T]):
    """A value for each event loop, created on first use and dropped with its loop.

    A manager at module level is used by one `asyncio.run` after another, and by loops
    in several threads. Futures, tasks and connections of one loop must not reach another. The
    factory is called in the running loop to create its value.

    Example:
        >>> queues = PerLoop(list)
        >>> async def main():
        ...     return queues.get() is queues.get()
        >>> asyncio.run(main())
        True
    """

    # No lock: only the thread that runs a loop stores the loop's value, and a finalizer in this
    # thread, at any instruction, may wait for another thread that needs the value of its loop.
    __slots__ = ("_factory", "_values")

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """Return the running loop's value.

        Raises:
            RuntimeError: no event loop is running in this thread.
        """
        loop = get_loop()
        value = self._values.get(loop)
        if value is not None:
            return value

        # A value may refer to its loop, as tasks and timers do. Weak keys alone would then keep
        # every closed loop for as long as this object lives.
        with suppress(RuntimeError):  # another thread changes the dict; the next loop tries again
            for closed in [key for key in self._values if key.is_closed()]:
                self._values.pop(closed, None)
        return self._values.setdefault(loop, self._factory())


class PendingWork:
    """Work in progress that other tasks can wait for, kept apart by event loop.

    A task waits for the work of its own loop only. Another loop may be blocked, and may
    be waiting for this one.

    Example:
        >>> pending = PendingWork()
        >>> async def write(done):
        ...     with pending.track():
        ...         await asyncio.sleep(0)
        ...         done.append("written")
        >>> async def main():
        ...     done = []
        ...     task = asyncio.create_task(write(done))
        ...     await asyncio.sleep(0)
        ...     await pending.wait_done()
        ...     return done
        >>> asyncio.run(main())
        ['written']
    """

    def __init__(self) -> None:
        self._futures: PerLoop[set[asyncio.Future[None]]] = PerLoop(set)

    def track(self) -> _TrackedWork:
        """Return a context manager: work is in progress until its block ends or raises."""
        return _TrackedWork(self._futures.get())

    async def wait_done(self, max_wait: float | None = None) -> None:
        """Wait ``max_wait`` seconds at most until all work that is in progress now has ended."""
        if futures := set(self._futures.get()):
            await asyncio.wait(futures, timeout=max_wait)


class _TrackedWork:
    """One piece of work in progress.

    A generator would not do. When a loop is dropped while work is in progress, the garbage
    collector runs a generator to its end, in any thread and with futures already cleared.
    """

    __slots__ = ("_done", "_futures")

    def __init__(self, futures: set[asyncio.Future[None]]) -> None:
        self._futures = futures
        self._done = asyncio.get_running_loop().create_future()

    def __enter__(self) -> None:
        self._futures.add(self._done)

    def __exit__(self, *_: object) -> None:
        self._futures.discard(self._done)
        if not self._done.get_loop().is_closed():
            self._done.set_result(None)


async def checkpoint(count: int) -> None:
    """Let other tasks of the loop run, once in 64 items; ``count`` items are processed.

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
    if not count % _CHECKPOINT_INTERVAL:
        await asyncio.sleep(0)


def slice_batch(items: Sequence[T]) -> Iterable[Sequence[T]]:
    """Return a batch in slices; the caller lets other tasks run between them.

    Most batches are one slice.

    Example:
        >>> [len(part) for part in slice_batch(range(2500))]
        [1000, 1000, 500]
    """
    if len(items) <= _SLICE_ITEMS:
        return (items,)
    starts = range(0, len(items), _SLICE_ITEMS)
    return (items[start : start + _SLICE_ITEMS] for start in starts)


async def apply_in_slices(
    function: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]
) -> Sequence[R]:
    """Return the joined results of a plain function of each slice; other tasks run in between.

    Example:
        >>> run(apply_in_slices(lambda part: [2 * number for number in part], range(1500)))[-1]
        2998
    """
    if len(items) <= _SLICE_ITEMS:
        return function(items)
    results: list[R] = []
    for part in slice_batch(items):
        results += function(part)
        await asyncio.sleep(0)
    return results


class LoopEndHook:
    """An async callback that runs at the end of every loop in which the hook was armed.

    Args:
        callback: the async function; an exception that it raises is logged.
        last: run the callback after those of hooks without ``last``, because it releases
            a resource that they use.

    Example:
        >>> import asyncio
        >>> async def goodbye():
        ...     print("goodbye")
        >>> hook = LoopEndHook(goodbye)
        >>> async def main():
        ...     hook.arm()
        >>> asyncio.run(main())
        goodbye
    """

    def __init__(self, callback: Callable[[], Awaitable[None]], *, last: bool = False) -> None:
        call_at_end = _call_last if last else _call_first
        ending_loops = self._ending_loops = WeakSet[asyncio.AbstractEventLoop]()

        async def run_callback() -> None:
            ending_loops.add(asyncio.get_running_loop())
            try:
                await callback()
            except Exception:
                logger.exception("callback %r failed at the end of the event loop", callback)

        self._generators = PerLoop(lambda: _start_generator(call_at_end(run_callback)))

    @property
    def is_loop_ending(self) -> bool:
        """Return whether the running loop has reached its end: it cancels no task started now."""
        return asyncio.get_running_loop() in self._ending_loops

    def arm(self) -> None:
        """Arm the hook for the running loop; further calls have no effect."""
        self._generators.get()


_first_hooks = PendingWork()
"""Armed hooks without ``last``, until their callbacks return; `_call_last` waits for them."""


async def _call_first(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    with _first_hooks.track():
        try:
            yield
        finally:
            await callback()


async def _call_last(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        try:
            await _first_hooks.wait_done(_LAST_HOOK_TIMEOUT)
        finally:
            await callback()


def _start_generator(generator: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    step = generator.__anext__()  # registers the generator with the running loop
    with suppress(StopIteration):  # raised when the generator reaches its `yield`
        step.send(None)
    return generator
