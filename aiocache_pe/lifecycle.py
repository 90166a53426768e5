"""Doing something at the end of an event loop that nobody told us about.

`asyncio.run`, test runners and servers all end a loop with ``shutdown_asyncgens()``,
which closes every asynchronous generator that was begun in it. A generator that only
waits to be closed is therefore a way to be called at the end, while the loop still
works, without asking the user to close anything.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from aiocache_pe.per_loop import PerLoop

logger = logging.getLogger("aiocache_pe")


class AtLoopEnd:
    """Calls an async function when a loop in which it was armed comes to its end.

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

    __slots__ = ("_waiting",)

    def __init__(self, callback: Callable[[], Awaitable[None]]) -> None:
        self._waiting = PerLoop(lambda: _begun(callback))

    def arm(self) -> None:
        """Arm it for the running loop; once is enough, more do no harm."""
        self._waiting.get()


async def _until_closed(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        try:
            await callback()
        except Exception:
            logger.exception("could not finish at the end of the event loop")


def _begun(callback: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    generator = _until_closed(callback)
    step = generator.__anext__()  # registers the generator with the running loop
    with suppress(StopIteration):  # it stands at its `yield`
        step.send(None)
    return generator
