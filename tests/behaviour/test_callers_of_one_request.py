"""Callers that send the same request at once: each gets what it would get without the cache."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from aiocache_pe import CacheManager
from aiocache_pe.integrations.httpx import (
    AsyncCacheTransport,
    CacheTransport,
    cached_client,
    cached_sync_client,
)
from examples.llmserver.server import ModelServer
from tests.support.polling import poll
from tests.support.scale import make_random, report, scale_size

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


@pytest.mark.parametrize(
    ("way", "stream", "is_partitioned"),
    [
        *(("async", False, True), ("async", True, True), ("async", True, False)),
        *(("blocking", False, False), ("blocking", True, True)),
    ],
)
async def test_each_of_many_callers_gets_what_it_would_get_without_the_cache(
    way: str, stream: bool, is_partitioned: bool, memory: CacheManager, server: ModelServer
) -> None:
    """Two accounts, a tenth of the keys invalid, time-outs drawn at random."""
    random = make_random(f"{way} {stream}")
    callers = scale_size(200 if way == "async" else 60)
    # A thread that joins a stream waits by the time-out of the thread that sends the request.
    time_outs = [60.0] if way == "blocking" and stream else [0.1, 0.3, 60, 60, 60, 60]
    requests = [
        (
            random.randrange(callers // 10),
            random.choice(["bad-1", "bad-2"] if random.random() < 0.1 else ["good-1", "good-2"]),
            random.choice(time_outs),
        )
        for _ in range(callers)
    ]
    server.keys = {"good-1", "good-2"}
    server.gate.clear()
    settings: dict[str, Any] = (
        {"partition": lambda request: request.headers["authorization"]} if is_partitioned else {}
    )
    make = cached_client if way == "async" else cached_sync_client
    client: Any = make(memory, **settings)
    executor = ThreadPoolExecutor(callers)

    def ask(question: int, key: str, seconds: float) -> Any:
        messages = [{"role": "user", "content": f"q{question}"}]
        arguments: dict[str, Any] = {
            "json": {"model": "m", "messages": messages, "stream": stream},
            "headers": {"authorization": f"Bearer {key}"},
            "timeout": httpx.Timeout(60, read=seconds),
        }
        post = partial(client.post, f"{server.url}/v1/chat/completions", **arguments)
        if way == "async":
            return post()
        return asyncio.get_running_loop().run_in_executor(executor, post)

    tasks = [asyncio.ensure_future(ask(*each)) for each in requests]
    hurried = [task for task, each in zip(tasks, requests, strict=True) if each[2] < 1]
    if hurried:
        await asyncio.wait(hurried)
    server.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await (client.aclose() if way == "async" else asyncio.to_thread(client.close))
    executor.shutdown()

    bodies: dict[Any, list[bytes]] = {}
    origins = Counter[str]()
    for (question, key, seconds), result in zip(requests, results, strict=True):
        if seconds < 1:
            assert isinstance(result, httpx.ReadTimeout), result
            continue
        assert isinstance(result, httpx.Response), result
        if key.startswith("bad") and (is_partitioned or result.status_code == 401):
            assert result.status_code == 401
            assert result.json()["error"]["message"] == f"Bearer {key}"
            continue
        assert result.status_code == 200
        assert f" {str(question)[::-1]}q" in result.text
        origins[result.headers["x-aiocache-pe"]] += 1
        group = (question, key) if is_partitioned else question
        bodies.setdefault(group, []).append(result.content)
    report(f"{way}, stream {stream}: {callers} calls, {len(server.requests)} requests, {origins}")
    if not stream:  # a stream may end between a caller's look into the cache and its request
        assert all(len(set(each)) == 1 for each in bodies.values())
        assert origins["miss"] == len(bodies)
    assert len(server.requests) < callers


@each_way
async def test_a_caller_waits_by_its_own_time_out(way: str, memory: CacheManager) -> None:
    server = GatedServer()
    callers = Callers(way, memory, server)
    first = asyncio.create_task(callers.post("k", stream=False))
    await poll(lambda: len(server.keys) == 1, deadline=60)
    with pytest.raises(httpx.ReadTimeout, match="time-out expired before the answer"):
        await callers.post("k", stream=False, seconds=0.05)
    server.gate.set()
    assert (await first).content == CHOICE
    assert len(server.keys) == 1


async def test_each_reader_of_a_stream_waits_by_its_own_time_out(memory: CacheManager) -> None:
    may_end, requests = asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await reader.readuntil(b"\r\n\r\n")
        head = f"content-type: text/event-stream\r\ncontent-length: {len(STREAM)}"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + STREAM[:5])
        await may_end.wait()
        writer.write(STREAM[5:])
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        cached_client(memory) as client,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        body = {"stream": True}
        first = asyncio.create_task(client.post(url, json=body, timeout=0.2))
        await poll(lambda: requests == 1, deadline=60)
        others = [
            asyncio.create_task(client.post(url, json=body, timeout=seconds))
            for seconds in (0.1, None, 60)
        ]
        for hurried in (first, others.pop(0)):
            with pytest.raises(httpx.ReadTimeout):
                await hurried
        may_end.set()
        assert [(await each).content for each in others] == [STREAM] * 2
        assert requests == 1
        assert (await client.post(url, json=body)).headers["x-aiocache-pe"] == "hit"
