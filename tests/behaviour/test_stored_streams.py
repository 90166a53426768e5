"""Stored streams: later changes to chunks, chunks that cannot be stored, and replays."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import BackendError
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.internals import limit_stream_chunks
from tests.support.stream_kinds import (
    ASYNC,
    Upstream,
    count_entries,
    each_stream_kind,
    iter_chunks,
    make_stream,
    read_all,
    read_first,
)


@each_stream_kind
async def test_a_chunk_changed_by_a_reader_is_stored_unchanged(
    kind: str, cache: CacheManager
) -> None:
    stream = cached(cache=cache)(make_stream(kind, lambda: iter_chunks([1], {"a": [2]})))
    for _ in range(3):
        found = await read_all(stream())
        assert found == [[1], {"a": [2]}]
        found[0].append("spoiled")
        found[1]["a"].clear()
        found.clear()


@each_stream_kind
async def test_a_chunk_changed_by_the_source_is_stored_as_it_was_yielded(
    kind: str, cache: CacheManager
) -> None:
    def growing() -> Iterator[list[int]]:
        shared = list[int]()
        for number in range(3):
            shared.append(number)
            yield shared

    stream = cached(cache=cache)(make_stream(kind, growing))
    seen = [list(chunk) async for chunk in stream()] if kind == ASYNC else list(map(list, stream()))
    assert await read_all(stream()) == seen == [[0], [0, 1], [0, 1, 2]]


class Uncopied:
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("one of a kind")


@each_stream_kind
@pytest.mark.parametrize("odd", [Uncopied(), threading.Lock()], ids=["uncopied", "lock"])
async def test_a_chunk_that_cannot_be_copied_is_passed_on_and_counted(
    kind: str, odd: Any, cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream("a", odd, "b")
    stream = cached(cache=cache)(make_stream(kind, upstream.source))
    with caplog.at_level(logging.WARNING, "aiocache_pe"):
        for _ in range(2):
            assert await read_all(stream()) == ["a", odd, "b"]
    stats = await cache.get_stats()
    assert (stats.errors, stats.sets, stats.total_entries) == (2, 0, 0)
    assert len(caplog.records) == 1
    assert stream.cache_info()[:2] == (0, 2)


class Copied:
    """A class that can be copied but that even pickle cannot store."""

    def __deepcopy__(self, memo: Any) -> Copied:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("not for storing")


@each_stream_kind
async def test_a_chunk_that_can_be_copied_but_not_stored_is_counted(
    kind: str, cache: CacheManager
) -> None:
    odd = Copied()
    stream = cached(cache=cache)(make_stream(kind, lambda: iter_chunks("a", odd)))
    for _ in range(2):
        assert await read_all(stream()) == ["a", odd]
    stats = await cache.get_stats()
    assert (stats.unstorable, stats.total_entries) == (2, 0)


@each_stream_kind
async def test_an_endless_stream_does_not_fill_the_memory(
    kind: str, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_stream_chunks(monkeypatch, 10)
    for length, stored in [(10, 1), (11, 1)]:
        stream = cached(cache=memory, version=length)(
            make_stream(kind, partial(iter_chunks, *range(length)))
        )
        assert await read_all(stream()) == list(range(length))
        assert await count_entries(memory) == stored


@each_stream_kind
async def test_a_failing_store_costs_only_the_call(kind: str) -> None:
    recorder = SpyBackend(MemoryBackend())
    recorder.failing = BackendError("away")
    upstream = Upstream("a", "b")
    async with CacheManager(recorder) as cache:
        stream = cached(cache=cache, tags=["t"])(make_stream(kind, upstream.source))
        for _ in range(2):
            assert await read_all(stream()) == ["a", "b"]
        assert upstream.starts == 2
        recorder.failing = None
        for _ in range(2):
            assert await read_all(stream()) == ["a", "b"]
        assert upstream.starts == 3


@each_stream_kind
async def test_two_concurrent_replays_are_independent(kind: str, cache: CacheManager) -> None:
    stream = cached(cache=cache)(make_stream(kind, lambda: iter_chunks([0], [1], [2])))
    await read_all(stream())
    one, two = stream(), stream()
    assert [await read_first(one), await read_first(one), await read_first(two)] == [[0], [1], [0]]
    assert [await read_all(one), await read_all(two)] == [[[2]], [[1], [2]]]
    assert stream.cache_info()[:2] == (2, 1)


@each_stream_kind
async def test_a_replay_continues_after_its_entry_was_removed(
    kind: str, memory: CacheManager
) -> None:
    stream = cached(cache=memory)(make_stream(kind, lambda: iter_chunks("a", "b")))
    await read_all(stream())
    replay = stream()
    assert await read_first(replay) == "a"
    await memory.clear()
    assert await read_all(replay) == ["b"]


@each_stream_kind
async def test_another_manager_replays_from_the_files(
    kind: str, cache_dir: Path, clock: FakeClock
) -> None:
    upstream = Upstream("", {"n": (1,)}, b"\xff")
    for _ in range(2):
        async with CacheManager(directory=cache_dir, clock=clock) as cache:
            stream = cached(cache=cache)(make_stream(kind, upstream.source))
            assert await read_all(stream()) == ["", {"n": (1,)}, b"\xff"]
    assert upstream.starts == 1


@each_stream_kind
async def test_an_entry_that_is_no_stream_is_a_miss(kind: str, memory: CacheManager) -> None:
    stream = cached(cache=memory)(make_stream(kind, lambda: iter_chunks("a")))
    for value in [None, [1], {"chunks": "abc"}, {"other": 1}, "text"]:
        await memory.set(stream.cache_key(), value)
        assert await read_all(stream()) == ["a"]


@each_stream_kind
async def test_seconds_saved_are_those_of_the_source_and_not_of_the_reader(
    kind: str, memory: CacheManager, clock: FakeClock
) -> None:
    def slow() -> Iterator[str]:
        for chunk in "ab":
            clock.advance(2)
            yield chunk
        clock.advance(1)

    reader = cached(cache=memory)(make_stream(kind, slow))
    passing = reader()
    for _ in range(2):
        await read_first(passing)
        clock.advance(100)
    assert await read_all(passing) == []
    await read_all(reader())
    assert (await memory.get_stats()).seconds_saved == 5


@pytest.mark.parametrize("returned", [None, 0, "end", [1], {"chunks": []}])
async def test_the_return_value_of_a_generator_is_replayed(
    returned: Any, cache: CacheManager
) -> None:
    @cached(cache=cache)
    def stream() -> Generator[str, None, Any]:
        yield "a"
        return deepcopy(returned)

    for _ in range(3):
        found, end = drain(stream())
        assert (found, end, type(end)) == (["a"], returned, type(returned))
        if isinstance(end, list):
            end.append("spoiled")
    assert stream.cache_info()[:2] == (2, 1)


def drain(stream: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    chunks = list[Any]()
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as end:
            return chunks, end.value
