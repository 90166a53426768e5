"""Answers that the transports keep: only those that are known to be whole and right."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiocache_pe import CacheManager
from aiocache_pe.integrations.httpx import AsyncCacheTransport, CacheTransport
from tests.support.scale import is_full_run, report

LIMIT_SECONDS = 0.005  # for which a hit may keep other tasks from running
PARTS = [
    {
        "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 7},
    }
    for text in ("Once", " upon", " a time")
]
EVENTS = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in PARTS]
GEMINI = "http://model/v1beta/models/m:streamGenerateContent"


class Chunks(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A body in chunks; the connection may break after the last one."""

    def __init__(self, chunks: list[bytes], error: Exception | None) -> None:
        self._chunks, self._error = chunks, error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class Server:
    """Answers that are given in turn, and the number of requests."""

    def __init__(self, *responses: httpx.Response) -> None:
        self.responses = list(responses)
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return self.responses.pop(0)


def make_stream(
    chunks: list[bytes], kind: str = "text/event-stream", error: Exception | None = None
) -> httpx.Response:
    headers = {"content-type": kind, "transfer-encoding": "chunked"}
    return httpx.Response(200, headers=headers, stream=Chunks(chunks, error))


async def ask(
    way: str, cache: CacheManager, server: Server, *, url: str, read: int | None = None, **body: Any
) -> list[bytes]:
    """Send a request; return the chunks of the answer, at most ``read`` of them."""
    inner = httpx.MockTransport(server)
    if way == "async":
        async with (
            httpx.AsyncClient(transport=AsyncCacheTransport(cache, transport=inner)) as http,
            http.stream("POST", url, json=body) as response,
        ):
            chunks = []
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)
                if len(chunks) == read:
                    break
            return chunks

    def ask_blocking() -> list[bytes]:
        with (
            httpx.Client(transport=CacheTransport(cache, transport=inner)) as http,
            http.stream("POST", url, json=body) as response,
        ):
            chunks = []
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                if len(chunks) == read:
                    break
            return chunks

    return await asyncio.to_thread(ask_blocking)


each_way = pytest.mark.parametrize("way", ["async", "blocking"])


@each_way
async def test_a_stream_that_was_closed_or_cut_after_a_finish_reason_is_not_kept(
    way: str, memory: CacheManager
) -> None:
    cut = make_stream(EVENTS[:2], error=httpx.ReadError("the connection broke"))
    server = Server(make_stream(EVENTS), cut, make_stream(EVENTS))
    assert await ask(way, memory, server, url=GEMINI, read=1) == EVENTS[:1]
    with pytest.raises(httpx.ReadError):
        await ask(way, memory, server, url=GEMINI)
    assert await ask(way, memory, server, url=GEMINI) == EVENTS
    assert server.requests == 3
    assert b"".join(await ask(way, memory, server, url=GEMINI)) == b"".join(EVENTS)
    assert server.requests == 3


@each_way
async def test_a_stream_without_a_sign_of_its_end_is_not_kept(
    way: str, memory: CacheManager
) -> None:
    def make_unframed() -> httpx.Response:
        response = make_stream(EVENTS)
        del response.headers["transfer-encoding"]
        return response

    server = Server(make_unframed(), make_unframed())
    for _ in range(2):
        assert await ask(way, memory, server, url=GEMINI) == EVENTS
    assert server.requests == 2


@each_way
async def test_a_stream_that_is_a_json_array_is_kept(way: str, memory: CacheManager) -> None:
    chunks = [b"[" + json.dumps(PARTS[0]).encode(), b",\n" + json.dumps(PARTS[1]).encode(), b"]"]
    server = Server(make_stream(chunks, "application/json"))
    for _ in range(2):
        assert b"".join(await ask(way, memory, server, url=GEMINI)) == b"".join(chunks)
    assert server.requests == 1


