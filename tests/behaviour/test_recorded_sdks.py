"""Official SDKs in recordings: a replay returns the recorded answers and sends no request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from aiocache_pe import CacheManager, UnrecordedCallError, recording
from aiocache_pe.integrations.httpx import AsyncCacheTransport, CacheTransport
from aiocache_pe.recordings.recorder import MODES
from examples.llmserver.server import ModelServer
from tests.support.sdk_clients import CHAT, WAYS, Client, open_client
from tests.support.sdk_fixtures import API_KEY

each_way = pytest.mark.parametrize("way", WAYS)


async def make_calls(sdk: Client) -> list[Any]:
    """Make every call that is not a stream, and return the answers."""
    return [await sdk.call(call, **arguments) for call, arguments in sdk.list_calls().values()]


@each_way
async def test_a_replay_sends_no_request(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(way, memory, server) as sdk:
        with recording(tmp_path, "record"):
            first = await make_calls(sdk)
            streamed = await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
            if sdk.anthropic is not None:
                streamed += await sdk.read_stream(
                    sdk.anthropic.messages.create, max_tokens=9, **CHAT
                )
        sent = len(server.requests)
        assert sent == len(list(tmp_path.iterdir())) == len(first) + 1 + bool(sdk.anthropic)
        with recording(tmp_path) as replayed:
            assert await make_calls(sdk) == first
            chunks = await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
            if sdk.anthropic is not None:
                chunks += await sdk.read_stream(sdk.anthropic.messages.create, max_tokens=9, **CHAT)
            assert chunks == streamed
            assert replayed.unused() == []
    assert len(server.requests) == sent
    assert (await memory.get_stats()).total_entries == 0
    texts = "".join(path.read_text() + path.name for path in tmp_path.iterdir())
    assert API_KEY not in texts
    assert "very-secret" not in texts


@each_way
async def test_answers_that_differ_only_in_ids_leave_the_files_unchanged(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(way, memory, server) as sdk:
        results = []
        for _ in range(2):
            with recording(tmp_path, "record"):
                answers = await make_calls(sdk)
                answers += await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
            files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
            results.append((answers, files))
    assert results[0] == results[1]  # the second answers have the ids of the recorded ones
    assert len(server.requests) == 2 * len(results[0][1])


@each_way
async def test_an_unrecorded_request_is_not_sent(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    other = CHAT | {"messages": [{"role": "user", "content": "What is lve?"}]}
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.create
        with recording(tmp_path, "record"):
            await sdk.call(create, **CHAT)
        messages = []
        for arguments in (other, CHAT | {"stream": True}):
            with pytest.raises(UnrecordedCallError) as caught, recording(tmp_path):
                await sdk.call(create, **arguments)
            messages.append(str(caught.value))
    assert "nearest: chat-completions-what-is-love-" in messages[0]
    assert "messages[0].content: recorded 'What is love?', asked 'What is lve?'" in messages[0]
    assert "stream: recorded None, asked True" in messages[1]
    assert len(server.requests) == 1


@each_way
@pytest.mark.parametrize("stream", [False, True])
async def test_failures_reach_the_caller_and_are_not_recorded(
    way: str, stream: bool, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    server.failures += [429]
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.create
        with recording(tmp_path, "record"):
            with pytest.raises(openai.RateLimitError):
                await sdk.call(create, stream=stream, **CHAT)
            assert list(tmp_path.iterdir()) == []
            await (sdk.read_stream(create, **CHAT) if stream else sdk.call(create, **CHAT))
    assert len(list(tmp_path.iterdir())) == 1


@each_way
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_reaches_all_concurrent_callers(
    way: str, stream: bool, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    server.failures += [429] * 3
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.create
        with recording(tmp_path, "record"):
            calls = [sdk.call(create, stream=stream, **CHAT) for _ in range(3)]
            errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {openai.RateLimitError}
    assert list(tmp_path.iterdir()) == []


@each_way
async def test_a_truncated_answer_is_recorded(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(way, memory, server) as sdk:
        create = sdk.openai.chat.completions.create
        with recording(tmp_path, "record"):
            first = await sdk.call(create, max_tokens=1, **CHAT)
            chunks = await sdk.read_stream(create, max_tokens=1, **CHAT)
        assert first.choices[0].finish_reason == "length"
        assert chunks[-1].choices[0].finish_reason == "length"
        with recording(tmp_path):
            assert await sdk.call(create, max_tokens=1, **CHAT) == first
            assert await sdk.read_stream(create, max_tokens=1, **CHAT) == chunks


async def test_an_interrupted_stream_is_not_recorded(
    memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    server.cut = True
    async with open_client(WAYS[0], memory, server) as sdk:
        with recording(tmp_path, "record"):
            await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_shows_the_request_beside_the_answer(
    memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(WAYS[0], memory, server) as sdk:
        with recording(tmp_path, "record"):
            await sdk.call(sdk.openai.chat.completions.create, **CHAT)
            await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
    whole, stream = sorted(
        (json.loads(path.read_text()) for path in tmp_path.iterdir()),
        key=lambda content: "events" in content["answer"],
    )
    assert whole["call"] == f"{server.url.removeprefix('http://')}/v1/chat/completions tiny"
    assert whole["arguments"] == CHAT
    assert list(whole["answer"]) == ["status", "headers", "json"]
    assert whole["answer"]["headers"] == {"content-type": "application/json"}
    assert whole["answer"]["json"]["choices"][0]["message"]["role"] == "assistant"
    assert stream["answer"]["events"][-1] == "data: [DONE]"


@each_way
async def test_a_request_that_is_never_recorded_is_not_sent_in_a_replay(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(way, memory, server) as sdk:
        with recording(tmp_path, "record"), pytest.raises(openai.APIStatusError):
            await sdk.call(sdk.openai.models.list)  # sent; the server has no such path
        with (
            pytest.raises(UnrecordedCallError, match="not recorded by this transport: see cache"),
            recording(tmp_path),
        ):
            await sdk.call(sdk.openai.models.list)


@pytest.mark.parametrize("content", [b'"text"', b"[1,2]", b'{"big":123456789012345678901234}'])
async def test_any_json_is_replayed_exactly(
    content: bytes, memory: CacheManager, tmp_path: Path
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content, headers={"content-type": "application/json"})

    def ask() -> tuple[bytes, Any]:
        inner = httpx.MockTransport(answer)
        transport = CacheTransport(memory, transport=inner, cacheable=lambda request: True)
        with httpx.Client(transport=transport) as http:
            response = http.post("http://model/v1/anything", json={"input": [["a"], "b"]})
            return response.content, response.headers["x-aiocache-pe"]

    with recording(tmp_path, "record"):
        assert await asyncio.to_thread(ask) == (content, "miss")
    with recording(tmp_path):
        assert await asyncio.to_thread(ask) == (content, "hit")


async def test_a_stream_that_is_not_text_is_replayed_byte_for_byte(
    memory: CacheManager, tmp_path: Path
) -> None:
    content = b'data: {"a":1}\r\n\r\n: \xff\r\n\r\ndata: [DONE]\r\n\r\n'

    async def ask() -> bytes:
        inner = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
        transport = AsyncCacheTransport(memory, transport=inner, cacheable=lambda request: True)
        async with httpx.AsyncClient(transport=transport) as http:
            body = {"stream": True, "prompt": "Why?"}
            return (await http.post("http://model/v1/anything", json=body)).content

    for mode in MODES[:2]:
        async with recording(tmp_path, mode):
            assert await ask() == content
    assert (next(tmp_path.iterdir())).name.startswith("v1-anything-why-")
