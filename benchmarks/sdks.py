"""The official SDKs over the cache, first asked and asked again: ``python -m benchmarks.sdks``.

Each call is made twice, through the transport, to a model server on this machine. Told are
the requests that reached the server, the bytes that the SDK was given, whether they were the
same the second time, and the time of both. At the end the cache's files, and all that was
logged, are searched for the API key. It needs the group ``test``, which has the SDKs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import anyio
import httpx2
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from aiocache_pe import CacheManager
from aiocache_pe.integrations.httpx2 import AsyncCacheTransport, CacheTransport
from examples.llmserver.server import ModelServer, model_server

API_KEY = "sk-a-secret-that-must-be-nowhere-0123456789"
SECONDS = 0.05  # that the server thinks before each answer
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "What is love?"}]}
MESSAGE = CHAT | {"max_tokens": 100}
ASKED: dict[str, Any] = {"model": "tiny", "input": "What is love?"}
TOOLS: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
}
NAMED_TOOLS: dict[str, Any] = {"tools": [{"name": "weather", "input_schema": {"type": "object"}}]}
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {"type": "object", "properties": {"title": {}, "number": {}}},
    },
}


class Call(NamedTuple):
    """A call of an SDK: by which of its resources, and with what."""

    name: str
    sdk: str
    resource: str
    asked: dict[str, Any]


CALLS = [
    Call("chat", "openai", "chat.completions", CHAT),
    Call("tool calls", "openai", "chat.completions", CHAT | TOOLS),
    Call("structured output", "openai", "chat.completions", CHAT | {"response_format": SCHEMA}),
    Call("embeddings", "openai", "embeddings", {"model": "tiny", "input": ["a", "b"]}),
    Call("responses", "openai", "responses", ASKED),
    Call("chat, streamed", "openai", "chat.completions", CHAT | {"stream": True}),
    Call("tool calls, streamed", "openai", "chat.completions", CHAT | TOOLS | {"stream": True}),
    Call("responses, streamed", "openai", "responses", ASKED | {"stream": True}),
    Call("messages", "anthropic", "messages", MESSAGE),
    Call("tool calls", "anthropic", "messages", MESSAGE | NAMED_TOOLS),
    Call("messages, streamed", "anthropic", "messages", MESSAGE | {"stream": True}),
    Call("tool calls, streamed", "anthropic", "messages", MESSAGE | NAMED_TOOLS | {"stream": True}),
]


async def answer(client: Any, call: Call) -> tuple[bytes, str]:
    """The bytes that an SDK gets for a call, and where they are from."""
    resource = client
    for name in call.resource.split("."):
        resource = getattr(resource, name)
    opened = resource.with_streaming_response.create(**call.asked)
    if hasattr(opened, "__aenter__"):
        async with opened as response:
            content = b"".join([chunk async for chunk in response.iter_bytes()])
    else:
        with opened as response:
            content = b"".join(response.iter_bytes())
    return content, response.headers["x-aiocache-pe"]


async def twice(client: Any, call: Call, server: ModelServer) -> str:
    """One line of the table."""
    server.requests.clear()
    began = time.perf_counter()
    first, first_from = await answer(client, call)
    middle = time.perf_counter()
    second, second_from = await answer(client, call)
    end = time.perf_counter()
    same = "equal" if first == second and first else "DIFFER"
    return (
        f"{len(server.requests):9} {len(first):7,} {first_from:>6} {second_from:>6} {same:>7} "
        f"{1000 * (middle - began):9.1f} {1000 * (end - middle):9.1f}"
    )


def clients(cache: CacheManager, server: ModelServer) -> Iterator[tuple[str, str, Any]]:
    """The way, the SDK and its client, for each of them."""
    told: dict[str, Any] = {"api_key": API_KEY, "max_retries": 0}
    waiting = httpx2.AsyncClient(transport=AsyncCacheTransport(cache, namespace="async"))
    blocking = httpx2.Client(transport=CacheTransport(cache, namespace="blocking"))
    kinds: dict[tuple[str, str], tuple[Callable[..., Any], Any, str]] = {
        ("async", "openai"): (AsyncOpenAI, waiting, f"{server.url}/v1"),
        ("async", "anthropic"): (AsyncAnthropic, waiting, server.url),
        ("blocking", "openai"): (OpenAI, blocking, f"{server.url}/v1"),
        ("blocking", "anthropic"): (Anthropic, blocking, server.url),
    }
    for (way, sdk), (kind, http, url) in kinds.items():
        yield way, sdk, kind(base_url=url, http_client=http, **told)


@contextmanager
def logged() -> Iterator[StringIO]:
    """All that anybody logs in the block, down to the least of it."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def searched(folder: Path, log: str) -> str:
    """Where the API key was found."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = [path for path in files if API_KEY.encode() in path.read_bytes()]
    named = [path for path in files if API_KEY in str(path)]
    lines = log.splitlines()
    telling = [line for line in lines if API_KEY in line]
    return (
        f"the API key: in {len(found)} of {len(files)} files, in {len(named)} of their names, "
        f"in {len(telling)} of {len(lines)} lines logged at level DEBUG"
    )


async def main() -> None:
    """Ask each SDK for everything, twice."""
    title = f"{'SDK':10} {'way':9} {'what':21}"
    print(f"{title} requests   bytes  first second   bytes  first, ms second, ms")
    with TemporaryDirectory() as folder, model_server(SECONDS) as server, logged() as log:
        async with CacheManager(directory=folder) as cache:
            for way, sdk, client in clients(cache, server):
                for call in CALLS:
                    if call.sdk == sdk:
                        line = await twice(client, call, server)
                        print(f"{sdk:10} {way:9} {call.name:21}{line}")
        print(searched(Path(folder), log.getvalue()))


if __name__ == "__main__":
    anyio.run(main)
