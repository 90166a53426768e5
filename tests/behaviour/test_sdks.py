"""Official SDKs over the caching transports: responses from the cache equal the server's."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import openai
import pytest

from aiocache_pe import CacheManager, bypass, read_only, refresh
from aiocache_pe.testing.fake_clock import FakeClock
from examples.llmserver.server import ModelServer
from tests.support.sdk_clients import ANTHROPIC_TOOL, CHAT, TOOL, WAYS, open_client
from tests.support.sdk_fixtures import API_KEY

pytestmark = pytest.mark.parametrize("way", WAYS)


async def test_a_hit_equals_the_response_byte_for_byte(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        for name, (call, arguments) in sdk.list_calls().items():
            first, second = await sdk.call(call, **arguments), await sdk.call(call, **arguments)
            assert first == second, name
            texts = {each.model_dump_json(warnings=False) for each in (first, second)}
            assert len(texts) == 1, name
            assert len(server.requests) == 1, name
            server.requests.clear()


async def test_a_stream_is_replayed_chunk_by_chunk(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        with_usage = CHAT | {"stream_options": {"include_usage": True}}
        chat = sdk.openai.chat.completions.create
        streams = [
            (chat, with_usage),
            (chat, with_usage | {"tools": [TOOL]}),
            (sdk.openai.responses.create, {"model": "tiny", "input": "What is love?"}),
        ]
        if sdk.anthropic is not None:
            message = CHAT | {"max_tokens": 100}
            create = sdk.anthropic.messages.create
            streams += [(create, message), (create, message | {"tools": [ANTHROPIC_TOOL]})]
        for call, arguments in streams:
            first, second = [await sdk.read_stream(call, **arguments) for _ in range(2)]
            assert len(first) >= 5
            assert first == second
            assert len(server.requests) == 1
            server.requests.clear()


async def test_the_stream_helpers_of_the_sdks_assemble_the_same_answer(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    """These helpers read to the last event and close the stream."""
    async with open_client(way, files, server) as sdk:
        arguments = {"model": "tiny", "input": "What is love?"}
        stream = sdk.openai.responses.stream
        responses = [await sdk.gather_stream(stream, arguments) for _ in range(2)]
        assert responses[0].output_text.startswith("You asked 3 words")
        assert responses[0] == responses[1]
        assert len(server.requests) == 1
        if sdk.anthropic is not None:
            arguments = CHAT | {"max_tokens": 100, "tools": [ANTHROPIC_TOOL]}
            stream = sdk.anthropic.messages.stream
            messages = [await sdk.gather_stream(stream, arguments) for _ in range(2)]
            assert messages[0].content[1].input == {"city": "Paris"}
            assert messages[0] == messages[1]
            assert len(server.requests) == 2
    stats = await files.get_stats()
    assert stats.hits == (1 if sdk.anthropic is None else 2)
    assert stats.input_tokens_saved == 7 * stats.hits
    assert stats.output_tokens_saved > 0


async def test_a_header_of_the_raw_response_has_its_origin(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.with_raw_response.create
        first, second = await sdk.call(create, **CHAT), await sdk.call(create, **CHAT)
    assert (first.headers["x-aiocache-pe"], second.headers["x-aiocache-pe"]) == ("miss", "hit")
    assert first.content == second.content
    assert first.headers["x-ratelimit-remaining-requests"] == "41"
    assert not {"set-cookie", "x-ratelimit-remaining-requests"} & set(second.headers)
    assert second.headers["x-request-id"] == first.headers["x-request-id"]


async def test_the_api_key_is_neither_stored_nor_logged(
    way: str,
    files: CacheManager,
    server: ModelServer,
    cache_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="aiocache_pe")
    async with open_client(way, files, server) as sdk:
        for call, arguments in sdk.list_calls().values():
            await sdk.call(call, **arguments)
        await sdk.read_stream(sdk.openai.chat.completions.create, **CHAT)
        await sdk.read_stream(sdk.openai.responses.create, model="tiny", input="Why?")
        server.failures = [500]
        with pytest.raises(openai.InternalServerError) as failure:
            await sdk.call(sdk.openai.embeddings.create, model="e", input="x")
        other = sdk.openai.with_options(api_key="another-key")
        before = len(server.requests)
        await sdk.call(other.chat.completions.create, **CHAT)
        assert len(server.requests) == before  # the account is not part of the key
    await files.close()
    stored = [path for path in cache_dir.rglob("*") if path.is_file()]
    assert len(stored) >= 6
    for path in stored:
        content = path.read_bytes() + str(path).encode()
        assert API_KEY.encode() not in content
        assert b"very-secret" not in content
    assert API_KEY not in caplog.text
    assert API_KEY not in str(failure.value)


async def test_errors_reach_the_caller_and_are_not_stored(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        server.failures = [429, 503]
        with pytest.raises(openai.RateLimitError):
            await sdk.call(create, **CHAT)
        with pytest.raises(openai.InternalServerError):
            await sdk.read_stream(create, **CHAT)
        await sdk.call(create, **CHAT)
        await sdk.read_stream(create, **CHAT)
    assert len(server.requests) == 4


async def test_an_interrupted_stream_is_not_stored(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        server.cut = True
        short = await sdk.read_stream(create, **CHAT)
        server.cut = False
        assert len(await sdk.read_stream(create, **CHAT)) > len(short)
    assert len(server.requests) == 2


async def test_a_truncated_response_is_stored_only_with_store_truncated(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    arguments = CHAT | {"max_tokens": 1}
    for stored, requests in ((False, 2), (True, 1)):
        async with open_client(way, files, server, store_truncated=stored) as sdk:
            creates = [sdk.openai.chat.completions.create]
            creates += [sdk.anthropic.messages.create] if sdk.anthropic else []
            for create in creates:
                for read in (sdk.call, sdk.read_stream):
                    server.requests.clear()
                    answers = [await read(create, **arguments) for _ in range(2)]
                    assert len(server.requests) == requests
                    assert (answers[0] == answers[1]) is stored


async def test_identical_concurrent_requests_are_sent_once(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    server.seconds = 0.2
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        answers = await asyncio.gather(*(sdk.call(create, **CHAT) for _ in range(8)))
    assert len(server.requests) == 1
    assert len({answer.model_dump_json() for answer in answers}) == 1


async def test_the_call_modes_apply_to_requests(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server) as sdk:
        create = sdk.openai.chat.completions.create
        with read_only():
            await sdk.read_stream(create, **CHAT)
        for read in (sdk.call, sdk.read_stream):
            await read(create, **CHAT)
            with bypass():
                await read(create, **CHAT)
            with refresh():
                await read(create, **CHAT)
            await read(create, **CHAT)
    assert len(server.requests) == 1 + 3 + 3


async def test_a_parameter_or_a_header_of_vary_is_part_of_the_key(
    way: str, files: CacheManager, server: ModelServer
) -> None:
    async with open_client(way, files, server, vary=["x-tenant"]) as sdk:
        create = sdk.openai.chat.completions.create
        for more in (
            {},
            {"temperature": 0},
            {"extra_headers": {"x-tenant": "a"}},
            {"extra_headers": {"x-tenant": "b"}},
        ):
            for _ in range(2):
                await sdk.call(create, **CHAT, **more)
    assert len(server.requests) == 4


async def test_the_header_marks_stale_responses(
    way: str, cache_dir: Path, server: ModelServer
) -> None:
    clock = FakeClock()
    async with (
        CacheManager(directory=cache_dir, clock=clock) as cache,
        open_client(way, cache, server, ttl=10, stale_ttl=100) as sdk,
    ):
        create = sdk.openai.chat.completions.with_raw_response.create
        await sdk.call(create, **CHAT)
        clock.advance(20)
        origins = [(await sdk.call(create, **CHAT)).headers["x-aiocache-pe"]]
        while origins[-1] != "hit":  # until the background refresh has ended
            origins.append((await sdk.call(create, **CHAT)).headers["x-aiocache-pe"])
            await asyncio.sleep(0.01)
    assert set(origins) == {"stale", "hit"}
    assert origins[0] == "stale"
