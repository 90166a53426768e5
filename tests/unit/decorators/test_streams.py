"""Streams: passed on as they come, stored when they came to their end, replayed as they were."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, cached, events
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.decorators import recording
from aiocache_pe.exceptions import BackendError
from aiocache_pe.testing.clock import FakeClock
from aiocache_pe.testing.recorder import Recorder

ASYNC, PLAIN = "async", "plain"
both = pytest.mark.parametrize("kind", [ASYNC, PLAIN])
Source = Callable[[], Iterator[Any]]


def made(kind: str, source: Source) -> Any:
    """A stream of the chunks that a plain generator gives."""
    if kind == PLAIN:

        def stream(a: Any = None) -> Iterator[Any]:
            return (yield from source())  # and returns what the source returns

        return stream

    async def async_stream(a: Any = None) -> AsyncIterator[Any]:
        chunks = source()
        try:
            for chunk in chunks:
                yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]

    return async_stream


async def read(stream: Any) -> list[Any]:
    if hasattr(stream, "__anext__"):
        return [chunk async for chunk in stream]
    return list(stream)


async def first(stream: Any) -> Any:
    return await anext(stream) if hasattr(stream, "__anext__") else next(stream)


async def close(stream: Any) -> None:
    await (stream.aclose() if hasattr(stream, "aclose") else asyncio.to_thread(stream.close))


async def entries(cache: CacheManager) -> int:
    return (await cache.get_stats()).total_entries


class Upstream:
    """A source of chunks that notes how often it began and ended, and may fail on the way."""

    def __init__(self, *chunks: Any, fails: Exception | None = None) -> None:
        self.chunks = chunks
        self.fails = fails
        self.begun = self.ended = self.given = 0

    def source(self) -> Iterator[Any]:
        self.begun += 1
        try:
            for chunk in self.chunks:
                self.given += 1
                yield chunk
            if self.fails is not None:
                raise self.fails
        finally:
            self.ended += 1


CHUNKS: list[list[Any]] = [
    [],
    [""],
    ["", "a", "", b"", None, 0, [], {}, "b", ""],
    [("a", 1), {1: {2}}, float("inf"), {"n": (None,)}],
    [{"chunks": []}, {"returned": 1}],
]


@both
@pytest.mark.parametrize("chunks", CHUNKS)
async def test_a_stream_is_replayed_as_it_was(
    kind: str, chunks: list[Any], cache: CacheManager
) -> None:
    upstream = Upstream(*chunks)
    stream = cached(cache=cache)(made(kind, upstream.source))
    for _ in range(3):
        found = await read(stream())
        assert found == chunks
        assert list(map(type, found)) == list(map(type, chunks))
    assert (upstream.begun, upstream.ended) == (1, 1)


@both
async def test_each_chunk_is_passed_on_before_the_next_is_asked_for(
    kind: str, memory: CacheManager
) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=memory)(made(kind, upstream.source))()
    for number in (1, 2, 3):
        assert await first(stream) == "abc"[number - 1]
        assert upstream.given == number
    await close(stream)


@both
async def test_a_stream_begins_when_it_is_read(kind: str, memory: CacheManager) -> None:
    upstream = Upstream("a")
    stream = cached(cache=memory)(made(kind, upstream.source))
    await close(stream())
    assert (upstream.begun, stream.cache_info()) == (0, (0, 0))


@both
@pytest.mark.parametrize("taken", [1, 2, 3])
async def test_who_stops_early_ends_the_source_and_stores_nothing(
    kind: str, taken: int, cache: CacheManager
) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=cache)(made(kind, upstream.source))
    reader = stream()
    for _ in range(taken):
        await first(reader)
    await close(reader)
    assert (upstream.given, upstream.ended) == (taken, 1)
    assert await entries(cache) == 0
    assert await read(stream()) == ["a", "b", "c"]
    assert upstream.begun == 2


@both
async def test_who_stops_a_replay_early_harms_nobody(kind: str, memory: CacheManager) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=memory)(made(kind, upstream.source))
    await read(stream())
    replay = stream()
    assert await first(replay) == "a"
    await close(replay)
    assert await read(stream()) == ["a", "b", "c"]
    assert upstream.begun == 1


@both
async def test_what_the_source_raises_reaches_the_reader_and_nothing_is_stored(
    kind: str, cache: CacheManager
) -> None:
    failures = list[events.LoadFailed]()
    cache.subscribe(events.LoadFailed, failures.append)
    upstream = Upstream("a", fails=ConnectionError("cut off"))
    stream = cached(cache=cache)(made(kind, upstream.source))
    for _ in range(2):
        reader = stream()
        assert await first(reader) == "a"
        with pytest.raises(ConnectionError, match="cut off"):
            await first(reader)
    assert upstream.ended == 2
    assert await entries(cache) == 0
    assert [type(event.error) for event in failures] == [ConnectionError] * 2
    upstream.fails = None
    assert [await read(stream()), await read(stream())] == [["a"], ["a"]]
    assert upstream.begun == 3


async def test_a_cancelled_reader_ends_the_source(memory: CacheManager) -> None:
    waiting, ended = asyncio.Event(), asyncio.Event()

    @cached(cache=memory)
    async def stream() -> AsyncIterator[str]:
        try:
            yield "a"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.ensure_future(read(stream()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert await entries(memory) == 0


@both
async def test_nothing_can_be_sent_into_a_cached_stream(kind: str, memory: CacheManager) -> None:
    upstream = Upstream("a", "b")
    stream = cached(cache=memory)(made(kind, upstream.source))
    for _ in range(2):  # while it is recorded, then while it is replayed
        reader = stream()
        await first(reader)
        with pytest.raises(TypeError, match="nothing can be sent into a cached stream"):
            await send(reader, "hello")
        await read(stream())
    assert upstream.begun == upstream.ended == 2


async def send(stream: Any, value: Any) -> Any:
    return await stream.asend(value) if hasattr(stream, "asend") else stream.send(value)


@both
async def test_a_bypassed_stream_can_be_talked_to(kind: str, memory: CacheManager) -> None:
    def echo() -> Generator[Any, Any, None]:
        heard = yield "ready"
        yield heard

    async def async_echo() -> AsyncGenerator[Any, Any]:
        heard = yield "ready"
        yield heard

    with bypass():
        if kind == PLAIN:
            plain: Any = cached(cache=memory)(echo)()
            assert [next(plain), plain.send("hello")] == ["ready", "hello"]
        else:
            stream: Any = cached(cache=memory)(async_echo)()
            assert [await anext(stream), await stream.asend("hello")] == ["ready", "hello"]


@both
async def test_what_a_reader_throws_in_ends_the_stream(kind: str, memory: CacheManager) -> None:
    upstream = Upstream("a", "b")
    stream = cached(cache=memory)(made(kind, upstream.source))
    reader = stream()
    await first(reader)
    with pytest.raises(KeyError):
        await (reader.athrow(KeyError()) if kind == ASYNC else asyncio.to_thread(throw, reader))
    assert upstream.ended == 1
    assert await entries(memory) == 0


def throw(stream: Any) -> None:
    stream.throw(KeyError())


@both
async def test_a_chunk_that_a_reader_changes_is_stored_as_it_came(
    kind: str, cache: CacheManager
) -> None:
    stream = cached(cache=cache)(made(kind, lambda: iter_of([1], {"a": [2]})))
    for _ in range(3):
        found = await read(stream())
        assert found == [[1], {"a": [2]}]
        found[0].append("spoiled")
        found[1]["a"].clear()
        found.clear()


@both
async def test_a_chunk_that_the_source_uses_again_is_stored_as_it_was_given(
    kind: str, cache: CacheManager
) -> None:
    def growing() -> Iterator[list[int]]:
        shared = list[int]()
        for number in range(3):
            shared.append(number)
            yield shared

    stream = cached(cache=cache)(made(kind, growing))
    seen = [list(chunk) async for chunk in stream()] if kind == ASYNC else list(map(list, stream()))
    assert await read(stream()) == seen == [[0], [0, 1], [0, 1, 2]]


def iter_of(*chunks: Any) -> Iterator[Any]:
    yield from chunks


class Uncopied:
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("one of a kind")


@both
@pytest.mark.parametrize("odd", [Uncopied(), threading.Lock()], ids=["uncopied", "lock"])
async def test_a_chunk_that_cannot_be_kept_is_passed_on_and_counted(
    kind: str, odd: Any, cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream("a", odd, "b")
    stream = cached(cache=cache)(made(kind, upstream.source))
    with caplog.at_level(logging.WARNING, "aiocache_pe"):
        for _ in range(2):
            assert await read(stream()) == ["a", odd, "b"]
    stats = await cache.get_stats()
    assert (stats.errors, stats.sets, stats.total_entries) == (2, 0, 0)
    assert len(caplog.records) == 1
    assert stream.cache_info() == (0, 2)


class Copied:
    """Can be copied, but only pickle could hold it, and pickle refuses."""

    def __deepcopy__(self, memo: Any) -> Copied:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("not for storing")


@both
async def test_a_chunk_that_can_be_copied_and_not_stored_is_counted_too(
    kind: str, cache: CacheManager
) -> None:
    odd = Copied()
    stream = cached(cache=cache)(made(kind, lambda: iter_of("a", odd)))
    for _ in range(2):
        assert await read(stream()) == ["a", odd]
    stats = await cache.get_stats()
    assert (stats.errors, stats.total_entries) == (2, 0)


@both
async def test_a_stream_without_end_does_not_fill_the_memory(
    kind: str, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_MOST", 10)
    for length, stored in [(10, 1), (11, 1)]:
        stream = cached(cache=memory, version=length)(made(kind, partial(iter_of, *range(length))))
        assert await read(stream()) == list(range(length))
        assert await entries(memory) == stored


@both
async def test_a_store_that_fails_costs_a_call_and_nothing_else(kind: str) -> None:
    recorder = Recorder(MemoryBackend())
    recorder.failing = BackendError("away")
    upstream = Upstream("a", "b")
    async with CacheManager(recorder) as cache:
        stream = cached(cache=cache, tags=["t"])(made(kind, upstream.source))
        for _ in range(2):
            assert await read(stream()) == ["a", "b"]
        assert upstream.begun == 2
        recorder.failing = None
        for _ in range(2):
            assert await read(stream()) == ["a", "b"]
        assert upstream.begun == 3


@both
async def test_two_replays_at_once_have_each_their_own_place(
    kind: str, cache: CacheManager
) -> None:
    stream = cached(cache=cache)(made(kind, lambda: iter_of([0], [1], [2])))
    await read(stream())
    one, two = stream(), stream()
    assert [await first(one), await first(one), await first(two)] == [[0], [1], [0]]
    assert [await read(one), await read(two)] == [[[2]], [[1], [2]]]
    assert stream.cache_info() == (2, 1)


@both
async def test_a_replay_goes_on_when_its_entry_is_gone(kind: str, memory: CacheManager) -> None:
    stream = cached(cache=memory)(made(kind, lambda: iter_of("a", "b")))
    await read(stream())
    replay = stream()
    assert await first(replay) == "a"
    await memory.clear()
    assert await read(replay) == ["b"]


@both
async def test_another_manager_replays_from_the_files(
    kind: str, cache_dir: Path, clock: FakeClock
) -> None:
    upstream = Upstream("", {"n": (1,)}, b"\xff")
    for _ in range(2):
        async with CacheManager(directory=cache_dir, clock=clock) as cache:
            stream = cached(cache=cache)(made(kind, upstream.source))
            assert await read(stream()) == ["", {"n": (1,)}, b"\xff"]
    assert upstream.begun == 1


@both
async def test_what_else_is_under_its_key_is_no_stream(kind: str, memory: CacheManager) -> None:
    stream = cached(cache=memory)(made(kind, lambda: iter_of("a")))
    for value in [None, [1], {"chunks": "abc"}, {"other": 1}, "text"]:
        await memory.set(stream.cache_key(), value)
        assert await read(stream()) == ["a"]


@both
async def test_seconds_saved_are_those_of_the_source_not_of_the_reader(
    kind: str, memory: CacheManager, clock: FakeClock
) -> None:
    def slow() -> Iterator[str]:
        for chunk in "ab":
            clock.advance(2)
            yield chunk
        clock.advance(1)

    reader = cached(cache=memory)(made(kind, slow))
    passing = reader()
    for _ in range(2):
        await first(passing)
        clock.advance(100)
    assert await read(passing) == []
    await read(reader())
    assert (await memory.get_stats()).seconds_saved == 5


@pytest.mark.parametrize("returned", [None, 0, "end", [1], {"chunks": []}])
async def test_what_a_plain_generator_returns_is_replayed_too(
    returned: Any, cache: CacheManager
) -> None:
    @cached(cache=cache)
    def stream() -> Generator[str, None, Any]:
        yield "a"
        return deepcopy(returned)

    for _ in range(3):
        found, end = drained(stream())
        assert (found, end, type(end)) == (["a"], returned, type(returned))
        if isinstance(end, list):
            end.append("spoiled")
    assert stream.cache_info() == (2, 1)


def drained(stream: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    chunks = list[Any]()
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as end:
            return chunks, end.value
