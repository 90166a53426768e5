"""Shared streams: expired seats, interrupted threads and streams that are being stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.engine.computation import Computation
from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.integrations.http import shared_streams
from aiocache_pe.integrations.http.shared_streams import (
    AsyncSharedStreams,
    OpenedStream,
    StreamSeat,
    SyncSharedStreams,
)
from aiocache_pe.runtime.waiting_threads import WaitingThreads
from tests.support.polling import poll, poll_blocking

OnClose = Callable[[], None]


class Source:
    """A response of two chunks that records whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def open(self, on_close: OnClose) -> OpenedStream:
        def iter_chunks() -> Generator[bytes, None, None]:
            try:
                yield b""
                yield b"one"
                yield b"two"
            finally:
                self.is_closed = True
                on_close()

        chunks = iter_chunks()
        next(chunks)
        return OpenedStream(200, [], chunks)

    async def open_async(self, on_close: OnClose) -> OpenedStream:
        async def iter_chunks() -> AsyncGenerator[bytes, None]:
            try:
                yield b""
                yield b"one"
                yield b"two"
            finally:
                self.is_closed = True
                on_close()

        chunks = iter_chunks()
        await anext(chunks)
        return OpenedStream(200, [], chunks)


def make_computation() -> Computation:
    return CacheManager("memory").loader.namespace.make_computation("k")


def interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


async def test_a_stream_that_its_opener_never_reads_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_streams, "_FIRST_READ_SECONDS", 0.0)
    source = Source()
    opened = await source.open_async(lambda: None)
    in_flight = shared_streams._AsyncInFlight(opened, asyncio.Event())
    await poll(lambda: source.is_closed)
    assert in_flight.stream.has_ended
    assert in_flight.join() is None


async def test_a_request_waits_while_the_stream_is_being_stored() -> None:
    streams, source = AsyncSharedStreams(), Source()
    first = await streams.open_or_join(make_computation(), source.open_async)
    assert first is not None
    reading = first.stream.read(first.reader)
    assert await anext(reading) == b"one"
    first.stream.has_ended = True  # as if it was closed, but its source was not
    late = asyncio.create_task(streams.open_or_join(make_computation(), source.open_async))
    await asyncio.sleep(0)
    assert not late.done()
    streams._in_flight.get()["k"].closed.set()
    assert await late is None
    first.stream.has_ended = False
    await reading.aclose()
    assert source.is_closed
    assert streams._in_flight.get() == {}


def test_waiting_threads_retry_when_the_opening_thread_is_interrupted() -> None:
    streams = SyncSharedStreams()
    started, may_continue = threading.Event(), threading.Event()

    def open_stream(on_close: OnClose) -> OpenedStream:
        started.set()
        assert may_continue.wait(60)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(streams.open_or_join, make_computation(), open_stream)
        assert started.wait(60)
        second = pool.submit(streams.open_or_join, make_computation(), interrupt)
        poll_blocking(lambda: streams._openings["k"].seats)
        may_continue.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(60)
        assert second.result(60) is None
    assert streams._openings == {}


def test_an_interrupted_thread_gives_up_its_reserved_seat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams, source = SyncSharedStreams(), Source()
    opened, may_continue = threading.Event(), threading.Event()

    def open_stream(on_close: OnClose) -> OpenedStream:
        opened.set()
        assert may_continue.wait(60)
        return source.open(on_close)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(streams.open_or_join, make_computation(), open_stream)
        assert opened.wait(60)
        with monkeypatch.context() as patched:
            patched.setattr(WaitingThreads, "wait_until", interrupt)
            with pytest.raises(KeyboardInterrupt):  # before the stream is open
                streams.open_or_join(make_computation(), interrupt)
        may_continue.set()
        seat = first.result(60)
    assert seat is not None

    def interrupt_late(seat: Any, stream: Any) -> None:
        take_seat(seat, stream)
        raise KeyboardInterrupt

    take_seat = shared_streams._take_seat
    monkeypatch.setattr(shared_streams, "_take_seat", interrupt_late)
    with pytest.raises(KeyboardInterrupt):  # after the stream is open
        streams.open_or_join(make_computation(), interrupt)
    assert list(seat.stream.read(seat.reader)) == [b"one", b"two"]
    assert source.is_closed
    assert streams._openings == {}


def test_a_thread_that_was_interrupted_before_it_opened_a_stream_holds_up_no_other() -> None:
    streams = SyncSharedStreams()
    lost = streams._openings["k"] = shared_streams._Opening(make_computation())
    assert not lost.presence.locked()
    assert streams.open_or_join(make_computation(), interrupt) is None
    seat = streams.open_or_join(make_computation(), Source().open)
    assert seat is not None
    assert not seat.joined


def test_a_signal_handler_sends_its_own_request_for_the_stream_that_it_interrupts() -> None:
    streams = SyncSharedStreams()

    def iter_chunks() -> Generator[bytes, None, None]:
        yield b""
        assert streams.open_or_join(make_computation(), interrupt) is None
        with pytest.raises(DeadlockError, match="signal handler"):
            next(seats[0].stream.read(seats[0].stream.join()))
        yield b"one"

    def open_stream(on_close: OnClose) -> OpenedStream:
        assert streams.open_or_join(make_computation(), interrupt) is None
        chunks = iter_chunks()
        next(chunks)
        return OpenedStream(200, [], chunks)

    seats = list[StreamSeat]()
    seat = streams.open_or_join(make_computation(), open_stream)
    assert seat is not None
    seats.append(seat)
    assert list(seat.stream.read(seat.reader)) == [b"one"]


def test_a_request_after_all_readers_have_closed_opens_a_new_stream() -> None:
    streams, source = SyncSharedStreams(), Source()
    first = streams.open_or_join(make_computation(), source.open)
    assert first is not None
    first.stream.quit(first.reader)
    assert source.is_closed
    second = streams.open_or_join(make_computation(), Source().open)
    assert second is not None
    assert not second.joined
