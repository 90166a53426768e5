"""Every kind of request of the official SDKs: kept with all its bytes, or sent each time."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from typing import Any

import pytest

from aiocache_pe import CacheManager, Price
from examples.llmserver.server import ModelServer
from tests.support.sdk_clients import (
    ANTHROPIC_TOOL,
    CHAT,
    LIBRARIES,
    TOOL,
    WAYS,
    Answer,
    open_client,
)

genai = pytest.importorskip("google.genai")  # as any: its types take long to check

each_way = pytest.mark.parametrize("way", WAYS)
SOUND = ("sound.wav", b"RIFF\xff\x00sound", "audio/wav")
HEARD = {"data": base64.b64encode(SOUND[1]).decode(), "format": "wav"}
MESSAGE = CHAT | {"max_tokens": 100}
KEPT: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("openai.chat.completions", CHAT),
    "tools": ("openai.chat.completions", CHAT | {"tools": [TOOL]}),
    "structured output": (
        "openai.chat.completions",
        CHAT
        | {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": Answer.model_json_schema()},
            }
        },
    ),
    "a sound in a chat": (
        "openai.chat.completions",
        {
            "model": "tiny",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "input_audio", "input_audio": HEARD},
                    ],
                }
            ],
        },
    ),
    "responses": ("openai.responses", {"model": "tiny", "input": "Why?"}),
    "embeddings": ("openai.embeddings", {"model": "e", "input": ["a", "b"]}),
    "an embedding": ("openai.embeddings", {"model": "e", "input": "a", "encoding_format": "float"}),
    "moderations": ("openai.moderations", {"model": "m", "input": ["a", "b"]}),
    "messages": ("anthropic.messages", MESSAGE),
    "message tools": ("anthropic.messages", MESSAGE | {"tools": [ANTHROPIC_TOOL]}),
}
SENT: dict[str, tuple[str, dict[str, Any]]] = {
    "a transcription": ("openai.audio.transcriptions", {"model": "whisper", "file": SOUND}),
    "a batch": (
        "openai.batches",
        {
            "input_file_id": "file_1",
            "endpoint": "/v1/responses",
            "completion_window": "24h",
        },
    ),
    "a response in the background": (
        "openai.responses",
        {"model": "tiny", "input": "Why?", "background": True},
    ),
    "a conversation": (
        "openai.responses",
        {"model": "tiny", "input": "Why?", "previous_response_id": "resp_1"},
    ),
    "a batch of messages": (
        "anthropic.messages.batches",
        {"requests": [{"custom_id": "1", "params": MESSAGE}]},
    ),
}


def find(sdk: Any, path: str) -> Any:
    """Return a part of the SDKs' clients by its path; ``None`` without the client."""
    part = sdk
    for name in path.split("."):
        part = None if part is None else getattr(part, name)
    return part


@each_way
async def test_a_hit_has_all_bytes_of_the_response(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        for name, (path, arguments) in KEPT.items():
            part = find(sdk, path)
            if part is None:  # over httpx, which Anthropic's SDK does not accept
                continue
            create = part.with_raw_response.create
            responses = [await sdk.call(create, **arguments) for _ in range(2)]
            contents = [each.http_response.content for each in responses]
            assert contents[0] == contents[1], name
            assert [each.headers["x-aiocache-pe"] for each in responses] == ["miss", "hit"], name
            parsed = [await sdk.call(each.parse) for each in responses]
            assert parsed[0] == parsed[1], name
        if sdk.anthropic is not None:
            count = sdk.anthropic.messages.count_tokens
            counts = [await sdk.call(count, **CHAT) for _ in range(2)]
            assert counts[0] == counts[1]
        kept = len(KEPT) - (0 if sdk.anthropic else 2)
    assert len(server.requests) == kept + bool(sdk.anthropic)


@each_way
async def test_other_requests_are_sent_each_time(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        for name, (path, arguments) in SENT.items():
            part = find(sdk, path)
            if part is None:
                continue
            server.requests.clear()
            for _ in range(2):
                await sdk.call(part.create, **arguments)
            assert len(server.requests) == 2, name
    assert (await files.get_stats()).total_entries == 0


@each_way
async def test_a_transcription_is_kept_with_cacheable(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    def cacheable(request: Any) -> bool:
        return bool(request.url.path.endswith("/audio/transcriptions"))

    async with open_client(way, files, server, cacheable=cacheable) as sdk:
        create = sdk.openai.audio.transcriptions.create
        texts = [await sdk.call(create, model="whisper", file=SOUND) for _ in range(2)]
        louder = ("sound.wav", b"RIFFsound!", "audio/wav")
        await sdk.call(create, model="whisper", file=louder)
    assert texts[0] == texts[1]
    assert len(server.requests) == 2


class GeminiClient:
    """Google's client over a caching client, async or blocking."""

    def __init__(self, way: str, cache: CacheManager, server: ModelServer) -> None:
        kind, _, library = way.partition(" ")
        self._is_async = kind == "async"
        make = LIBRARIES[library][1].cached_client
        name = "httpx_async_client" if self._is_async else "httpx_client"
        if not self._is_async:
            make = LIBRARIES[library][1].cached_sync_client
        self.http = make(cache)
        options = genai.types.HttpOptions(base_url=server.url, **{name: self.http})
        client = genai.Client(api_key="very-secret-key", http_options=options)
        self.models = client.aio.models if self._is_async else client.models

    async def call(self, name: str, **arguments: Any) -> Any:
        """Return the answer of a call, or the parts of a stream."""
        function = getattr(self.models, name)
        if not self._is_async:
            return await asyncio.to_thread(lambda: _gather(function(**arguments)))
        answer = await function(**arguments)
        return [part async for part in answer] if hasattr(answer, "__aiter__") else answer

    async def close(self) -> None:
        closing = self.http.aclose() if self._is_async else self.http.close()
        if closing is not None:
            await closing


def _gather(answer: Any) -> Any:
    return list(answer) if inspect.isgenerator(answer) else answer


@each_way
async def test_hits_of_googles_sdk_equal_the_response(way: str, server: ModelServer) -> None:
    prices = {"tiny": Price(input=1, output=10)}
    async with CacheManager("memory", prices=prices) as cache:
        client = GeminiClient(way, cache, server)
        structured = {"response_mime_type": "application/json", "response_schema": Answer}
        tools = {"tools": [{"function_declarations": [{"name": "weather"}]}]}
        calls: dict[str, tuple[str, dict[str, Any]]] = {
            "text": ("generate_content", {"contents": "What is love?"}),
            "tools": ("generate_content", {"contents": "What is love?", "config": tools}),
            "structured": ("generate_content", {"contents": "Love?", "config": structured}),
            "stream": ("generate_content_stream", {"contents": "What is love?"}),
            "embedding": ("embed_content", {"contents": ["a", "b"]}),
        }
        for name, (call, arguments) in calls.items():
            first, second = [await client.call(call, model="tiny", **arguments) for _ in range(2)]
            assert _dump(first) == _dump(second), name
        assert len(server.requests) == len(calls)
        stats = await cache.get_stats()
        await client.close()
    assert (stats.hits, stats.input_tokens_saved, stats.output_tokens_saved) == (5, 28, 32)
    assert stats.money_saved == pytest.approx((28 + 320) / 1e6)


def _dump(answer: Any) -> str:
    parts = answer if isinstance(answer, list) else [answer]
    return json.dumps(
        [each.model_dump(mode="json", exclude={"sdk_http_response"}) for each in parts]
    )
