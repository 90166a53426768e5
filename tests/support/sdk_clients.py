"""The official SDKs over both versions of httpx, async and blocking, with one interface."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from aiocache_pe import CacheManager
from aiocache_pe.integrations import httpx as over_httpx
from aiocache_pe.integrations import httpx2 as over_httpx2
from examples.llmserver.server import ModelServer
from tests.support.sdk_fixtures import API_KEY

LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, over_httpx),
    "httpx2": (httpx2, over_httpx2),
}
WAYS = [f"{way} {library}" for library in LIBRARIES for way in ("async", "blocking")]
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "What is love?"}]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ANTHROPIC_TOOL = {"name": "weather", "input_schema": {"type": "object"}}


class Answer(BaseModel):
    """The structure of an answer that is requested in a structured form."""

    title: str
    number: int


class Client:
    """The clients of the SDKs, async or blocking; every call of them is awaited."""

    def __init__(self, openai: Any, anthropic: Any) -> None:
        self.openai = openai
        self.anthropic = anthropic

    async def call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Return the result of a call; a blocking call is made in a thread."""
        result = await asyncio.to_thread(call, **arguments)
        return await result if inspect.isawaitable(result) else result

    async def read_stream(self, call: Callable[..., Any], **arguments: Any) -> list[Any]:
        """Return the chunks of a call's stream."""
        stream = await self.call(call, stream=True, **arguments)
        if hasattr(stream, "__aiter__"):
            return [chunk async for chunk in stream]
        return await asyncio.to_thread(list, stream)

    async def gather_stream(self, helper: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Return the answer that an SDK's own helper assembles from a stream."""
        final = "get_final_response" if "input" in arguments else "get_final_message"
        manager = helper(**arguments)
        if hasattr(manager, "__aenter__"):
            async with manager as stream:
                return await getattr(stream, final)()

        def gather() -> Any:
            with manager as stream:
                return getattr(stream, final)()

        return await asyncio.to_thread(gather)

    def list_calls(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        """Return calls that are not streams, with their arguments, by name."""
        chat = self.openai.chat.completions
        calls: dict[str, tuple[Any, dict[str, Any]]] = {
            "chat": (chat.create, CHAT),
            "tools": (chat.create, CHAT | {"tools": [TOOL]}),
            "structured": (chat.parse, CHAT | {"response_format": Answer}),
            "embeddings": (self.openai.embeddings.create, {"model": "e", "input": ["a", "b"]}),
            "responses": (self.openai.responses.create, {"model": "tiny", "input": "Why?"}),
        }
        if self.anthropic is not None:
            message = CHAT | {"max_tokens": 100}
            create = self.anthropic.messages.create
            calls |= {
                "messages": (create, message),
                "message tools": (create, message | {"tools": [ANTHROPIC_TOOL]}),
            }
        return calls


@asynccontextmanager
async def open_client(
    way: str, cache: CacheManager, server: ModelServer, **settings: Any
) -> AsyncGenerator[Client]:
    """Yield a client that sends its requests through a caching transport.

    Args:
        way: one of `WAYS`.
        cache: the cache.
        server: the model server.
        settings: settings of the transport.
    """
    kind, _, name = way.partition(" ")
    library, integration = LIBRARIES[name]
    common: dict[str, Any] = {"api_key": API_KEY, "max_retries": 0}
    if kind == "async":
        transport = integration.AsyncCacheTransport(cache, **settings)
        async with library.AsyncClient(transport=transport) as http:
            common["http_client"] = http
            async_openai = AsyncOpenAI(base_url=f"{server.url}/v1", **common)
            yield Client(async_openai, _make_anthropic(AsyncAnthropic, name, server, common))
    else:
        transport = integration.CacheTransport(cache, **settings)
        with library.Client(transport=transport) as http:
            common["http_client"] = http
            openai = OpenAI(base_url=f"{server.url}/v1", **common)
            yield Client(openai, _make_anthropic(Anthropic, name, server, common))


def _make_anthropic(kind: Any, library: str, server: ModelServer, common: dict[str, Any]) -> Any:
    """Return Anthropic's client; ``None`` over httpx, which its SDK does not accept."""
    return kind(base_url=server.url, **common) if library == "httpx2" else None