@each_way
async def test_the_reason_for_not_keeping_an_answer_is_logged_at_debug(
    way: str, memory: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="aiocache_pe")
    answer = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "error"}]}
    server = Server(*(httpx.Response(200, json=answer) for _ in range(2)), httpx.Response(503))
    url = "http://model/v1/chat/completions"
    for _ in range(3):
        await ask(way, memory, server, url=url, model="m")
    assert server.requests == 3
    lines = [record.getMessage() for record in caplog.records if "not stored" in record.message]
    assert len(lines) == 3
    assert "model/v1/chat/completions m" in lines[0]
    assert "Invalid enum value 'error' - at `$.choices[0].finish_reason`" in lines[0]
    assert "503" in lines[2]


def make_response(**more: Any) -> httpx.Response:
    item = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    answer = {"object": "response", "status": "completed", "output": [item]}
    return httpx.Response(200, json=answer | more)


@each_way
@pytest.mark.parametrize(
    "state",
    [
        {"conversation": "c"},
        {"previous_response_id": "r"},
        {"container": "c"},
        {"background": True},
    ],
)
async def test_an_answer_of_a_conversation_on_the_server_is_not_kept(
    way: str, state: dict[str, Any], memory: CacheManager
) -> None:
    server = Server(*(make_response() for _ in range(4)))
    url = "http://model/v1/responses"
    for stream in (False, True):
        for _ in range(2):
            await ask(way, memory, server, url=url, input="Why?", stream=stream, **state)
    assert server.requests == 4


@each_way
async def test_cacheable_may_choose_any_request(way: str, memory: CacheManager) -> None:
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/models", {}),
        ("GET", "/v1/files?limit=2", {"headers": {"accept": "text/event-stream"}}),
        ("POST", "/v1/audio/transcriptions", {"files": {"file": b"\xff\x00"}}),
        ("POST", "/v1/audio", {"content": b"\xff", "headers": {"content-type": "audio/wav"}}),
        ("POST", "/v1/search", {"json": [1, 2]}),
    ]
    server = Server(*(httpx.Response(200, content=b"\xffsound") for _ in calls))
    inner = httpx.MockTransport(server)

    def send_all() -> list[bytes]:
        transport = CacheTransport(memory, transport=inner, cacheable=lambda request: True)
        with httpx.Client(transport=transport) as http:
            return [
                http.request(name, f"http://m{path}", **more).content for name, path, more in calls
            ]

    async def send_all_async() -> list[bytes]:
        transport = AsyncCacheTransport(memory, transport=inner, cacheable=lambda request: True)
        async with httpx.AsyncClient(transport=transport) as http:
            return [
                (await http.request(name, f"http://m{path}", **more)).content
                for name, path, more in calls
            ]

    for _ in range(2):
        contents = await (send_all_async() if way == "async" else asyncio.to_thread(send_all))
        assert contents == [b"\xffsound"] * len(calls)
    assert server.requests == len(calls)


@pytest.mark.parametrize("settings", [{}, {"memory_max_bytes": 0}], ids=["tier", "no tier"])
async def test_a_hit_of_a_long_stream_lets_other_tasks_run(
    cache_dir: Path, settings: dict[str, Any]
) -> None:
    chunk = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
    end = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    server = Server(make_stream([chunk] * 20_000 + [end]))
    url = "http://model/v1/chat/completions"
    turns = list[float]()

    async def note_turns() -> None:
        while True:
            turns.append(time.thread_time())
            await asyncio.sleep(0)

    async with CacheManager(directory=cache_dir, **settings) as cache:
        await ask("async", cache, server, url=url, stream=True)
        noting = asyncio.create_task(note_turns())
        began = time.perf_counter()
        chunks = await ask("async", cache, server, url=url, stream=True)
        seconds = time.perf_counter() - began
        noting.cancel()
    assert chunks == [chunk] * 20_000 + [end]
    assert server.requests == 1
    assert len(turns) >= 5
    longest = max(later - earlier for earlier, later in pairwise(turns))
    report(
        f"{settings}: {seconds / len(chunks) * 1e6:.1f} us a chunk, other tasks waited for "
        f"{longest * 1e3:.1f} ms of computing at most"
    )
    if is_full_run():
        assert longest < LIMIT_SECONDS
