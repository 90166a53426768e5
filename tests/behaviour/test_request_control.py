"""Requests that control the cache by a header, and partitions of the cache."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from aiocache_pe import CacheManager, ConfigurationError, recording
from aiocache_pe.integrations.httpx import cached_client, cached_sync_client
from aiocache_pe.testing.fake_clock import FakeClock
from examples.llmserver.server import ModelServer
from tests.support.polling import poll
from tests.support.sdk_clients import CHAT, WAYS, Client, open_client

each_way = pytest.mark.parametrize("way", WAYS)
each_form = pytest.mark.parametrize("stream", [False, True])


def control(text: str) -> dict[str, Any]:
    return {"extra_headers": {"X-Aiocache-PE": text}}


async def ask(sdk: Client, *, stream: bool, **more: Any) -> Any:
    create = sdk.openai.chat.completions.create
    call = sdk.read_stream if stream else sdk.call
    return await call(create, **CHAT, **more)


@each_way
@each_form
async def test_a_header_controls_one_request_and_is_not_sent(
    way: str, stream: bool, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        first = await ask(sdk, stream=stream)
        assert await ask(sdk, stream=stream, **control("bypass")) != first  # another id
        assert await ask(sdk, stream=stream) == first
        newer = await ask(sdk, stream=stream, **control(" Refresh "))
        assert newer != first
        assert await ask(sdk, stream=stream) == newer
        assert await ask(sdk, stream=stream, **control("ttl=5")) == newer
    assert len(server.requests) == 3
    assert not any("x-aiocache-pe" in headers for headers in server.headers)


@each_way
@each_form
async def test_a_header_sets_the_lifetime_of_the_answer(
    way: str, stream: bool, cache_dir: Path, server: ModelServer
) -> None:
    clock = FakeClock()
    async with (
        CacheManager(directory=cache_dir, clock=clock) as cache,
        open_client(way, cache, server, ttl=1000) as sdk,
    ):
        for text, seconds in (("ttl=60", 60), ("refresh, ttl=1h30m", 5400), ("ttl=0.5", 0.5)):
            await ask(sdk, stream=stream, **control(text))
            [key] = [key async for key in cache.keys("*")]
            assert await cache.get_ttl(key) == pytest.approx(seconds)
            clock.advance(seconds + 1 if text != "ttl=60" else 1)
    assert len(server.requests) == 3


@each_way
@pytest.mark.parametrize(
    "text",
    [
        *("", "refresh=1", "ttl", "ttl=", "ttl=0", "ttl=-5", "ttl=soon", "ttl=nan"),
        *("bypass, refresh", "bypass, ttl=5", "ttl=5, ttl=6", "refresh,", "no-cache", "ttl=5;"),
    ],
)
async def test_an_invalid_header_is_an_error_and_is_not_sent(
    way: str, text: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(way, memory, server) as sdk:
        with pytest.raises(openai.BadRequestError, match="the request header x-aiocache-pe must"):
            await ask(sdk, stream=False, **control(text))
        with (
            recording(tmp_path, "record"),
            pytest.raises(openai.BadRequestError, match='must be "bypass", "refresh" or'),
        ):
            await ask(sdk, stream=True, **control(text))
    assert server.requests == []


@each_way
async def test_requests_of_all_kinds_are_sent_without_the_header(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    async with open_client(way, memory, server) as sdk:
        models = sdk.openai.models.list
        for text in ("bypass", "refresh"):
            with pytest.raises(openai.APIStatusError):  # the server has no such path
                await sdk.call(models, **control(text))
        if sdk.anthropic is not None:
            create = sdk.anthropic.messages.create
            for _ in range(2):
                await sdk.call(create, max_tokens=9, **CHAT, **control("refresh"))
            assert len(server.requests) == 2
        with recording(tmp_path, "record"):
            await ask(sdk, stream=False, **control("bypass"))
        with recording(tmp_path):
            await ask(sdk, stream=False, **control("refresh"))
    assert len(list(tmp_path.iterdir())) == 1
    assert not any("x-aiocache-pe" in headers for headers in server.headers)


@pytest.mark.parametrize("way", ["async", "blocking"])
async def test_langchain_passes_the_header_on(
    way: str, memory: CacheManager, server: ModelServer
) -> None:
    langchain = pytest.importorskip("langchain_openai")
    async with cached_client(memory) as for_tasks:
        with cached_sync_client(memory) as for_threads:
            model = langchain.ChatOpenAI(
                model="tiny",
                api_key="k",
                base_url=f"{server.url}/v1",
                http_client=for_threads,
                http_async_client=for_tasks,
            )
            invoke: Any = model.ainvoke
            if way == "blocking":
                invoke = partial(asyncio.to_thread, model.invoke)
            for text in ("ttl=60", "refresh", "refresh", "bypass"):
                await invoke("Why?", **control(text))
                await invoke("Why?")
    assert len(server.requests) == 4
    assert not any("x-aiocache-pe" in headers for headers in server.headers)


async def test_the_header_holds_after_a_redirect(memory: CacheManager) -> None:
    sent = list[httpx.Headers]()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        if request.url.host == "old":
            return httpx.Response(307, headers={"location": "http://new/v1/chat/completions"})
        choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=True)
    async with cached_client(memory, client=client) as http:
        origins = [
            (await http.post("http://old/v1/chat/completions", json={}, headers=headers)).headers
            for headers in ({}, {"x-aiocache-pe": "refresh"}, {})
        ]
    assert [each["x-aiocache-pe"] for each in origins] == ["miss", "miss", "hit"]
    assert len(sent) == 5  # the first server is asked each time
    assert not any("x-aiocache-pe" in headers for headers in sent)


@each_way
@each_form
async def test_partitions_share_no_answers_and_their_names_are_not_stored(
    way: str, stream: bool, files: CacheManager, server: ModelServer, cache_dir: Path
) -> None:
    def partition(request: Any) -> str:
        return str(request.headers["authorization"])

    async with open_client(way, files, server, partition=partition) as sdk:
        clients = [
            Client(sdk.openai.with_options(api_key=f"key-of-{name}"), None) for name in ("a", "b")
        ]
        answers = [await ask(client, stream=stream) for client in clients * 2]
        assert answers[:2] == answers[2:]
        assert answers[0] != answers[1]
        assert len(server.requests) == 2
        server.gate.clear()
        asked = [
            asyncio.create_task(ask(client, stream=stream, temperature=1)) for client in clients * 3
        ]
        await poll(lambda: len(server.requests) == 4, deadline=60)
        server.gate.set()
        answers = await asyncio.gather(*asked)
        assert answers[0::2] == [answers[0]] * 3
        assert answers[1::2] == [answers[1]] * 3
        assert answers[0] != answers[1]
    assert {headers["authorization"] for headers in server.headers} == {
        "Bearer key-of-a",
        "Bearer key-of-b",
    }
    await files.close()
    for path in cache_dir.rglob("*"):
        assert "key-of" not in str(path)
        assert not path.is_file() or b"key-of" not in path.read_bytes()


@each_way
async def test_a_recording_does_not_depend_on_the_partition(
    way: str, memory: CacheManager, server: ModelServer, tmp_path: Path
) -> None:
    accounts = iter(("mine", "none"))
    async with open_client(way, memory, server, partition=lambda _: next(accounts)) as sdk:
        with recording(tmp_path, "record"):
            first = await ask(sdk, stream=False)
        with recording(tmp_path):
            assert await ask(sdk, stream=False) == first


def test_a_partition_is_a_function(memory: CacheManager) -> None:
    async def partition(request: Any) -> str:
        return "a"

    for wrong in (partition, "tenant"):
        with pytest.raises((ConfigurationError, TypeError), match="partition"):
            cached_client(memory, partition=wrong)


async def test_a_partition_without_an_identity_is_refused(
    memory: CacheManager, server: ModelServer
) -> None:
    async with cached_client(memory, partition=lambda _: object()) as http:
        with pytest.raises(TypeError, match="partition="):
            await http.post(f"{server.url}/v1/chat/completions", json=CHAT)
    assert server.requests == []
