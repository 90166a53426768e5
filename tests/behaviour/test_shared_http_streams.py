"""Identical requests for a stream that are made at once: sent once, read by each at its pace."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from aiocache_pe import CacheManager, bypass
from aiocache_pe.decorators.streams import chunk_buffer
from aiocache_pe.integrations.http.shared_streams import AsyncSharing, PlainSharing
from examples.llmserver.server import ModelServer
from tests.behaviour.test_sdks import CHAT
from tests.support.polling import poll
from tests.support.sdk_clients import WAYS, Client, open_client

pytestmark = pytest.mark.parametrize("way", WAYS)


class Reading:
    """A stream that is read bit by bit."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.chunks = list[Any]()
        self._waits = hasattr(stream, "__aiter__")
        self._source = aiter(stream) if self._waits else iter(stream)

    @classmethod
    async def begun(cls, sdk: Client) -> Reading:
        """One that has its first chunk."""
        reading = cls(await sdk.call(sdk.openai.chat.completions.create, stream=True, **CHAT))
        await reading.one()
        return reading

    async def one(self) -> None:
        if self._waits:
            self.chunks.append(await anext(self._source))
        else:
            self.chunks.append(await asyncio.to_thread(next, self._source))

    async def rest(self) -> list[Any]:
        if self._waits:
            self.chunks += [chunk async for chunk in self._source]
        else:
            self.chunks += await asyncio.to_thread(list, self._source)
        return self.chunks

    async def close(self) -> None:
        closed = await asyncio.to_thread(self.stream.close)
        if closed is not None:
            await closed


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of streams that somebody wants a place in."""
    keys = list[str]()
    for kind in (AsyncSharing, PlainSharing):
        place: Any = kind.place

        def counted(self: Any, key: str, open_it: Any, place: Any = place) -> Any:
            keys.append(key)
            return place(self, key, open_it)

        monkeypatch.setattr(kind, "place", counted)
    return keys


async def test_a_stream_is_sent_once_and_read_by_all(
    way: str, files: CacheManager, server: ModelServer, arrived: list[str]
) -> None:
    server.gate.clear()
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        reading = [asyncio.create_task(sdk.read_stream(create, **CHAT)) for _ in range(6)]
        await poll(lambda: len(arrived) == 6, deadline=60)
        server.gate.set()
        streams = await asyncio.gather(*reading)
        assert len(server.requests) == 1
        assert len(streams[0]) > 5
        assert all(stream == streams[0] for stream in streams)
        assert await sdk.read_stream(create, **CHAT) == streams[0]
    assert len(server.requests) == 1
    stats = await files.get_stats()
    assert (stats.misses, stats.hits) == (1, 6)


async def test_who_comes_late_gets_it_from_the_first_chunk_and_waits_for_nobody(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await Reading.begun(sdk)
        second = await Reading.begun(sdk)
        whole = await second.rest()  # the first one reads nothing meanwhile
        assert await first.rest() == whole
        assert len(whole) > 5
    assert len(server.requests) == 1


async def test_closing_one_harms_no_other(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await Reading.begun(sdk)
        second = await Reading.begun(sdk)
        await first.close()
        whole = await second.rest()
        assert await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT) == whole
    assert len(server.requests) == 1


async def test_a_stream_that_all_have_closed_is_not_kept_and_sent_anew(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        readings = [await Reading.begun(sdk) for _ in range(2)]
        for reading in readings:
            await reading.close()
        create = sdk.openai.chat.completions.create
        never_read = await sdk.call(create, stream=True, **CHAT)
        await Reading(never_read).close()
        pool = sdk.openai._client._transport._inner._pool
        assert [each for each in pool.connections if not each.is_idle()] == []
        assert len(await sdk.read_stream(create, **CHAT)) > 5
    assert len(server.requests) == 3


async def test_failures_are_told_to_all_and_not_kept(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    server.failures = [503] * 3  # as many as are sent, should one come late
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        asked = [sdk.read_stream(create, **CHAT) for _ in range(3)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(result) for result in results] == [openai.InternalServerError] * 3
        server.failures.clear()
        assert len(await sdk.read_stream(create, **CHAT)) > 5


async def test_a_stream_past_the_cache_is_not_shared(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await Reading.begun(sdk)
        with bypass():
            second = await Reading.begun(sdk)
        await first.close()
        await second.rest()
    assert len(server.requests) == 2


async def test_a_stream_too_long_to_keep_is_sent_to_each(
    way: str, files: CacheManager, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_buffer, "_MOST", 0)
    async with open_client(way, files, server) as sdk:
        first = await Reading.begun(sdk)
        second = await Reading.begun(sdk)
        assert len(await second.rest()) > 5
        assert len(await first.rest()) > 5
    assert len(server.requests) == 2


async def test_one_who_is_cancelled_while_it_is_sent_harms_no_other(
    way: str, files: CacheManager, server: ModelServer, arrived: list[str]
) -> None:
    if not way.startswith("async"):
        pytest.skip("a thread is not cancelled")
    server.gate.clear()
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        first, second = (asyncio.create_task(sdk.read_stream(create, **CHAT)) for _ in range(2))
        await poll(lambda: server.requests and len(arrived) == 2, deadline=60)
        first.cancel()
        await asyncio.wait([first])
        server.gate.set()
        assert len(await second) > 5
    assert len(server.requests) == 1
