"""Callers that send the same request at once: each gets what it would get without the cache."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from aiocache_pe import CacheManager
from aiocache_pe.integrations.httpx import AsyncCacheTransport, CacheTransport
from tests.support.polling import poll

URL = "http://model/v1/chat/completions"
CHOICE = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
STREAM = (
    b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
each_way = pytest.mark.parametrize("way", ["async", "blocking"])
each_form = pytest.mark.parametrize("stream", [False, True])


class GatedServer:
    """Server that holds requests back until it is opened, and knows one key."""

    def __init__(self) -> None:
        self.keys = list[str]()
        self.gate = threading.Event()
        self.error: type[Exception] | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers["authorization"])
        await asyncio.to_thread(self.gate.wait)
        return self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        error, self.error = self.error, None
        if error is not None:
            raise error("the server vanished")
        key = request.headers["authorization"]
        headers = {"set-cookie": f"account={key}", "x-request-id": "r"}
        if key.startswith("bad"):
            return httpx.Response(401, json={"error": key}, headers=headers)
        content, kind = (
            (STREAM, "text/event-stream") if b"stream" in request.content else (CHOICE, "")
        )
        headers["content-type"] = kind or "application/json"
        return httpx.Response(200, content=content, headers=headers)

    def answer_blocking(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers["authorization"])
        self.gate.wait()
        return self.answer(request)


class Callers:
    """Callers over one transport, async or in threads."""

    def __init__(self, way: str, cache: CacheManager, server: GatedServer) -> None:
        self._transport: Any
        if way == "async":
            self._transport = AsyncCacheTransport(cache, transport=httpx.MockTransport(server))
            self._client: Any = httpx.AsyncClient(transport=self._transport)
        else:
            inner = httpx.MockTransport(server.answer_blocking)
            self._client = httpx.Client(transport=CacheTransport(cache, transport=inner))

    async def post(self, key: str, *, stream: bool, seconds: float = 60) -> Any:
        body = {"stream": True} if stream else {}
        headers = {"authorization": key}
        if isinstance(self._client, httpx.AsyncClient):
            return await self._client.post(URL, json=body, headers=headers, timeout=seconds)
        return await asyncio.to_thread(
            self._client.post, URL, json=body, headers=headers, timeout=seconds
        )


async def ask_at_once(callers: Callers, server: GatedServer, keys: list[str], **more: Any) -> Any:
    """Send requests of several accounts, the first of them first; return the results."""
    tasks = [asyncio.create_task(callers.post(keys[0], **more))]
    await poll(lambda: len(server.keys) == 1, deadline=60)
    tasks += [asyncio.create_task(callers.post(key, **more)) for key in keys[1:]]
    for _ in range(50):  # the others may join, or come later: the results are the same
        await asyncio.sleep(0)
    server.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


@each_way
@each_form
async def test_a_failure_of_one_account_is_not_the_answer_of_another(
    way: str, stream: bool, memory: CacheManager
) -> None:
    server = GatedServer()
    keys = ["bad-1", "good", "good", "bad-2", "good"]
    results = await ask_at_once(Callers(way, memory, server), server, keys, stream=stream)
    for key, response in zip(keys, results, strict=True):
        if key == "good":
            assert response.content == (STREAM if stream else CHOICE)
        elif response.status_code == 401:
            assert response.json() == {"error": key}
    assert results[0].status_code == 401
    if not stream:  # a stream may end between a caller's look into the cache and its request
        assert server.keys.count("good") == 1


@each_way
@each_form
async def test_an_error_of_one_connection_is_not_the_answer_of_another(
    way: str, stream: bool, memory: CacheManager
) -> None:
    server = GatedServer()
    server.error = httpx.ReadTimeout
    results = await ask_at_once(Callers(way, memory, server), server, ["k"] * 4, stream=stream)
    assert isinstance(results[0], httpx.ReadTimeout)
    assert [each.content for each in results[1:]] == [STREAM if stream else CHOICE] * 3
    if not stream:  # a stream may end between a caller's look into the cache and its request
        assert len(server.keys) == 2


@each_way
async def test_a_shared_stream_has_no_headers_of_the_other_account(
    way: str, memory: CacheManager
) -> None:
    server = GatedServer()
    keys = ["a", "b", "c"]
    results = await ask_at_once(Callers(way, memory, server), server, keys, stream=True)
    assert results[0].headers["set-cookie"] == "account=a"
    for key, response in zip(keys, results, strict=True):
        # a stream may end between a caller's look into the cache and its request
        assert response.headers.get("set-cookie", f"account={key}") == f"account={key}"
    assert {each.headers["x-request-id"] for each in results} == {"r"}


@each_way
async def test_a_caller_waits_by_its_own_time_out(way: str, memory: CacheManager) -> None:
    server = GatedServer()
    callers = Callers(way, memory, server)
    first = asyncio.create_task(callers.post("k", stream=False))
    await poll(lambda: len(server.keys) == 1, deadline=60)
    with pytest.raises(httpx.ReadTimeout, match="the time-out expired before the answer"):
        await callers.post("k", stream=False, seconds=0.05)
    server.gate.set()
    assert (await first).content == CHOICE
    assert len(server.keys) == 1
