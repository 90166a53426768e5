"""Secrets in requests to model servers: no file of the library, no file name and no log has one."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from aiocache_pe import CacheManager, SerializationError, UnrecordedCallError, recording
from aiocache_pe.integrations.httpx import AsyncCacheTransport, CacheTransport

SECRETS = {
    "variable": 'a "quoted"/secret',
    "password in a URL": "hunter2hunter2",
    "OpenAI": "sk-proj-4Jd8sKq0zLw91MnB7xYc",
    "Google": "AIzaSyB4c5D6e7F8g9H0i1J2k3L4m5N6o7P8q9R",
    "GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}
each_secret = pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
each_way = pytest.mark.parametrize("way", ["async", "blocking"])
ANSWER: dict[str, Any] = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that contain the first two secrets."""
    monkeypatch.setenv("SOME_API_KEY", SECRETS["variable"])
    monkeypatch.setenv("STORE_URL", f"db://user:{SECRETS['password in a URL']}@host/name")


def answer(request: httpx.Request) -> httpx.Response:
    """Answer a request with the text that it asks for, in a stream in many pieces."""
    body = json.loads(request.content)
    if "refuse" in request.url.path:
        return httpx.Response(500, json={"error": {"message": body["prompt"]}})
    if not body.get("stream"):
        choice = ANSWER["choices"][0] | {"message": {"content": body["answer"]}}
        return httpx.Response(200, json={"choices": [choice]})
    pieces = [body["answer"][at : at + 3] for at in range(0, len(body["answer"]), 3)]
    deltas: list[dict[str, Any]] = [{"delta": {"content": piece}} for piece in pieces]
    deltas.append({"delta": {}, "finish_reason": "stop"})
    events = [f"data: {json.dumps({'choices': [each]})}\n\n" for each in deltas]
    content = "".join([*events, "data: [DONE]\n\n"])
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, content=content, headers=headers)


async def post(way: str, cache: CacheManager, url: str, **more: Any) -> bytes:
    inner = httpx.MockTransport(answer)
    if way == "async":
        async with httpx.AsyncClient(transport=AsyncCacheTransport(cache, transport=inner)) as http:
            return (await http.post(url, **more)).content

    def post_blocking() -> bytes:
        with httpx.Client(transport=CacheTransport(cache, transport=inner)) as http:
            return http.post(url, **more).content

    return await asyncio.to_thread(post_blocking)


def find_traces(secret: str, *directories: Path) -> list[str]:
    """Return the files whose names or contents have a secret in any form."""
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, quote(secret, safe=""), quote(secret), escaped, json.dumps(escaped)[1:-1]}
    return [
        str(path)
        for directory in directories
        for path in directory.rglob("*")
        for form in forms
        if form in str(path)
        or form.lower() in str(path)
        or (path.is_file() and form.encode() in path.read_bytes())
    ]


@each_way
@each_secret
async def test_no_part_of_a_request_leaves_a_secret(
    way: str, secret: str, cache_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="aiocache_pe")
    recordings = tmp_path / "recordings"
    path = quote(secret, safe="")
    urls = [
        f"http://user:{path}@model/v1/{path}/chat/completions?key={path}&api-version={path}",
        f"http://model/v1/{path}:{path}/refuse/chat/completions",
    ]
    headers = {"authorization": f"Bearer {secret}", "x-api-key": secret, "cookie": f"s={secret}"}
    padding = "word " * 3995  # a long argument is cut near its secret
    body = {
        "model": "m",
        "answer": "Hi",
        "api_key": secret,
        "prompt": secret,
        secret: "name",
        "messages": [{"role": "user", "content": f"{padding}{secret}"}],
        "metadata": {"nested": [json.dumps({"again": secret})]},
    }
    errors = list[str]()
    async with CacheManager(directory=cache_dir) as cache:
        for stream in (False, True):
            for url in urls:
                request = {"headers": headers, "json": body | {"stream": stream}}
                await post(way, cache, url, **request)
                with recording(recordings, "record"):
                    await post(way, cache, url, **request)
                with pytest.raises(UnrecordedCallError) as caught, recording(recordings):
                    await post(way, cache, url, json=body | {"n": 2})
                errors.append(str(caught.value))
    assert len(list(recordings.iterdir())) == 2
    assert find_traces(secret, cache_dir, recordings) == []
    escaped = json.dumps(secret)[1:-1]
    assert not any(
        form in text for form in (secret, escaped, path) for text in (caplog.text, *errors)
    )


@each_way
@each_secret
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_with_a_secret_is_not_recorded(
    way: str, secret: str, stream: bool, memory: CacheManager, tmp_path: Path
) -> None:
    url = "http://model/v1/chat/completions"
    body = {"answer": f"It is {secret}.", "stream": stream}
    with recording(tmp_path, "record"), pytest.raises(SerializationError, match="it contains"):
        await post(way, memory, url, json=body)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["scikit: sk-learn-compatible-estimators", "Basic understanding of the matter", "AKIA", "eyJ"],
)
async def test_an_answer_with_words_like_a_secret_is_recorded(
    text: str, memory: CacheManager, tmp_path: Path
) -> None:
    with recording(tmp_path, "record"):
        await post("async", memory, "http://m/v1/chat/completions", json={"answer": text})
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/openai/deployments/gpt-4o-mini-2024-07-18/chat/completions",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    ],
)
async def test_a_key_shows_an_ordinary_path(path: str, memory: CacheManager) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    inner = httpx.MockTransport(lambda request: httpx.Response(200, json=ANSWER | body))
    async with httpx.AsyncClient(transport=AsyncCacheTransport(memory, transport=inner)) as http:
        await http.post(f"http://model{path}", json={})
    [key] = [key async for key in memory.keys("*")]
    assert key.startswith(f"http:model{path}:")
