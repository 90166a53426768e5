"""Doing something at the end of an event loop that nobody told us about.

`asyncio.run`, test runners and servers all end a loop with ``shutdown_asyncgens()``,
which closes every asynchronous generator that was begun in it. A generator that only
waits to be closed is therefore a way to be called at the end, while the loop still
works, without asking the user to close anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from weakref import WeakSet

from aiocache_pe.per_loop import PerLoop, UnderWay

logger = logging.getLogger("aiocache_pe")
_PATIENCE = 10.0  # seconds that the last wait for the others, at most
_others = UnderWay()
"""What the last wait for: each of the others until it has finished."""


class AtLoopEnd:
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
    def has_come(self) -> bool:
        """Whether the running loop has come to its end: it cancels no task that begins now."""
        return asyncio.get_running_loop() in self._ended

    def arm(self) -> None:
        """Arm it for the running loop; once is enough, more do no harm."""
        self._waiting.get()


async def _one_of_all(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    with _others.one():
        try:
            yield
        finally:
            await _called(callback)


async def _last_of_all(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        try:
            await _others.settled(_PATIENCE)
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
