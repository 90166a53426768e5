"""Streams in flight that identical HTTP requests share.

The first request is sent. A request that arrives while its response is in flight reads the same
response from the first chunk on, at its own pace (`aiocache_pe.decorators.streams.fan_out`). The
connection is closed when the last reader closes its stream. A request that arrives while the
stream is being stored waits until it is stored.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_async import AsyncSharedStream
from aiocache_pe.decorators.streams.fan_out_sync import SyncSharedStream
from aiocache_pe.engine.computation import Computation
from aiocache_pe.loading.compute import SharedComputation
from aiocache_pe.observation import ObservedCall
from aiocache_pe.runtime.error_copies import copy_error
from aiocache_pe.runtime.fork import reset_after_fork
from aiocache_pe.runtime.interrupts import raise_interrupt
from aiocache_pe.runtime.loops import PerLoop
from aiocache_pe.runtime.single_flight import Flight, Flights
from aiocache_pe.runtime.waiting_threads import WaitingThreads

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
        call: the observed call of the request that opened the stream.
        shared: the computation of the entry; ``None`` for a failure.
    """

    status: int
    headers: list[tuple[str, str]]
    chunks: Any = None
    body: bytes = b""
    protocol: Mapping[str, str] = MappingProxyType({})
    account: bytes = b""
    call: ObservedCall | None = None
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
    """A stream that one thread opens, and seats for the threads that wait for it.

    Attributes:
        presence: the lock that the opening thread holds while it opens the stream.
        outcome: the response and the stream, which is ``None`` for a failure; ``None`` until then.
        error: the exception of the opening thread.
        seats: a dict for each waiting thread. Its value is the reader of the thread; the first one
            that is set counts.
        is_closed: whether the response is closed, and the stream is stored.
    """

    def __init__(self, computation: Computation) -> None:
        self.computation = computation
        self.owner = threading.get_ident()
        self.presence = threading.Lock()
        self.waiting = WaitingThreads()
        self.outcome: tuple[OpenedStream, SyncSharedStream[bytes] | None] | None = None
        self.error: Exception | None = None
        self.seats = deque[_Seat]()
        self.is_closed = False

    def has_left(self) -> bool:
        """Return whether the opening thread is done, or was interrupted."""
        return bool(self.outcome or self.error) or not self.presence.locked()

    def close(self) -> None:
        """Let the threads continue that wait until the stream is stored."""
        self.is_closed = True
        self.waiting.wake()


_Seat = dict[None, StreamReader | None]


class SyncSharedStreams:
    """The streams in flight that threads share.

    A signal handler may interrupt each thread at any instruction. No thread holds a lock that
    another one needs; see `aiocache_pe.decorators.streams.fan_out_sync`.
    """

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget the streams of the parent process, because its threads do not run here."""
        self._openings: dict[str, _Opening] = {}

    def get_present(self, key: str) -> Computation | None:
        """Return the computation of the stream that later requests join."""
        opening = self._openings.get(key)
        return None if opening is None else opening.computation

    def forget(self, computation: Computation) -> None:
        """Let no later request join the stream of a computation."""
        opening = self._openings.get(computation.key)
        if opening is not None and opening.computation is computation:
            self._openings.pop(computation.key, None)

    def open_or_join(
        self,
        computation: Computation,
        open_stream: Callable[[Callable[[], None]], OpenedStream],
    ) -> StreamSeat | None:
        """Return a seat, as `AsyncSharedStreams.open_or_join` does."""
        opening = _Opening(computation)
        with opening.presence:
            present = self._openings.setdefault(computation.key, opening)
            if present is opening:
                return self._open(opening, open_stream)
        if present.owner == opening.owner and present.presence.locked():
            return None  # a signal handler in the thread that opens the stream
        seat: _Seat = {}
        present.seats.append(seat)
        try:
            return self._join(present, seat)
        except BaseException:
            reader = seat.setdefault(None, None)
            stream = present.outcome and present.outcome[1]
            if reader is not None and stream is not None:
                stream.quit(reader)
            raise

    def _join(self, opening: _Opening, seat: _Seat) -> StreamSeat | None:
        opening.waiting.wait_until(opening.has_left)
        if opening.error is not None:
            raise copy_error(opening.error)
        if opening.outcome is None:  # the thread that opened it was interrupted
            self.forget(opening.computation)
            return None
        opened, stream = opening.outcome
        if stream is None:
            return StreamSeat(opened, joined=True)
        if stream.is_run_here:  # a signal handler in the thread that reads the stream
            reader = seat.setdefault(None, None)
            if reader is not None:
                stream.quit(reader)
            return None
        reader = _take_seat(seat, stream)
        if reader is not None:
            return StreamSeat(opened, joined=True, stream=stream, reader=reader)
        if stream.has_ended:
            opening.waiting.wait_until(lambda: opening.is_closed or stream.is_source_closed)
        return None

    def _open(
        self,
        opening: _Opening,
        open_stream: Callable[[Callable[[], None]], OpenedStream],
    ) -> StreamSeat:
        def on_close() -> None:
            self.forget(opening.computation)
            opening.close()

        try:
            opened = open_stream(on_close)
        except Exception as error:
            self.forget(opening.computation)
            raise_interrupt(error)
            opening.error = error
            opening.close()
            raise
        except BaseException:
            self.forget(opening.computation)
            raise
        if opened.chunks is None:
            opening.outcome = opened, None
            on_close()
            return StreamSeat(opened, joined=False)
        source: Generator[bytes, None, None] = opened.chunks
        stream = SyncSharedStream[bytes](source)
        # The threads that wake first may read the stream to its end before the others wake.
        for seat in list(opening.seats):
            _take_seat(seat, stream)
        opening.outcome = opened, stream
        opening.waiting.wake()
        return StreamSeat(opened, joined=False, stream=stream, reader=stream.first)


def _take_seat(seat: _Seat, stream: SyncSharedStream[bytes]) -> StreamReader | None:
    """Return the reader of a seat, a new one unless it has one."""
    reader = stream.join()
    taken = seat.setdefault(None, reader)
    if reader is not None and taken is not reader:
        stream.quit(reader)
    return taken
