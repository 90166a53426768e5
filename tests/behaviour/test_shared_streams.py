"""Streams with several readers at once: one source, all chunks for every reader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from aiocache_pe.exceptions import CacheError, ConfigurationError
from aiocache_pe.testing import FakeClock
from tests.support.internals import limit_stream_chunks, wait_for_refreshes
from tests.support.polling import poll
from tests.support.servers.sse_server import WORDS, SseServer, read_words_async
from tests.support.stream_kinds import (
    Upstream,
    close_stream,
    count_entries,
    each_stream_kind,
    iter_chunks,
    make_stream,
    read_all,
    read_first,
)


@pytest.fixture
def server() -> Iterator[SseServer]:
    server = SseServer()
    yield server
    server.close()


async def read_some(stream: AsyncIterator[Any], count: int) -> list[Any]:
    return [await anext(stream) for _ in range(count)]


async def test_three_readers_of_a_real_response_get_all_its_chunks(
    server: SseServer, cache: CacheManager
) -> None:
    words = cached(cache=cache)(read_words_async)
    one, two, three = (words(server.port) for _ in range(3))
    server.allow(2)
    assert await read_some(one, 2) == ["Once", ""]
    assert await read_some(two, 1) == ["Once"]
    server.allow(2)
    assert await read_some(one, 2) == [" upon", ""]
    assert await read_some(three, 4) == ["Once", "", " upon", ""]
    server.allow(5)
    assert await read_all(one) == list(WORDS[4:])
    assert await read_all(two) == list(WORDS[1:])
    assert await read_all(three) == list(WORDS[4:])
    assert server.requests == 1
    assert await read_all(words(server.port)) == list(WORDS)
    assert server.requests == 1
    assert words.cache_info()[:2] == (3, 1)
    stats = await cache.get_stats()
    assert (stats.hits, stats.misses, stats.sets) == (3, 1, 1)


def test_each_thread_runs_a_plain_generator_that_others_run() -> None:
    memory, together = CacheManager("memory"), threading.Barrier(3)

    @cached(cache=memory)
    def stream() -> Iterator[int]:
        together.wait(10)
        yield 1
        yield 2

    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(list, stream()) for _ in range(3)]
        assert [result.result(20) for result in results] == [[1, 2]] * 3
    assert list(stream()) == [1, 2]
    assert stream.cache_info()[:2] == (1, 3)


def test_a_paused_plain_generator_does_not_block_its_own_thread(memory: CacheManager) -> None:
    upstream = Upstream("a", "b")
    stream = cached(cache=memory)(make_stream("plain", upstream.source))
    paused = stream()
    assert next(paused) == "a"
    assert list(stream()) == ["a", "b"]
    assert list(paused) == ["b"]
    assert upstream.starts == upstream.ends == 2


async def test_all_readers_get_the_error_when_the_response_breaks(
    server: SseServer, cache: CacheManager
) -> None:
    words = cached(cache=cache)(read_words_async)
    server.fails_at = 5
    server.allow(4)
    one, two = words(server.port), words(server.port)
    assert await read_some(one, 4) == list(WORDS[:4])
    assert await read_some(two, 2) == list(WORDS[:2])
    server.allow(1)
    with pytest.raises(ConnectionError):
        await anext(one)
    assert await read_some(two, 2) == list(WORDS[2:4])
    with pytest.raises(ConnectionError):
        await anext(two)
    assert await count_entries(cache) == 0
    server.fails_at = 0
    server.allow()
    assert await read_all(words(server.port)) == list(WORDS)
    assert server.requests == 2


async def test_the_last_reader_that_closes_ends_the_request(
    server: SseServer, memory: CacheManager
) -> None:
    words = cached(cache=memory)(read_words_async)
    one, two = words(server.port), words(server.port)
    server.allow(2)
    assert [await anext(one), await anext(two)] == ["Once", "Once"]
    await one.aclose()
    assert await anext(two) == ""
    assert server.hang_ups == 0
    await two.aclose()
    await poll(lambda: server.hang_ups == 1)
    assert await count_entries(memory) == 0
    server.allow()
    assert await read_all(words(server.port)) == list(WORDS)


async def test_a_slow_reader_does_not_delay_the_others(memory: CacheManager) -> None:
    upstream = Upstream(*range(10_000))
    stream = cached(cache=memory)(make_stream("async", upstream.source))
    slow, fast = stream(), stream()
    assert await read_first(slow) == 0
    assert await read_all(fast) == list(range(10_000))
    assert await count_entries(memory) == 1
    assert await read_all(slow) == list(range(1, 10_000))
    assert upstream.starts == upstream.ends == 1


async def test_only_the_fastest_reader_pulls_the_source(memory: CacheManager) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=memory)(make_stream("async", upstream.source))
    one, two = stream(), stream()
    assert [await read_first(one), await read_first(two), upstream.chunks_sent] == ["a", "a", 1]
    assert [await read_first(two), upstream.chunks_sent] == ["b", 2]
    assert [await read_first(one), upstream.chunks_sent] == ["b", 2]
    await close_stream(two)
    assert upstream.ends == 0
    await close_stream(one)
    assert (upstream.chunks_sent, upstream.ends) == (2, 1)


async def test_readers_that_wait_for_one_chunk_pull_one_chunk(memory: CacheManager) -> None:
    upstream = Upstream("a", "b", "c")
    stream = cached(cache=memory)(make_stream("async", upstream.source))
    readers = [stream() for _ in range(5)]
    assert await asyncio.gather(*map(read_first, readers)) == ["a"] * 5
    assert upstream.chunks_sent == 1
    for reader in readers:
        await reader.aclose()
    assert upstream.ends == 1


@each_stream_kind
async def test_changes_to_a_chunk_do_not_reach_other_readers(
    kind: str, cache: CacheManager
) -> None:
    stream = cached(cache=cache)(make_stream(kind, lambda: iter_chunks([1], [2])))
    one, two = stream(), stream()
    chunk = await read_first(one)
    chunk.append("spoilt")
    assert await read_first(two) == [1]
    assert [*await read_all(one), *await read_all(two)] == [[2], [2]]
    assert await read_all(stream()) == [[1], [2]]


async def test_a_cancelled_reader_affects_neither_source_nor_other_readers(
    server: SseServer, memory: CacheManager
) -> None:
    words = cached(cache=memory)(read_words_async)
    server.allow(1)
    one, two = words(server.port), words(server.port)
    assert [await anext(one), await anext(two)] == ["Once", "Once"]
    waiting = asyncio.ensure_future(
        anext(one)
    )  # the reader that started the source waits for a chunk
    rest = asyncio.ensure_future(read_all(two))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.allow(8)
    assert await rest == list(WORDS[1:])
    assert (server.requests, server.hang_ups) == (1, 0)
    assert await count_entries(memory) == 1


async def test_every_reader_gets_the_error_after_all_chunks(memory: CacheManager) -> None:
    upstream = Upstream("a", "b", fails=KeyError("k"))
    stream = cached(cache=memory)(make_stream("async", upstream.source))
    one, two = stream(), stream()
    assert await read_first(two) == "a"
    for _ in range(2):
        await read_first(one)
    with pytest.raises(KeyError):
        await read_first(one)
    assert await read_first(two) == "b"
    with pytest.raises(KeyError):
        await read_first(two)
    assert (await memory.get_stats()).load_failures == 1


async def test_a_reader_too_far_behind_in_a_long_stream_gets_an_error(
    memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_stream_chunks(monkeypatch, 10)
    stream = cached(cache=memory)(make_stream("async", lambda: iter_chunks(*range(100))))
    one, two, late = stream(), stream(), stream()
    assert [await read_first(one), await read_first(two), await read_first(late)] == [0, 0, 0]
    for number in range(1, 50):
        assert await read_first(one) == number
        if number >= 10:
            assert await read_first(two) == number - 9
    with pytest.raises(CacheError, match="more than 10 chunks behind another reader"):
        await read_first(late)
    assert await read_all(one) == list(range(50, 100))
    newcomer = stream()  # it begins with the first chunk
    assert await read_first(newcomer) == 0
    await close_stream(newcomer)
    await close_stream(two)
    assert await count_entries(memory) == 0


@each_stream_kind
async def test_a_stream_of_another_manager_is_waited_for(kind: str, cache_dir: Path) -> None:
    one = CacheManager("file", directory=cache_dir)
    other = CacheManager("file", directory=cache_dir)
    upstream, never = Upstream("a", "", "b"), Upstream()
    here = cached(cache=one, key=lambda: "k", key_prefix="p")(make_stream(kind, upstream.source))
    there = cached(cache=other, key=lambda: "k", key_prefix="p")(make_stream("async", never.source))
    stream = here()
    assert await read_first(stream) == "a"
    waiting = asyncio.ensure_future(read_all(there()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await read_all(stream) == ["", "b"]
    assert await waiting == ["a", "", "b"]
    assert never.starts == 0
    await one.close()
    await other.close()


async def test_a_stream_may_read_itself(memory: CacheManager) -> None:
    depth = 0

    @cached(cache=memory)
    async def nested() -> AsyncIterator[str]:
        nonlocal depth
        depth += 1
        yield "outer" if depth == 1 else "inner"
        if depth == 1:
            async for word in nested():
                yield word

    assert await asyncio.wait_for(read_all(nested()), 30) == ["outer", "inner"]
    depth = 0

    @cached(cache=memory)
    def plain() -> Iterator[str]:
        nonlocal depth
        depth += 1
        yield "outer" if depth == 1 else "inner"
        if depth == 1:
            yield from plain()

    assert await asyncio.wait_for(asyncio.to_thread(list, plain()), 30) == ["outer", "inner"]


@each_stream_kind
async def test_a_stale_stream_is_replayed_while_a_new_one_is_recorded(
    kind: str, cache: CacheManager, clock: FakeClock
) -> None:
    upstream = Upstream("old", "")
    stream = cached(cache=cache, ttl=10, stale_ttl=100)(make_stream(kind, upstream.source))
    assert await read_all(stream()) == ["old", ""]
    clock.advance(11)
    upstream.chunks = ("new", "", "er")
    if kind == "async":
        assert await read_all(stream()) == ["old", ""]
        await wait_for_refreshes(cache)
    else:
        assert await asyncio.to_thread(list, stream()) == ["old", ""]
        await poll(lambda: upstream.ends == 2)
        await asyncio.to_thread(stream.cache.close)
        await cache.__aenter__()
    assert await read_all(stream()) == ["new", "", "er"]
    clock.advance(11)
    upstream.fails = ConnectionError()
    for _ in range(3):
        found = await (read_all(stream()) if kind == "async" else asyncio.to_thread(list, stream()))
        assert found == ["new", "", "er"]


async def test_an_often_read_stream_is_refreshed_ahead(
    memory: CacheManager, clock: FakeClock
) -> None:
    upstream = Upstream("a")
    stream = cached(cache=memory, ttl=lambda chunks: 10 * len(chunks), refresh_ahead=0.5)(
        make_stream("async", upstream.source)
    )
    await read_all(stream())
    clock.advance(6)
    upstream.chunks = ("b", "c")
    assert await read_all(stream()) == ["a"]
    await wait_for_refreshes(memory)
    assert await read_all(stream()) == ["b", "c"]
    assert await memory.get_ttl(stream.cache_key()) == 20


@each_stream_kind
def test_a_stream_has_no_hard_timeout(kind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"hard_timeout= has no meaning for"):
        cached(hard_timeout=1)(make_stream(kind, iter_chunks))


async def test_a_source_that_continues_after_its_cancellation_is_closed(
    memory: CacheManager,
) -> None:
    ended = list[str]()

    @cached(cache=memory)
    async def stubborn() -> AsyncIterator[str]:
        try:
            yield "begun"
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            yield "aborted"
        finally:
            ended.append("closed")

    async def read_on() -> None:
        async for _ in stubborn():
            pass

    task = asyncio.create_task(read_on())
    await poll(lambda: stubborn.cache_info().misses)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    assert ended == ["closed"]
