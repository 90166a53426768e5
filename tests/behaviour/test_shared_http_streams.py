"""Identical requests for a stream at the same time: one request to the server, many readers."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from aiocache_pe import CacheManager, bypass
from aiocache_pe.integrations.http.shared_streams import AsyncSharedStreams, SyncSharedStreams
from examples.llmserver.server import ModelServer
from tests.support.internals import limit_stream_chunks, list_busy_connections
from tests.support.polling import poll
from tests.support.sdk_clients import CHAT, WAYS, Client, open_client

pytestmark = pytest.mark.parametrize("way", WAYS)


class Reading:
    """A stream of an SDK that is read chunk by chunk."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.chunks = list[Any]()
        self._is_async = hasattr(stream, "__aiter__")
        self._source = aiter(stream) if self._is_async else iter(stream)

    @classmethod
    async def start(cls, sdk: Client) -> Reading:
        """Request a stream and read its first chunk."""
        reading = cls(await sdk.call(sdk.openai.chat.completions.create, stream=True, **CHAT))
        await reading.read_one()
        return reading

    async def read_one(self) -> None:
        if self._is_async:
            self.chunks.append(await anext(self._source))
        else:
            self.chunks.append(await asyncio.to_thread(next, self._source))

    async def read_rest(self) -> list[Any]:
        """Return all chunks, those that were read before too."""
        if self._is_async:
            self.chunks += [chunk async for chunk in self._source]
        else:
            self.chunks += await asyncio.to_thread(list, self._source)
        return self.chunks

    async def close(self) -> None:
        closing = await asyncio.to_thread(self.stream.close)
        if closing is not None:
            await closing


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of keys to which each request for a stream adds its own."""
    keys = list[str]()
    for streams_class in (AsyncSharedStreams, SyncSharedStreams):
        open_or_join: Any = streams_class.open_or_join

        def add_key(self: Any, own: Any, open_stream: Any, inner: Any = open_or_join) -> Any:
            keys.append(own.key)
            return inner(self, own, open_stream)

        monkeypatch.setattr(streams_class, "open_or_join", add_key)
    return keys


async def test_one_request_is_sent_and_every_caller_reads_the_whole_stream(
    way: str, files: CacheManager, server: ModelServer, requested: list[str]
) -> None:
    server.gate.clear()
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        asked = CHAT | {"stream_options": {"include_usage": True}}
        reading = [asyncio.create_task(sdk.read_stream(create, **asked)) for _ in range(6)]
        await poll(lambda: len(requested) == 6, deadline=60)
        server.gate.set()
        streams = await asyncio.gather(*reading)
        assert len(server.requests) == 1
        assert len(streams[0]) > 5
        assert all(stream == streams[0] for stream in streams)
        assert await sdk.read_stream(create, **asked) == streams[0]
    assert len(server.requests) == 1
    stats = await files.get_stats()
    assert (stats.misses, stats.hits) == (1, 6)
    usage = streams[0][-1].usage
    assert stats.input_tokens_saved == 6 * usage.prompt_tokens
    assert stats.output_tokens_saved == 6 * usage.completion_tokens


async def test_a_late_reader_gets_all_chunks_and_waits_for_no_other_reader(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await Reading.start(sdk)
        second = await Reading.start(sdk)
        chunks = await second.read_rest()  # the first reader reads nothing meanwhile
        assert await first.read_rest() == chunks
        assert len(chunks) > 5
    assert len(server.requests) == 1


async def test_closing_one_reader_does_not_affect_the_others(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await Reading.start(sdk)
        second = await Reading.start(sdk)
        await first.close()
        chunks = await second.read_rest()
        assert await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT) == chunks
    assert len(server.requests) == 1


async def test_a_stream_that_all_readers_closed_is_not_stored_and_its_connection_is_free(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        readings = [await Reading.start(sdk) for _ in range(2)]
        for reading in readings:
            await reading.close()
        create = sdk.openai.chat.completions.create
        never_read = await sdk.call(create, stream=True, **CHAT)
        await Reading(never_read).close()
        assert list_busy_connections(sdk.openai) == []
        assert len(await sdk.read_stream(create, **CHAT)) > 5
    assert len(server.requests) == 3


async def test_failures_reach_all_callers_and_are_not_stored(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    server.failures = [503] * 3  # one for each request, in case a late one is sent too
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        reading = [sdk.read_stream(create, **CHAT) for _ in range(3)]
        results = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(result) for result in results] == [openai.InternalServerError] * 3
        server.failures.clear()
        assert len(await sdk.read_stream(create, **CHAT)) > 5


async def test_a_request_in_a_bypass_block_is_not_shared(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await Reading.start(sdk)
        with bypass():
            second = await Reading.start(sdk)
        await first.close()
        await second.read_rest()
    assert len(server.requests) == 2


async def test_a_stream_with_too_many_chunks_to_store_is_not_shared(
    way: str, files: CacheManager, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_stream_chunks(monkeypatch, 0)
    async with open_client(way, files, server) as sdk:
        first = await Reading.start(sdk)
        second = await Reading.start(sdk)
        assert len(await second.read_rest()) > 5
        assert len(await first.read_rest()) > 5
    assert len(server.requests) == 2


async def test_cancelling_the_task_that_sends_the_request_does_not_affect_the_others(
    way: str, files: CacheManager, server: ModelServer, requested: list[str]
) -> None:
    if not way.startswith("async"):
        pytest.skip("a thread is not cancelled")
    server.gate.clear()
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        first, second = (asyncio.create_task(sdk.read_stream(create, **CHAT)) for _ in range(2))
        await poll(lambda: server.requests and len(requested) == 2, deadline=60)
        first.cancel()
        await asyncio.wait([first])
        server.gate.set()
        assert len(await second) > 5
    assert len(server.requests) == 1
