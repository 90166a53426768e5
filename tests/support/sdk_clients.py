"""The official SDKs over both versions of httpx, async and blocking, called in one way."""

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


class Client:
    """An SDK's client, async or not; what is asked of it may be awaited either way."""

    def __init__(self, openai: Any, anthropic: Any) -> None:
        self.openai = openai
        self.anthropic = anthropic

    async def call(self, call: Callable[..., Any], **asked: Any) -> Any:
        """A call's result; a blocking one is made in a thread."""
        result = await asyncio.to_thread(call, **asked)
        return await result if inspect.isawaitable(result) else result

    async def read_stream(self, call: Callable[..., Any], **asked: Any) -> list[Any]:
        """A call's stream, to its end."""
        stream = await self.call(call, stream=True, **asked)
        if hasattr(stream, "__aiter__"):
            return [chunk async for chunk in stream]
        return await asyncio.to_thread(list, stream)

    async def gather_stream(self, helper: Callable[..., Any], asked: dict[str, Any]) -> Any:
        """What an SDK's own helper makes of a stream that it reads to its end."""
        final = "get_final_response" if "input" in asked else "get_final_message"
        manager = helper(**asked)
        if hasattr(manager, "__aenter__"):
            async with manager as stream:
                return await getattr(stream, final)()

        def gather() -> Any:
            with manager as stream:
                return getattr(stream, final)()

        return await asyncio.to_thread(gather)


@asynccontextmanager
async def open_client(
    way: str, cache: CacheManager, server: ModelServer, **settings: Any
) -> AsyncGenerator[Client]:
    """A client that is cached."""
    waiting, _, name = way.partition(" ")
    library, ours = LIBRARIES[name]
    told: dict[str, Any] = {"api_key": API_KEY, "max_retries": 0}
    if waiting == "async":
        transport = ours.AsyncCacheTransport(cache, **settings)
        async with library.AsyncClient(transport=transport) as http:
            told["http_client"] = http
            of_openai = AsyncOpenAI(base_url=f"{server.url}/v1", **told)
            yield Client(of_openai, _anthropic(AsyncAnthropic, name, server, told))
    else:
        transport = ours.CacheTransport(cache, **settings)
        with library.Client(transport=transport) as http:
            told["http_client"] = http
            of_openai_too = OpenAI(base_url=f"{server.url}/v1", **told)
            yield Client(of_openai_too, _anthropic(Anthropic, name, server, told))


def _anthropic(kind: Any, library: str, server: ModelServer, told: dict[str, Any]) -> Any:
    """Anthropic's client; ``None`` over httpx, which its SDK refuses."""
    return kind(base_url=server.url, **told) if library == "httpx2" else None
