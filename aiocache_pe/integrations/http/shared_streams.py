"""Streams in flight that identical HTTP requests share.

The first request is sent. A request that arrives while its response is in flight reads the same
response from the first chunk on, at its own pace (`aiocache_pe.decorators.streams.fan_out`). The
connection is closed when the last reader closes its stream. A request that arrives while the
stream is being stored waits until it is stored.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from concurrent.futures import CancelledError, Future
from types import MappingProxyType
from typing import Any, NamedTuple

from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_async import AsyncSharedStream
from aiocache_pe.decorators.streams.fan_out_sync import SyncSharedStream
from aiocache_pe.engine.engine import Computation
from aiocache_pe.loading.compute import SharedComputation
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.runtime.single_flight import Flight, Flights

_FIRST_READ_SECONDS = 1.0
"""Time for the request that opened a stream to start to read it."""


class OpenedStream(NamedTuple):
    """A response that has arrived up to its headers.

    Attributes:
        chunks: the started generator of its chunks; closing it closes the connection. ``None``
            for a failure, which is not shared.
        body: the body of a failure.
        protocol: see `aiocache_pe.integrations.http.responses.read_protocol`.
        account: the digest of the credentials that the failure concerns.
        shared: the computation of the entry; ``None`` for a failure.
    """

    status: int
    headers: list[tuple[str, str]]
    chunks: Any = None
    body: bytes = b""
    protocol: Mapping[str, str] = MappingProxyType({})
    account: bytes = b""
    shared: SharedComputation | None = None


class StreamSeat(NamedTuple):
    """The place of one request in a stream, or the failure in place of the stream.

    Attributes:
        joined: whether another request opened it.
        stream: an `AsyncSharedStream` or a `SyncSharedStream`; ``None`` for a failure.
    """

    opened: OpenedStream
    joined: bool
    stream: Any = None
    reader: StreamReader | None = None


class _AsyncInFlight:
    """A stream in flight, and the seat that is reserved for the task that opened it."""

    def __init__(self, opened: OpenedStream, closed: asyncio.Event) -> None:
        source: AsyncGenerator[bytes, None] = opened.chunks
        self.opened = opened
        self.closed = closed
        self.stream = AsyncSharedStream[bytes](lambda _: source, lambda _: None)
        self._reserved: StreamReader | None = self.stream.first
        # The task that opened the stream may be cancelled before it takes its seat.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_FIRST_READ_SECONDS, self._release_reserved)
        self._quitting: asyncio.Task[None] | None = None

    def join(self) -> StreamReader | None:
        """Return a reader, at first the reserved one; ``None`` if the stream has ended."""
        reader, self._reserved = self._reserved, None
        self._timer.cancel()
        return self.stream.join() if reader is None else reader

    def _release_reserved(self) -> None:
        reader, self._reserved = self._reserved, None
        if reader is not None:
            self._quitting = asyncio.ensure_future(self.stream.quit(reader))


class AsyncSharedStreams:
    """The streams in flight that tasks share, separate for each event loop."""

    def __init__(self) -> None:
        self._flights = Flights()
        self._in_flight: PerLoop[dict[str, _AsyncInFlight]] = PerLoop(dict)
        self._present: PerLoop[dict[str, Computation]] = PerLoop(dict)

    def get_present(self, key: str) -> Computation | None:
        """Return the computation of the stream that later requests join."""
        return self._present.get().get(key)

    def forget(self, computation: Computation) -> None:
        """Let no later request join the stream of a computation."""
        present, key = self._present.get(), computation.key
        if present.get(key) is computation:
            del present[key]
            self._in_flight.get().pop(key, None)

    async def open_or_join(
        self,
        computation: Computation,
        open_stream: Callable[[Callable[[], None]], Awaitable[OpenedStream]],
    ) -> StreamSeat | None:
        """Return a seat in the stream of a key; ``None`` if it is in flight and cannot be joined.

        ``open_stream`` sends the request; it takes a function to call when the response is closed.
        The computation is that of the entry if this request is sent.
        """
        key, in_flight, present = computation.key, self._in_flight.get(), self._present.get()

        async def work(flight: Flight, max_wait: float | None) -> OpenedStream | _AsyncInFlight:
            present[key] = computation
            flight.is_outdated = lambda: present.get(key) is not computation
            closed = asyncio.Event()

            def on_close() -> None:
                closed.set()
                self.forget(computation)

            try:
                opened = await open_stream(on_close)
            except BaseException:
                self.forget(computation)
                raise
            if opened.chunks is None:
                self.forget(computation)
                return opened
            entry = _AsyncInFlight(opened, closed)
            if not flight.is_outdated():
                in_flight[key] = entry
            return entry

        entry, joined = in_flight.get(key), True
        if entry is None:
            result, joined = await self._flights.run(key, work)
            if not isinstance(result, _AsyncInFlight):
                return StreamSeat(result, joined)
            entry = result
        reader = entry.join()
        if reader is not None:
            return StreamSeat(entry.opened, joined, entry.stream, reader)
        if entry.stream.has_ended:
            await entry.closed.wait()
        return None


class _Opening:
    """A stream that one thread opens, and seats for the threads that wait for it."""

    def __init__(self, computation: Computation) -> None:
        self.computation = computation
        self.waiting = 0
        self.future: Future[tuple[OpenedStream, SyncSharedStream[bytes] | None]] = Future()
        self.reserved: list[StreamReader | None] = []
        self.closed = threading.Event()


class SyncSharedStreams:
    """The streams in flight that threads share."""

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget the streams of the parent process, because its threads do not run here."""
        self._lock = threading.Lock()
        self._openings: dict[str, _Opening] = {}

    def get_present(self, key: str) -> Computation | None:
        """Return the computation of the stream that later requests join."""
        opening = self._openings.get(key)
        return None if opening is None else opening.computation

    def forget(self, computation: Computation) -> None:
        """Let no later request join the stream of a computation."""
        with self._lock:
            opening = self._openings.get(computation.key)
            if opening is not None and opening.computation is computation:
                del self._openings[computation.key]

    def open_or_join(
        self,
        computation: Computation,
        open_stream: Callable[[Callable[[], None]], OpenedStream],
    ) -> StreamSeat | None:
        """Return a seat, as `AsyncSharedStreams.open_or_join` does."""
        key = computation.key
        with self._lock:
            opening = self._openings.get(key)
            is_first = opening is None
            if opening is None:
                opening = self._openings[key] = _Opening(computation)
            else:
                opening.waiting += 1
        if is_first:
            return self._open(opening, open_stream)

        try:
            opened, stream = opening.future.result()
        except CancelledError:  # the thread that opened it was interrupted
            return None
        except BaseException as error:
            if not isinstance(error, Exception):
                self._stop_waiting(opening)
            raise
        if stream is None:
            return StreamSeat(opened, joined=True)
        with self._lock:
            reader = opening.reserved.pop() if opening.reserved else stream.join()
        if reader is not None:
            return StreamSeat(opened, joined=True, stream=stream, reader=reader)
        if stream.has_ended:
            opening.closed.wait()
        return None

    def _stop_waiting(self, opening: _Opening) -> None:
        """Give up the seat of this thread, which was interrupted."""
        with self._lock:
            if not opening.future.done():
                opening.waiting -= 1
                return
            reader = opening.reserved.pop() if opening.reserved else None
        if reader is not None:
            _, stream = opening.future.result()
            if stream is not None:
                stream.quit(reader)

    def _open(
        self,
        opening: _Opening,
        open_stream: Callable[[Callable[[], None]], OpenedStream],
    ) -> StreamSeat:
        def on_close() -> None:
            opening.closed.set()
            self.forget(opening.computation)

        try:
            opened = open_stream(on_close)
        except BaseException as error:
            on_close()
            if isinstance(error, Exception):
                opening.future.set_exception(error)
            else:
                opening.future.cancel()
            raise
        if opened.chunks is None:
            on_close()
            opening.future.set_result((opened, None))
            return StreamSeat(opened, joined=False)
        source: Generator[bytes, None, None] = opened.chunks
        stream = SyncSharedStream[bytes](source)
        with self._lock:
            # The threads that wake first may read the stream to its end before the others wake.
            opening.reserved = [stream.join() for _ in range(opening.waiting)]
            opening.future.set_result((opened, stream))
        return StreamSeat(opened, joined=False, stream=stream, reader=stream.first)
