"""Streams of answers under way, which identical requests share instead of being sent.

Whoever asks first has the request sent; who asks meanwhile gets the same answer from its
first chunk on, at a pace of his own (`decorators.live`). When the last of them has closed it,
so is the connection; who asks while it is being stored waits for that.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import CancelledError, Future
from typing import Any, NamedTuple

from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_async import AsyncSharedStream
from aiocache_pe.decorators.streams.fan_out_sync import PlainLive
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.runtime.single_flight import Flights

_GRACE = 1.0  # seconds in which whoever had an answer opened has to begin to read it


class OpenedStream(NamedTuple):
    """An answer that has begun.

    Attributes:
        status: its status.
        headers: its headers.
        chunks: its generator, begun already, so that closing it closes the connection;
            ``None`` for a failure, which is none to share.
        body: of a failure.
    """

    status: int
    headers: list[tuple[str, str]]
    chunks: Any = None
    body: bytes = b""


class StreamSeat(NamedTuple):
    """Somebody's place in a stream, or the failure that there is instead.

    Attributes:
        opened: the answer.
        joined: whether another had it opened.
        live: the stream, an `AsyncSharedStream` or a `PlainLive`.
        reader: the place in it.
    """

    opened: OpenedStream
    joined: bool
    live: Any = None
    reader: StreamReader | None = None


class _AsyncShared:
    """A stream, and the place that is kept for the one who had it opened."""

    def __init__(self, opened: OpenedStream, settled: asyncio.Event) -> None:
        source: AsyncGenerator[bytes, None] = opened.chunks
        self.opened = opened
        self.live = AsyncSharedStream[bytes](lambda _: source, lambda _: None)
        self.settled = settled
        self._first: StreamReader | None = self.live.first
        # Who had it opened may be cancelled in the moment in which it is.
        self._alarm = asyncio.get_running_loop().call_later(_GRACE, self._let_go)
        self._closing: asyncio.Task[None] | None = None

    def place(self) -> StreamReader | None:
        first, self._first = self._first, None
        self._alarm.cancel()
        return self.live.join() if first is None else first

    def _let_go(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            self._closing = asyncio.ensure_future(self.live.quit(first))


class AsyncSharing:
    """The streams that tasks share, kept apart by event loop."""

    def __init__(self) -> None:
        self._flights = Flights()
        self._shared: PerLoop[dict[str, _AsyncShared]] = PerLoop(dict)

    async def place(
        self, key: str, open_it: Callable[[Callable[[], None]], Awaitable[OpenedStream]]
    ) -> StreamSeat | None:
        """A place in the stream of a key; ``None`` if there is one that cannot be joined.

        Args:
            key: what tells requests apart.
            open_it: sends the request; given what to call when the answer is closed.

        Raises:
            Whatever that raised.
        """
        shared_now = self._shared.get()

        async def work(max_wait: float | None) -> OpenedStream | _AsyncShared:
            settled = asyncio.Event()

            def settle() -> None:
                settled.set()
                shared_now.pop(key, None)

            opened = await open_it(settle)
            if opened.chunks is None:
                return opened
            shared = shared_now[key] = _AsyncShared(opened, settled)
            return shared

        found, joined = shared_now.get(key), True
        if found is None:
            opened, joined = await self._flights.run(key, work)
            if not isinstance(opened, _AsyncShared):
                return StreamSeat(opened, joined)
            found = opened
        reader = found.place()
        if reader is not None:
            return StreamSeat(found.opened, joined, found.live, reader)
        if found.live.has_ended:
            await found.settled.wait()
        return None


class _Opening:
    """A stream that a thread opens, and places for those who wait for that."""

    def __init__(self) -> None:
        self.waiting = 0
        self.future: Future[tuple[OpenedStream, PlainLive[bytes] | None]] = Future()
        self.places: list[StreamReader | None] = []
        self.settled = threading.Event()


class PlainSharing:
    """The same for threads."""

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Join no stream of the parent's: its threads are not in this process."""
        self._lock = threading.Lock()
        self._openings: dict[str, _Opening] = {}

    def place(
        self, key: str, open_it: Callable[[Callable[[], None]], OpenedStream]
    ) -> StreamSeat | None:
        """See `AsyncSharing.place`."""
        with self._lock:
            opening = self._openings.get(key)
            is_mine = opening is None
            if opening is None:
                opening = self._openings[key] = _Opening()
            else:
                opening.waiting += 1
        if is_mine:
            return self._opened(key, opening, open_it)
        try:
            opened, live = opening.future.result()
        except CancelledError:  # who was opening it was interrupted
            return None
        except BaseException as error:
            if not isinstance(error, Exception):
                self._give_up(opening)
            raise
        if live is None:
            return StreamSeat(opened, joined=True)
        with self._lock:
            reader = opening.places.pop() if opening.places else live.join()
        if reader is not None:
            return StreamSeat(opened, True, live, reader)  # noqa: FBT003 - as the tuple is written
        if live.has_ended:
            opening.settled.wait()
        return None

    def _give_up(self, opening: _Opening) -> None:
        """Wait no longer, nor hold the place that was kept: this thread was interrupted."""
        with self._lock:
            if not opening.future.done():
                opening.waiting -= 1
                return
            reader = opening.places.pop() if opening.places else None
        if reader is not None:
            _, live = opening.future.result()
            if live is not None:
                live.quit(reader)

    def _opened(
        self, key: str, opening: _Opening, open_it: Callable[[Callable[[], None]], OpenedStream]
    ) -> StreamSeat:
        def settle() -> None:
            opening.settled.set()
            with self._lock:
                if self._openings.get(key) is opening:
                    del self._openings[key]

        try:
            opened = open_it(settle)
        except BaseException as error:
            settle()
            if isinstance(error, Exception):
                opening.future.set_exception(error)
            else:
                opening.future.cancel()
            raise
        if opened.chunks is None:
            settle()
            opening.future.set_result((opened, None))
            return StreamSeat(opened, joined=False)
        source: Generator[bytes, None, None] = opened.chunks
        live = PlainLive[bytes](lambda _: source, lambda _: None)
        with self._lock:
            # Nobody who waits now is to find that it was read to its end by those who woke first.
            opening.places = [live.join() for _ in range(opening.waiting)]
            opening.future.set_result((opened, live))
        return StreamSeat(opened, False, live, live.first)  # noqa: FBT003 - as the tuple is written
