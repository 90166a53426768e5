"""``usage="zero"``: clients count the tokens of each request to the server once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiocache_pe import CacheManager, recording
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.integrations.httpx import AsyncCacheTransport
from examples.llmserver import shapes
from examples.llmserver.server import ModelServer
from tests.support.scale import make_random, report, scale_size
from tests.support.sdk_clients import CHAT, WAYS, Client, open_client

STREAM_OPTIONS = {"stream_options": {"include_usage": True}}


def compute_bill(server: ModelServer) -> int:
    """Return the tokens that the server charges for its requests."""
    return sum(count_tokens(path, body) for path, body in server.requests)


def count_tokens(path: str, body: dict[str, Any]) -> int:
    if path.endswith("/embeddings"):
        usage = shapes.make_embeddings(body)["usage"]
    elif path.endswith("/responses"):
        usage = shapes.make_response(body)["usage"]
    elif path.endswith("/messages"):
        return 7 + len(shapes.split_into_chunks(body))
    else:
        usage = shapes.count_usage(body)
    return int(usage["total_tokens"])


async def make_call(sdk: Client, kind: int, text: str) -> int:
    """Return the tokens that the client of a call of one of six kinds sees."""
    asked = {"model": "tiny", "messages": [{"role": "user", "content": text}]}
    chat, responses = sdk.openai.chat.completions.create, sdk.openai.responses.create
    if kind == 0:
        return int((await sdk.call(chat, **asked)).usage.total_tokens)
    if kind == 1:
        chunks = await sdk.read_stream(chat, **asked, **STREAM_OPTIONS)
        return sum(chunk.usage.total_tokens for chunk in chunks if chunk.usage)
    if kind == 2:
        answer = await sdk.call(sdk.openai.embeddings.create, model="e", input=text.split())
        return int(answer.usage.total_tokens)
    if kind == 3:
        return int((await sdk.call(responses, model="tiny", input=text)).usage.total_tokens)
    if kind == 4 or sdk.anthropic is None:
        events = await sdk.read_stream(responses, model="tiny", input=text)
        return int(events[-1].response.usage.total_tokens)
    message = await sdk.call(sdk.anthropic.messages.create, max_tokens=100, **asked)
    return int(message.usage.input_tokens + message.usage.output_tokens)


@pytest.mark.parametrize("way", WAYS)
async def test_the_sum_of_the_clients_is_the_bill_of_the_server(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    """One thousand calls with ``AIOCACHE_STRESS=10``."""
    random, total, count = make_random(way), 0, scale_size(100)
    async with open_client(way, files, server, usage="zero") as sdk:
        for at in range(0, count, 10):
            calls = []
            for _ in range(min(10, count - at)):
                words = " ".join(["word"] * random.randint(1, 3))
                calls.append(make_call(sdk, random.randrange(6), f"{words} {random.randrange(4)}"))
            total += sum(await asyncio.gather(*calls))
    bill = compute_bill(server)
    report(f"{way}: {count} calls, {len(server.requests)} requests, {total} tokens, bill {bill}")
    assert len(server.requests) < count
    assert total == bill


@pytest.mark.parametrize("way", WAYS)
async def test_everything_but_the_usage_equals_the_response(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server, usage="zero") as sdk:
        for name, (call, arguments) in sdk.list_calls().items():
            first, second = [await sdk.call(call, **arguments) for _ in range(2)]
            before, after = first.model_dump(warnings=False), second.model_dump(warnings=False)
            used, erased = before.pop("usage"), after.pop("usage")
            assert before == after, name
            assert used.keys() == erased.keys()
            assert not any(value for value in erased.values() if isinstance(value, int)), name
            assert any(value for value in used.values() if isinstance(value, int)), name
        stats = await files.get_stats()
        assert stats.input_tokens_saved > 0


@pytest.mark.parametrize("way", WAYS)
async def test_the_savings_of_a_hit_stay_in_the_stats(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server, usage="zero") as sdk:
        create = sdk.openai.chat.completions.create
        for _ in range(3):
            await sdk.read_stream(create, **CHAT, **STREAM_OPTIONS)
        used = shapes.count_usage(server.requests[0][1])
    stats = await files.get_stats()
    assert stats.input_tokens_saved == 2 * used["prompt_tokens"]
    assert stats.output_tokens_saved == 2 * used["completion_tokens"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_replayed_recording_has_no_usage(
    way: str, files: CacheManager, server: ModelServer, tmp_path: Any
) -> None:
    async with open_client(way, files, server, usage="zero") as sdk:
        create = sdk.openai.chat.completions.create
        with recording(tmp_path, "record"):
            recorded = await sdk.call(create, **CHAT)
        with recording(tmp_path):
            replayed = await sdk.call(create, **CHAT)
    assert recorded.usage.total_tokens > 0
    assert replayed.usage.total_tokens == 0


async def test_any_other_setting_is_refused(memory: CacheManager) -> None:
    with pytest.raises(ConfigurationError, match="usage must be 'original' or 'zero'; got 'none'"):
        AsyncCacheTransport(memory, usage="none")
