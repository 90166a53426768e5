"""Who was read how often and when, on its way to the store, a little at a time.

A second of reading can touch thousands of entries, and noting each costs as much as a
write. Done in one go, the thread that does it and the event loop would fight over the
GIL; so in the background it takes a tenth of the time at most. What is still waiting at
`close` or at the end of the loop is written then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from aiocache_pe.backends.base import Usage
from aiocache_pe.engine.engine import Engine
from aiocache_pe.engine.namespace import Namespace
from aiocache_pe.runtime.loops import PendingWork

_CHUNK = 32
_MANY = 256  # entries to take in at a time: a tenth of a millisecond
_REST = 9.0  # times as long as a chunk took


class AccessLog:
    """The usage that is not written yet.

    Args:
        engine: whose store is to know; without the capability `Usage` nothing is kept.
    """

    __slots__ = ("_chunks", "_engine", "_incoming", "_waiting")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._incoming: deque[tuple[Namespace, dict[str, tuple[int, float]]]] = deque()
        self._waiting: dict[str, tuple[Namespace, int, float]] = {}
        self._chunks = PendingWork()

    def add(self, space: Namespace, usage: dict[str, tuple[int, float]]) -> None:
        """Take hits and last accesses, by store key, of one namespace; they are used up."""
        if isinstance(self._engine.backend, Usage):
            self._incoming.append((space, usage))

    def clear(self) -> None:
        """Forget what is waiting."""
        self._incoming.clear()
        self._waiting.clear()

    async def write(self, *, gently: bool = False) -> None:
        """Write what is waiting; gently, the loop is left alone for most of the time."""
        backend, clock = self._engine.backend, self._engine.clock
        await self._take_in()
        while isinstance(backend, Usage):
            began = clock.monotonic()
            space, usage = self._next(_CHUNK if gently else len(self._waiting))
            if space is None:
                break
            with self._chunks.track():
                await space.attempt("usage", backend.add_usage(usage), None)
            if gently:
                await asyncio.sleep(_REST * (clock.monotonic() - began))
        if not self._waiting:
            self._waiting.clear()  # the room of all that ever waited at once

    async def wait_written(self) -> None:
        """Wait for what others are writing in this loop."""
        await self._chunks.wait_done()

    def _next(self, most: int) -> tuple[Namespace | None, dict[str, tuple[int, float]]]:
        """Take some of what is waiting; no space if there is nothing."""
        space, usage = None, dict[str, tuple[int, float]]()
        with suppress(KeyError):  # the loop of a thread may have taken the rest
            for _ in range(most):
                key, (space, hits, last) = self._waiting.popitem()
                usage[key] = hits, last
        return space, usage

    async def _take_in(self) -> None:
        """Add up what came for the same entries, a little at a time."""
        while self._incoming:
            space, usage = source = self._incoming[0]
            with suppress(KeyError):  # it is used up, by now perhaps by the loop of a thread
                for _ in range(_MANY):
                    key, (hits, last) = usage.popitem()
                    before = self._waiting.get(key)
                    if before is not None:
                        hits, last = hits + before[1], max(last, before[2])
                    self._waiting[key] = (space, hits, last)
            if usage:
                await asyncio.sleep(0)
            elif self._incoming and self._incoming[0] is source:
                self._incoming.popleft()
