"""Streams: chunks are passed on at once and replayed unchanged; closing ends the source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, cached, events
from tests.support.stream_kinds import (
    ASYNC,
    PLAIN,
    Upstream,
    close_stream,
    count_entries,
    each_stream_kind,
    make_stream,
    read_all,
    read_first,
)

CHUNKS: list[list[Any]] = [
    [],
    [""],
    ["", "a", "", b"", None, 0, [], {}, "b", ""],
    [("a", 1), {1: {2}}, float("inf"), {"n": (None,)}],
    [{"chunks": []}, {"returned": 1}],
]


@each_stream_kind
@pytest.mark.parametrize("chunks", CHUNKS)
async def test_a_stream_is_replayed_unchanged(
    kind: str, chunks: list[Any], cache: CacheManager
) -> None:
    upstream = Upstream(*chunks)
    stream = cached(cache=cache)(make_stream(kind, upstream.source))
    for _ in range(3):
        found = await read_all(stream())
        assert found == chunks
        assert list(map(type, found)) == list(map(type, chunks))
    assert (upstream.starts, upstream.ends) == (1, 1)


@each_stream_kind
async def test_each_chunk_is_passed_on_before_the_next_is_requested(
    kind: str, memory: CacheManager
) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=memory)(make_stream(kind, upstream.source))()
    for number in (1, 2, 3):
        assert await read_first(stream) == "abc"[number - 1]
        assert upstream.chunks_sent == number
    await close_stream(stream)


@each_stream_kind
async def test_the_source_starts_at_the_first_read(kind: str, memory: CacheManager) -> None:
    upstream = Upstream("a")
    stream = cached(cache=memory)(make_stream(kind, upstream.source))
    await close_stream(stream())
    assert (upstream.starts, stream.cache_info()[:2]) == (0, (0, 0))


@each_stream_kind
@pytest.mark.parametrize("count", [1, 2, 3])
async def test_closing_early_ends_the_source_and_stores_nothing(
    kind: str, count: int, cache: CacheManager
) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=cache)(make_stream(kind, upstream.source))
    reader = stream()
    for _ in range(count):
        await read_first(reader)
    await close_stream(reader)
    assert (upstream.chunks_sent, upstream.ends) == (count, 1)
    assert await count_entries(cache) == 0
    assert await read_all(stream()) == ["a", "b", "c"]
    assert upstream.starts == 2


@each_stream_kind
async def test_closing_a_replay_early_affects_no_other_reader(
    kind: str, memory: CacheManager
) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=memory)(make_stream(kind, upstream.source))
    await read_all(stream())
    replay = stream()
    assert await read_first(replay) == "a"
    await close_stream(replay)
    assert await read_all(stream()) == ["a", "b", "c"]
    assert upstream.starts == 1


@each_stream_kind
async def test_an_exception_of_the_source_reaches_the_reader_and_nothing_is_stored(
    kind: str, cache: CacheManager
) -> None:
    failures = list[events.LoadFailed]()
    cache.subscribe(events.LoadFailed, failures.append)
    upstream = Upstream("a", fails=ConnectionError("cut off"))
    stream = cached(cache=cache)(make_stream(kind, upstream.source))
    for _ in range(2):
        reader = stream()
        assert await read_first(reader) == "a"
        with pytest.raises(ConnectionError, match="cut off"):
            await read_first(reader)
    assert upstream.ends == 2
    assert await count_entries(cache) == 0
    assert [type(event.error) for event in failures] == [ConnectionError] * 2
    upstream.fails = None
    assert [await read_all(stream()), await read_all(stream())] == [["a"], ["a"]]
    assert upstream.starts == 3


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

    task = asyncio.ensure_future(read_all(stream()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert await count_entries(memory) == 0


@each_stream_kind
async def test_nothing_can_be_sent_into_a_cached_stream(kind: str, memory: CacheManager) -> None:
    upstream = Upstream("a", "b")
    stream = cached(cache=memory)(make_stream(kind, upstream.source))
    for _ in range(2):  # during the computation, then during a replay
        reader = stream()
        await read_first(reader)
        with pytest.raises(TypeError, match="nothing can be sent into a cached stream"):
            await send(reader, "hello")
        await read_all(stream())
    assert upstream.starts == upstream.ends == 2


async def send(stream: Any, value: Any) -> Any:
    return await stream.asend(value) if hasattr(stream, "asend") else stream.send(value)


@each_stream_kind
async def test_values_can_be_sent_into_a_bypassed_stream(kind: str, memory: CacheManager) -> None:
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


@each_stream_kind
async def test_an_exception_thrown_by_the_reader_ends_the_stream(
    kind: str, memory: CacheManager
) -> None:
    upstream = Upstream("a", "b")
    stream = cached(cache=memory)(make_stream(kind, upstream.source))
    reader = stream()
    await read_first(reader)
    with pytest.raises(KeyError):
        await (reader.athrow(KeyError()) if kind == ASYNC else asyncio.to_thread(throw, reader))
    assert upstream.ends == 1
    assert await count_entries(memory) == 0


def throw(stream: Any) -> None:
    stream.throw(KeyError())
