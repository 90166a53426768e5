"""Access log: hits and last accesses of entries on their way to the store, in small batches.

Within a second thousands of entries may be read, and writing the statistics of an entry costs as
much as writing the entry. A thread that wrote them all at once would compete with the event loop
for the GIL. In the background the log therefore writes for at most a tenth of the time. The rest
is written when the cache is closed or the event loop ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf

from aiocache_pe.backends.base import Backend, Usage
from aiocache_pe.clock import Clock
from aiocache_pe.runtime.loops import PendingWork

_WRITE_CHUNK = 32  # entries of one write in the background
_MERGE_CHUNK = 256  # entries to merge at a time, which takes a tenth of a millisecond
_MAX_MERGED = 4096  # entries that wait for a write in the background; more are dropped
_PAUSE_FACTOR = 9.0  # pause after a write, as a multiple of its duration

Attempt = Callable[[str, Awaitable[None], None], Awaitable[None]]
"""`Namespace.attempt` of the namespace that the entries belong to."""


class AccessLog:
    """Access statistics that are not written yet; a store without `Usage` receives none."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._incoming: deque[tuple[Attempt, dict[str, tuple[int, float]]]] = deque()
        self._merged: dict[str, tuple[Attempt, int, float]] = {}
        self._writes = PendingWork()

    def add(self, attempt: Attempt, usage: dict[str, tuple[int, float]]) -> None:
        """Add hits and last accesses.

        Args:
            attempt: awaits an operation of the store and counts its failure.
            usage: hits and last access by store key; the log empties the dict.
        """
        if isinstance(self._backend, Usage):
            self._incoming.append((attempt, usage))

    def clear(self) -> None:
        """Drop everything that is not written yet."""
        self._incoming.clear()
        self._merged.clear()

    async def write(self, *, in_background: bool = False) -> None:
        """Write everything to the store, in the background in small batches with long pauses."""
        backend, monotonic = self._backend, self._clock.monotonic
        await self._merge_incoming(_MAX_MERGED if in_background else inf)
        while isinstance(backend, Usage):
            began = monotonic()
            attempt, usage = self._take(_WRITE_CHUNK if in_background else len(self._merged))
            if attempt is None:
                break
            with self._writes.track():
                await attempt("usage", backend.add_usage(usage), None)
            if in_background:
                await asyncio.sleep(_PAUSE_FACTOR * (monotonic() - began))
        if not self._merged:
            self._merged.clear()  # frees the memory of a dict that has become large

    async def wait_written(self) -> None:
        """Wait for the writes of other tasks in this event loop."""
        await self._writes.wait_done()

    def _take(self, count: int) -> tuple[Attempt | None, dict[str, tuple[int, float]]]:
        attempt, usage = None, dict[str, tuple[int, float]]()
        with suppress(KeyError):  # the event loop of another thread has taken the rest
            for _ in range(count):
                key, (attempt, hits, last_access) = self._merged.popitem()
                usage[key] = hits, last_access
        return attempt, usage

    async def _merge_incoming(self, max_merged: float = inf) -> None:
        """Sum up the statistics of equal entries, a chunk at a time."""
        while self._incoming:
            attempt, usage = first = self._incoming[0]
            with suppress(KeyError):  # empty, perhaps because of the event loop of another thread
                for _ in range(_MERGE_CHUNK):
                    key, (hits, last_access) = usage.popitem()
                    earlier = self._merged.get(key)
                    if earlier is None and len(self._merged) >= max_merged:
                        continue
                    if earlier is not None:
                        hits += earlier[1]
                        last_access = max(last_access, earlier[2])
                    self._merged[key] = (attempt, hits, last_access)
            if usage:
                await asyncio.sleep(0)
            elif self._incoming and self._incoming[0] is first:
                self._incoming.popleft()
