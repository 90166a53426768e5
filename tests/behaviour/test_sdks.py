"""The official SDKs get from the cache what they got from the server, to the byte."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from aiocache_pe import CacheManager, bypass, read_only, refresh
from aiocache_pe.testing.fake_clock import FakeClock
from examples.llmserver.server import ModelServer
from tests.support.sdk_clients import WAYS, Client, open_client
from tests.support.sdk_fixtures import API_KEY

pytestmark = pytest.mark.parametrize("way", WAYS)
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "What is love?"}]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class Answer(BaseModel):
    title: str
    number: int


def calls(client: Client) -> dict[str, tuple[Any, dict[str, Any]]]:
    """What is asked in one piece."""
    chat = client.openai.chat.completions
    asked: dict[str, tuple[Any, dict[str, Any]]] = {
        "chat": (chat.create, CHAT),
        "tools": (chat.create, CHAT | {"tools": [TOOL]}),
        "structured": (chat.parse, CHAT | {"response_format": Answer}),
        "embeddings": (client.openai.embeddings.create, {"model": "e", "input": ["a", "b"]}),
        "responses": (client.openai.responses.create, {"model": "tiny", "input": "Why?"}),
    }
    if client.anthropic is not None:
        message = CHAT | {"max_tokens": 100}
        tools = [{"name": "weather", "input_schema": {"type": "object"}}]
        create = client.anthropic.messages.create
        asked |= {
            "messages": (create, message),
            "message tools": (create, message | {"tools": tools}),
        }
    return asked


async def test_a_hit_is_equal_to_the_byte(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        for name, (call, asked) in calls(sdk).items():
            first, second = await sdk.call(call, **asked), await sdk.call(call, **asked)
            assert first == second, name
            same = first.model_dump_json(warnings=False) == second.model_dump_json(warnings=False)
            assert same, name
            assert len(server.requests) == 1, name
            server.requests.clear()


async def test_a_stream_is_replayed_chunk_by_chunk(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        with_usage = CHAT | {"stream_options": {"include_usage": True}}
        chat = sdk.openai.chat.completions.create
        streams = [
            (chat, with_usage),
            (chat, with_usage | {"tools": [TOOL]}),
            (sdk.openai.responses.create, {"model": "tiny", "input": "What is love?"}),
        ]
        if sdk.anthropic is not None:
            message = CHAT | {"max_tokens": 100}
            tools = [{"name": "weather", "input_schema": {"type": "object"}}]
            create = sdk.anthropic.messages.create
            streams += [(create, message), (create, message | {"tools": tools})]
        for call, asked in streams:
            first, second = (
                await sdk.read_stream(call, **asked),
                await sdk.read_stream(call, **asked),
            )
            assert len(first) >= 5
            assert first == second
            assert len(server.requests) == 1
            server.requests.clear()


async def test_what_the_sdks_put_together_of_a_stream_is_the_same(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    """By their own helpers, which read to the last event and close the stream."""
    async with open_client(way, files, server) as sdk:
        asked = {"model": "tiny", "input": "What is love?"}
        responses = [await sdk.gather_stream(sdk.openai.responses.stream, asked) for _ in range(2)]
        assert responses[0].output_text.startswith("You asked 3 words")
        assert responses[0] == responses[1]
        assert len(server.requests) == 1
        if sdk.anthropic is not None:
            tools = [{"name": "weather", "input_schema": {"type": "object"}}]
            told = CHAT | {"max_tokens": 100, "tools": tools}
            messages = [
                await sdk.gather_stream(sdk.anthropic.messages.stream, told) for _ in range(2)
            ]
            assert messages[0].content[1].input == {"city": "Paris"}
            assert messages[0] == messages[1]
            assert len(server.requests) == 2
    stats = await files.get_stats()
    assert stats.hits == (1 if sdk.anthropic is None else 2)
    assert stats.input_tokens_saved == 7 * stats.hits
    assert stats.output_tokens_saved > 0


async def test_the_raw_answer_says_where_it_is_from(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.with_raw_response.create
        first, second = await sdk.call(create, **CHAT), await sdk.call(create, **CHAT)
    assert (first.headers["x-aiocache-pe"], second.headers["x-aiocache-pe"]) == ("miss", "hit")
    assert first.content == second.content
    assert first.headers["x-ratelimit-remaining-requests"] == "41"
    assert not {"set-cookie", "x-ratelimit-remaining-requests"} & set(second.headers)
    assert second.headers["x-request-id"] == first.headers["x-request-id"]


async def test_the_api_key_is_nowhere(
    way: str,
    files: CacheManager,
    server: ModelServer,
    cache_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="aiocache_pe")
    async with open_client(way, files, server) as sdk:
        for call, asked in calls(sdk).values():
            await sdk.call(call, **asked)
        await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
        await sdk.read_stream(sdk.openai.responses.create, model="tiny", input="Why?")
        server.failures = [500]
        with pytest.raises(openai.InternalServerError) as failed:
            await sdk.call(sdk.openai.embeddings.create, model="e", input="x")
        other = sdk.openai.with_options(api_key="another-key")
        before = len(server.requests)
        await sdk.call(other.chat.completions.create, **CHAT)
        assert len(server.requests) == before  # who asks is no part of what is asked
    await files.close()
    stored = [path for path in cache_dir.rglob("*") if path.is_file()]
    assert len(stored) >= 6
    for path in stored:
        content = path.read_bytes() + str(path).encode()
        assert API_KEY.encode() not in content
        assert b"very-secret" not in content
    assert API_KEY not in caplog.text
    assert API_KEY not in str(failed.value)


async def test_errors_reach_the_caller_and_are_not_kept(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        server.failures = [429, 503]
        with pytest.raises(openai.RateLimitError):
            await sdk.call(create, **CHAT)
        with pytest.raises(openai.InternalServerError):
            await sdk.read_stream(create, **CHAT)
        await sdk.call(create, **CHAT)
        await sdk.read_stream(create, **CHAT)
    assert len(server.requests) == 4


async def test_a_stream_cut_short_is_not_kept(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        server.cut = True
        short = await sdk.read_stream(create, **CHAT)
        server.cut = False
        assert len(await sdk.read_stream(create, **CHAT)) > len(short)
    assert len(server.requests) == 2


async def test_an_answer_cut_short_is_kept_only_if_asked(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    asked = CHAT | {"max_tokens": 1}
    async with open_client(way, files, server) as sdk:
        for _ in range(2):
            await sdk.call(sdk.openai.chat.completions.create, **asked)
    assert len(server.requests) == 2
    async with open_client(way, files, server, store_truncated=True) as sdk:
        for _ in range(2):
            await sdk.call(sdk.openai.chat.completions.create, **asked)
    assert len(server.requests) == 3


async def test_identical_requests_at_once_are_sent_once(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    server.seconds = 0.2
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        answers = await asyncio.gather(*(sdk.call(create, **CHAT) for _ in range(8)))
    assert len(server.requests) == 1
    assert len({answer.model_dump_json() for answer in answers}) == 1


async def test_steering_holds_for_requests(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        with read_only():
            await sdk.read_stream(create, **CHAT)
        for read in (sdk.call, sdk.read_stream):
            await read(create, **CHAT)
            with bypass():
                await read(create, **CHAT)
            with refresh():
                await read(create, **CHAT)
            await read(create, **CHAT)
    assert len(server.requests) == 1 + 3 + 3


async def test_what_is_said_otherwise_is_asked_otherwise(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server, vary=["x-tenant"]) as sdk:
        create = sdk.openai.chat.completions.create
        for more in (
            {},
            {"temperature": 0},
            {"extra_headers": {"x-tenant": "a"}},
            {"extra_headers": {"x-tenant": "b"}},
        ):
            for _ in range(2):
                await sdk.call(create, **CHAT, **more)
    assert len(server.requests) == 4


async def test_stale_answers_say_so(way: str, cache_dir: Path, server: ModelServer) -> None:
    clock = FakeClock()
    async with (
        CacheManager(directory=cache_dir, clock=clock) as cache,
        open_client(way, cache, server, ttl=10, stale_ttl=100) as sdk,
    ):
        create = sdk.openai.chat.completions.with_raw_response.create
        await sdk.call(create, **CHAT)
        clock.advance(20)
        told = [(await sdk.call(create, **CHAT)).headers["x-aiocache-pe"]]
        while told[-1] != "hit":  # what is fetched in the background ends before its client
            told.append((await sdk.call(create, **CHAT)).headers["x-aiocache-pe"])
            await asyncio.sleep(0.01)
    assert set(told) == {"stale", "hit"}
    assert told[0] == "stale"
