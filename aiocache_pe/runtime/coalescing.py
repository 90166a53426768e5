"""Coalescing of batches: a batch waits for the keys already in flight and fetches the rest.

The work of a batch is split into chunks. Each chunk is a `Flight` that its keys share. A
batch that is cancelled therefore does not affect other batches, and the work of a chunk is
cancelled only when no caller waits for any of its keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiocache_pe.runtime import wait_graph
from aiocache_pe.runtime.loops import PerLoop, get_loop
from aiocache_pe.runtime.single_flight import WAIT_TIMEOUT, Flight
from aiocache_pe.runtime.wait_graph import WaitNode

Work = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""A function that fetches a value for each of some keys."""


class Fetched(NamedTuple):
    """The result of `Coalescer.run`.

    Attributes:
        values: the values by key.
        shared: the keys that another caller's work fetched.
    """

    values: dict[str, Any]
    shared: set[str]


class _Chunk(Flight):
    """Work in flight for some keys of a batch.

    Attributes:
        keys: the keys.
        owner: the object that the batch gave to `Coalescer.run`.
    """

    __slots__ = ("keys", "owner")

    def __init__(self, keys: Sequence[str], node: WaitNode, owner: Any) -> None:
        super().__init__(node)
        self.keys = keys
        self.owner = owner


class _InFlight:
    """The chunks in flight in one loop.

    Attributes:
        chunks: the chunk of each key in flight.
        watchers: the dicts of `Coalescer.watch`, which receive the values as they arrive.
    """

    def __init__(self) -> None:
        self.chunks: dict[str, _Chunk] = {}
        self.watchers: list[dict[str, Any]] = []

    def start(
        self,
        keys: Sequence[str],
        work: Work,
        size: int | None,
        owner: Any,
    ) -> list[_Chunk]:
        """Start work on keys, ``size`` keys a chunk.

        All chunks are one computation. Code inside one chunk that needs a key of another one
        must not wait for that chunk, which may be waiting for its own start.
        """
        step, node = size or len(keys) or 1, WaitNode(get_loop())
        slices = [keys[at : at + step] for at in range(0, len(keys), step)]
        return [self._start_chunk(_Chunk(each, node, owner), work) for each in slices]

    def remove(self, chunk: _Chunk, keys: Iterable[str]) -> None:
        """Let no further caller join the chunk for these keys."""
        for key in keys:
            if self.chunks.get(key) is chunk:
                del self.chunks[key]

    def _start_chunk(self, chunk: _Chunk, work: Work) -> _Chunk:
        self.chunks.update(dict.fromkeys(chunk.keys, chunk))
        chunk.start(lambda: work(chunk.keys), lambda: self._finish(chunk))
        return chunk

    def _finish(self, chunk: _Chunk) -> None:
        self.remove(chunk, chunk.keys)
        if self.watchers and not chunk.task.cancelled() and chunk.task.exception() is None:
            for watcher in self.watchers:
                watcher.update(chunk.task.result())


class Coalescer:
    """Work on many keys, each in flight at most once in an event loop.

    Example:
        >>> async def lengths(words):
        ...     print("fetching", *words)
        ...     return {word: len(word) for word in words}
        >>> async def main():
        ...     coalescer = Coalescer()
        ...     both = await asyncio.gather(
        ...         coalescer.run(["one", "two"], lengths),
        ...         coalescer.run(["two", "three"], lengths),
        ...     )
        ...     return [fetched.values for fetched in both]
        >>> run(main())
        fetching one two
        fetching three
        [{'one': 3, 'two': 3}, {'two': 3, 'three': 5}]
    """

    def __init__(self) -> None:
        self._in_flight: PerLoop[_InFlight] = PerLoop(_InFlight)

    @contextmanager
    def watch(self) -> Generator[Mapping[str, Any]]:
        """Collect the values of all work that ends during the block, by key.

        A caller that looks for entries, finds none and then calls `run` would otherwise
        fetch again the values that arrived in between.
        """
        watchers = self._in_flight.get().watchers
        arrived: dict[str, Any] = {}
        watchers.append(arrived)
        try:
            yield arrived
        finally:
            watchers[:] = [each for each in watchers if each is not arrived]

    async def run(
        self,
        keys: Sequence[str],
        work: Work,
        size: int | None = None,
        owner: Any = None,
        may_join: Callable[[Any, str], bool] = lambda owner, key: True,
    ) -> Fetched:
        """Fetch a value for each key, and wait for those that are in flight already.

        Work of another caller that was cancelled, or that takes longer than `WAIT_TIMEOUT`,
        is done again.

        Args:
            keys: the keys, without duplicates.
            work: called in a task with the context variables of its first caller.
            size: maximum number of keys in one call of ``work``; ``None`` for no limit.
            owner: any object, for the ``may_join`` of later callers.
            may_join: returns whether this caller may wait for a key in flight, given the key and
                the ``owner`` of the work.

        Raises:
            Exception: an exception of the work on one of these keys.
        """
        in_flight, left = self._in_flight.get(), list(keys)
        fetched = Fetched({}, set())
        while left:
            joined, started = _join_or_start(in_flight, left, (work, size, owner), may_join)
            shares = joined | {chunk: chunk.keys for chunk in started}
            waiters = {
                chunk: chunk.join(WAIT_TIMEOUT if chunk in joined else None) for chunk in shares
            }
            with wait_graph.wait_for({chunk.node for chunk in waiters}):
                await _wait_for_all(in_flight, waiters)

            left = []
            for chunk, waiter in waiters.items():
                if not waiter.cancelled():
                    result = waiter.result()
                    fetched.values.update((key, result[key]) for key in shares[chunk])
                    fetched.shared.update(joined.get(chunk, ()))
                elif chunk not in joined:
                    raise asyncio.CancelledError
                else:
                    in_flight.remove(chunk, shares[chunk])
                    left += shares[chunk]
        return fetched


def _join_or_start(
    in_flight: _InFlight,
    keys: Sequence[str],
    start: tuple[Work, int | None, Any],
    may_join: Callable[[Any, str], bool],
) -> tuple[dict[_Chunk, list[str]], list[_Chunk]]:
    """Return other callers' chunks, each with the keys to take from it, and new chunks."""
    joined: dict[_Chunk, list[str]] = {}
    free, reentrant = list[str](), list[str]()
    for key in keys:
        chunk = in_flight.chunks.get(key)
        if chunk is not None and chunk.is_reentrant:
            reentrant.append(key)
        elif chunk is not None and may_join(chunk.owner, key):
            joined.setdefault(chunk, []).append(key)
        else:
            free.append(key)
    # Work that needs one of its own keys, directly or not, must not wait for itself. Its new
    # chunks are not registered, so no other caller joins them.
    started = in_flight.start(free, *start) + _InFlight().start(reentrant, *start)
    return joined, started


async def _wait_for_all(
    in_flight: _InFlight, waiters: Mapping[_Chunk, asyncio.Future[Any]]
) -> None:
    """Wait until all chunks are done or one failed; cancel those that lose their last waiter."""
    try:
        done, _ = await asyncio.wait(waiters.values(), return_when=asyncio.FIRST_EXCEPTION)
        for waiter in done:
            if not waiter.cancelled():
                waiter.result()
    finally:
        for chunk, waiter in waiters.items():
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # or asyncio logs that the exception was never retrieved
            if chunk.leave(waiter):
                in_flight.remove(chunk, chunk.keys)
                chunk.task.cancel()
