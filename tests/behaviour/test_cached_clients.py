"""Clients that cache: everything but the origin of a response is as without the cache."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from aiocache_pe import CacheManager, ConfigurationError
from aiocache_pe.integrations import httpx as for_httpx
from aiocache_pe.integrations import httpx2 as for_httpx2
from aiocache_pe.integrations.httpx2 import (
    AsyncCacheTransport,
    cached_client,
    cached_sync_client,
)
from examples.llmserver.server import ModelServer
from tests.support.sdk_clients import CHAT, LIBRARIES

each_way = pytest.mark.parametrize("way", ["async", "blocking"])
each_library = pytest.mark.parametrize("name", LIBRARIES)
CHOICE = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
STREAM = (
    b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


class Handler(BaseHTTPRequestHandler):
    """Answers to every request, also to those for a proxy; some are redirected."""

    protocol_version = "HTTP/1.1"
    lines: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.lines.append(self.path)
        if "/old/" in self.path:
            self.send_response(307, "Moved")
            self.send_header("location", self.path.replace("/old/", "/v1/"))
            self.send_header("content-length", "0")
            self.end_headers()
            return
        content = STREAM if b"stream" in body else CHOICE
        kind = "text/event-stream" if b"stream" in body else "application/json"
        self.send_response(200, "Fine")
        self.wfile.flush()
        self.send_header("content-type", kind)
        self.send_header("x-request-id", "r\u00e9q")  # sent as Latin-1
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


@contextmanager
def run_server() -> Generator[tuple[str, list[str]]]:
    """Run a server; yield its URL and the targets of its requests."""
    lines = list[str]()
    handler = type("RecordingHandler", (Handler,), {"lines": lines})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", lines
        server.shutdown()
        thread.join()


async def post(
    way: str, name: str, cache: CacheManager, url: str, times: int = 2, **options: Any
) -> list[Any]:
    """Send a request several times through a new client; return the responses."""
    integration = LIBRARIES[name][1]
    body = options.pop("body", {})
    if way == "async":
        async with integration.cached_client(cache, **options) as client:
            return [await client.post(url, json=body) for _ in range(times)]

    def post_blocking() -> list[Any]:
        with integration.cached_sync_client(cache, **options) as client:
            return [client.post(url, json=body) for _ in range(times)]

    return await asyncio.to_thread(post_blocking)


@each_way
@each_library
@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_has_its_headers_its_reason_its_version_and_its_duration(
    way: str, name: str, stream: bool, memory: CacheManager
) -> None:
    with run_server() as (url, lines):
        body = {"stream": True} if stream else {}
        responses = await post(way, name, memory, f"{url}/v1/chat/completions", body=body)
    assert lines == ["/v1/chat/completions"]
    assert [each.headers["x-aiocache-pe"] for each in responses] == ["miss", "hit"]
    for response in responses:
        assert response.content == (STREAM if stream else CHOICE)
        assert (response.http_version, response.reason_phrase) == ("HTTP/1.1", "Fine")
        assert response.elapsed.total_seconds() > 0
        assert dict(response.headers.raw)[b"x-request-id"] == b"r\xe9q"


@each_way
@each_library
async def test_redirects_are_followed(way: str, name: str, memory: CacheManager) -> None:
    with run_server() as (url, lines):
        responses = await post(way, name, memory, f"{url}/old/chat/completions")
    assert [each.content for each in responses] == [CHOICE] * 2
    assert [len(each.history) for each in responses] == [1, 1]
    assert lines.count("/v1/chat/completions") == 1


@each_way
@each_library
@pytest.mark.parametrize("source", ["environment", "options", "mounted client"])
async def test_requests_through_a_proxy_are_cached(
    way: str, name: str, source: str, memory: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LIBRARIES[name][0]
    with run_server() as (proxy, lines):
        settings: dict[str, Any] = {}
        if source == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy)
            monkeypatch.setenv("NO_PROXY", "")
        elif source == "options":
            settings["options"] = {"proxy": proxy}
        else:
            kind = library.AsyncClient if way == "async" else library.Client
            settings["client"] = kind(proxy=proxy)
        url = "http://model.invalid/v1/chat/completions"
        responses = await post(way, name, memory, url, **settings)
    assert [each.content for each in responses] == [CHOICE] * 2
    assert lines == [url]


async def test_an_sdk_keeps_its_own_time_outs_and_limits(
    memory: CacheManager, server: ModelServer
) -> None:
    url, key = f"{server.url}/v1", "k"
    async with AsyncOpenAI(http_client=cached_client(memory), base_url=url, api_key=key) as sdk:
        for _ in range(2):
            await sdk.chat.completions.create(**CHAT)
        assert sdk.timeout == AsyncOpenAI(base_url=url, api_key=key).timeout
    blocking = OpenAI(http_client=cached_sync_client(memory), base_url=url, api_key=key)
    with blocking:
        await asyncio.to_thread(lambda: blocking.chat.completions.create(**CHAT))
    assert len(server.requests) == 1


def test_a_client_is_given_alone_and_is_a_client_of_the_library(memory: CacheManager) -> None:
    with httpx2.Client() as client, pytest.raises(ConfigurationError, match="together with"):
        cached_sync_client(memory, client=client, options={"http2": True})
    with pytest.raises(ConfigurationError, match=r"must be a httpx2.Client; got str"):
        cached_sync_client(memory, client="client")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="no setting 'lifetime'; use ttl="):
        cached_client(memory, lifetime=5)
    transport: Any = AsyncCacheTransport(memory)
    with pytest.raises(ConfigurationError, match=r"got the transport Async.*pass cached_client\("):
        AsyncOpenAI(http_client=transport, api_key="k")


def list_wrong_pairs() -> list[tuple[str, str, str, str]]:
    """Return the names of libraries, clients, modules and transports that do not fit together."""
    names = ("httpx", "httpx2")
    return [
        (library, f"{kind}Client", module, f"{transport_kind}CacheTransport")
        for library in names
        for kind in ("", "Async")
        for module in names
        for transport_kind in ("", "Async")
        if (library, kind) != (module, transport_kind)
    ]


@pytest.mark.parametrize("entered", [False, True])
@pytest.mark.parametrize("pair", list_wrong_pairs(), ids=" ".join)
async def test_a_wrong_pair_of_transport_and_client_names_both_and_the_right_one(
    pair: tuple[str, str, str, str], entered: bool, memory: CacheManager
) -> None:
    library, client, module, transport = pair
    entered = entered and library == module  # before a request, the client's library is unknown
    modules: dict[str, Any] = {"httpx": for_httpx, "httpx2": for_httpx2}
    kind: Any = getattr({"httpx": httpx, "httpx2": httpx2}[library], client)
    used = kind(transport=getattr(modules[module], transport)(memory))

    async def post() -> None:
        if client == "Client":
            with used if entered else nullcontext():
                used.post("http://127.0.0.1:9/v1/chat/completions", json=CHAT)
        else:
            async with used if entered else nullcontext():
                await used.post("http://127.0.0.1:9/v1/chat/completions", json=CHAT)

    prefix = "aiocache_pe.integrations"
    refused = f"^{transport} of {prefix}.{module} must not be the transport of {library}.{client};"
    with pytest.raises(ConfigurationError, match=f"{refused} .*use the one of {prefix}.{library}$"):
        await post()


def test_an_inner_transport_and_a_client_of_another_kind_are_refused(memory: CacheManager) -> None:
    wrong: Any = httpx2.HTTPTransport()
    other: Any = httpx.AsyncHTTPTransport()
    for inner, got in ((wrong, "httpx2.HTTPTransport"), (other, "httpx.AsyncHTTPTransport")):
        with pytest.raises(ConfigurationError, match=f"such as httpx2.AsyncHTTP.*; got {got}"):
            AsyncCacheTransport(memory, transport=inner)
    client: Any = httpx2.Client()
    with pytest.raises(
        ConfigurationError, match=r"a httpx2.AsyncClient; got httpx2.Client; .*sync"
    ):
        cached_client(memory, client=client)
