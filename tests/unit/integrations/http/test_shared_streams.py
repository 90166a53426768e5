"""Sharing streams at the moments that no client could be made to hit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aiocache_pe.integrations.http import shared_streams
from aiocache_pe.integrations.http.shared_streams import AsyncSharing, OpenedStream, PlainSharing
from tests.support.polling import poll, poll_blocking

Settled = Callable[[], None]


class Source:
    """An answer of two chunks, and whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def opened(self, settled: Settled) -> OpenedStream:
        def chunks() -> Generator[bytes, None, None]:
            try:
                yield b""
                yield b"one"
                yield b"two"
            finally:
                self.is_closed = True
                settled()

        begun = chunks()
        next(begun)
        return OpenedStream(200, [], begun)

    async def opened_later(self, settled: Settled) -> OpenedStream:
        async def chunks() -> AsyncGenerator[bytes, None]:
            try:
                yield b""
                yield b"one"
                yield b"two"
            finally:
                self.is_closed = True
                settled()

        begun = chunks()
        await anext(begun)
        return OpenedStream(200, [], begun)


def interrupted(*_: Any) -> Any:
    raise KeyboardInterrupt


async def test_an_answer_that_nobody_came_to_read_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_streams, "_GRACE", 0.0)
    source = Source()
    shared = shared_streams._AsyncShared(await source.opened_later(lambda: None), asyncio.Event())
    await poll(lambda: source.is_closed)
    assert shared.live.has_ended
    assert shared.place() is None


async def test_who_asks_while_it_is_being_stored_waits_for_that() -> None:
    sharing, source = AsyncSharing(), Source()
    first = await sharing.place("k", source.opened_later)
    assert first is not None
    reading = first.live.read(first.reader)
    assert await anext(reading) == b"one"
    first.live.has_ended = True  # closed, and its source is not yet
    late = asyncio.create_task(sharing.place("k", source.opened_later))
    await asyncio.sleep(0)
    assert not late.done()
    sharing._shared.get()["k"].settled.set()
    assert await late is None
    first.live.has_ended = False
    await reading.aclose()
    assert source.is_closed
    assert sharing._shared.get() == {}


def test_when_the_one_who_opens_it_is_interrupted_the_others_look_again() -> None:
    sharing = PlainSharing()
    begun, going_on = threading.Event(), threading.Event()

    def opens(settled: Settled) -> OpenedStream:
        begun.set()
        assert going_on.wait(60)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(sharing.place, "k", opens)
        assert begun.wait(60)
        second = pool.submit(sharing.place, "k", interrupted)
        poll_blocking(lambda: sharing._openings["k"].waiting)
        going_on.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(60)
        assert second.result(60) is None
    assert sharing._openings == {}


def test_a_place_that_was_kept_for_one_who_is_interrupted_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sharing, source = PlainSharing(), Source()

    def opens(settled: Settled) -> OpenedStream:
        opening = sharing._openings["k"]
        with monkeypatch.context() as patched:
            patched.setattr(opening.future, "result", interrupted)
            with pytest.raises(KeyboardInterrupt):  # before it is there
                sharing.place("k", interrupted)
        assert opening.waiting == 0
        opening.waiting = 1  # as if another thread waited
        return source.opened(settled)

    first = sharing.place("k", opens)
    assert first is not None
    opening = sharing._openings["k"]
    assert len(opening.places) == 1
    real, calls = opening.future.result, list[None]()

    def at_first(*_: Any) -> Any:
        calls.append(None)
        return interrupted() if len(calls) == 1 else real()

    monkeypatch.setattr(opening.future, "result", at_first)
    with pytest.raises(KeyboardInterrupt):  # when it is there
        sharing.place("k", interrupted)
    assert opening.places == []
    assert list(first.live.read(first.reader)) == [b"one", b"two"]
    assert source.is_closed
    assert sharing._openings == {}


def test_who_comes_when_all_have_closed_it_looks_again() -> None:
    sharing, source = PlainSharing(), Source()
    first = sharing.place("k", source.opened)
    assert first is not None
    first.live.quit(first.reader)
    assert source.is_closed
    again = sharing.place("k", Source().opened)
    assert again is not None
    assert not again.joined
