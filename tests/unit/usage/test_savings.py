"""Token savings: tokens by the responses' own numbers, money by the given prices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aiocache_pe import CacheManager, Price, cached
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.record import Savings
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.usage.prices import Prices, PriceTable
from aiocache_pe.usage.savings import SavingsEstimator
from tests.support.cache_fixtures import make_manager

PRICES: Prices = {"small": Price(input=1, output=4), "embed": {"input": 0.5}}
CHAT = {"model": "small", "usage": {"prompt_tokens": 100, "completion_tokens": 50}}


def estimate(value: Any) -> Savings | None:
    return SavingsEstimator(PriceTable(PRICES)).estimate(value)


RESPONSES: dict[str, tuple[Any, Savings]] = {
    "chat": (CHAT, Savings(100, 50, 3e-4)),
    "chat of a dated model": (CHAT | {"model": "small-2026-11-25"}, Savings(100, 50, 3e-4)),
    "embedding": (
        {"model": "embed", "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        Savings(8, 0, 4e-6),
    ),
    "messages": (
        {
            "model": "small-latest",
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 15, "output_tokens": 5},
        },
        Savings(20, 5, 4e-5),
    ),
    "an unknown model": (CHAT | {"model": "large"}, Savings(100, 50)),
    "no model": ({"usage": CHAT["usage"]}, Savings(100, 50)),
    "an object": (
        SimpleNamespace(model="small", usage=SimpleNamespace(input_tokens=100, output_tokens=50)),
        Savings(100, 50, 3e-4),
    ),
    "usage_metadata": (
        SimpleNamespace(usage_metadata={"input_tokens": 7, "output_tokens": 1}),
        Savings(7, 1),
    ),
    "camel case": (
        {"modelVersion": "small", "usageMetadata": {"promptTokenCount": 1}},
        Savings(1, 0, 1e-6),
    ),
    "chunks": (
        {"chunks": [{"model": "small", "usage": None}, *[{"x": 1}] * 9, CHAT | {"choices": []}]},
        Savings(100, 50, 3e-4),
    ),
    "a response of Ollama": (
        {"model": "small", "prompt_eval_count": 10, "eval_count": 5, "message": {"role": "x"}},
        Savings(10, 5, 3e-5),
    ),
    "a response of Cohere": (
        {"usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 2.0}, "tokens": {}}},
        Savings(5, 2),
    ),
    "a response of OpenRouter": (
        {
            "model": "small",
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "cost": 0.1,
                "is_byok": False,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "cost_details": {"upstream_inference_cost": None},
            },
        },
        Savings(10, 5, 3e-5),
    ),
    "a response of DeepSeek": (
        {
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_cache_hit_tokens": 4,
                "prompt_cache_miss_tokens": 6,
            }
        },
        Savings(10, 5),
    ),
    "a response of Bedrock": (
        {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}},
        Savings(10, 5),
    ),
    "chunks of Groq": (
        {
            "chunks": [
                {"model": "small", "x_groq": {"id": "req"}, "choices": [{"delta": {}}]},
                *[{"choices": [{"delta": {"content": "a"}}]}] * 9,
                {"x_groq": {"usage": {"prompt_tokens": 100, "completion_tokens": 50}}},
            ]
        },
        Savings(100, 50, 3e-4),
    ),
    "events": (
        {
            "chunks": [
                {"message": {"model": "small", "usage": {"input_tokens": 9, "output_tokens": 1}}},
                *["delta"] * 5,
                {"usage": {"output_tokens": 7}},
                {"type": "message_stop"},
            ]
        },
        Savings(9, 7, 37e-6),
    ),
}


@pytest.mark.parametrize(("response", "expected"), RESPONSES.values(), ids=RESPONSES)
def test_the_usage_of_a_response_is_read(response: Any, expected: Savings) -> None:
    savings = estimate(response)
    assert savings is not None
    assert savings.input_tokens == expected.input_tokens
    assert savings.output_tokens == expected.output_tokens
    assert savings.money == pytest.approx(expected.money)


class RaisingObject:
    """An object of a user that raises when an attribute is read."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "usage",
        7,
        [CHAT],
        {},
        {"usage": None},
        {"usage": "much"},
        {"usage": {"prompt_tokens": True, "completion_tokens": "5"}},
        {"usage": {"prompt_tokens": -5}},
        {"usage": 7},
        {"chunks": "usage"},
        {"chunks": []},
        object(),
        pytest.param(RaisingObject(), id="raising"),
        {"usage": RaisingObject()},
    ],
)
def test_a_value_without_usage_saves_nothing(value: Any) -> None:
    assert estimate(value) is None


async def test_savings_are_summed_up_over_processes(cache_dir: Path, clock: FakeClock) -> None:
    for turn in range(2):
        async with make_manager("file", cache_dir, clock, prices=PRICES) as cache:
            if turn == 0:
                await cache.set("chat", CHAT)
            for _ in range(2):
                assert await cache.get("chat") == CHAT
    async with make_manager("file", cache_dir, clock) as cache:
        stats = await cache.get_stats()
    assert (stats.hits, stats.input_tokens_saved, stats.output_tokens_saved) == (4, 400, 200)
    assert stats.money_saved == pytest.approx(12e-4)


async def test_every_store_counts_savings(cache: CacheManager) -> None:
    @cached(cache=cache)
    async def complete(prompt: str) -> dict[str, Any]:
        return CHAT

    for _ in range(3):
        await complete("why?")
    stats = await cache.get_stats()
    assert (stats.hits, stats.input_tokens_saved, stats.money_saved) == (2, 200, 0.0)


async def test_a_replayed_stream_saves_its_usage(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def complete(prompt: str) -> AsyncIterator[dict[str, Any]]:
        yield {"model": "small", "usage": None}
        yield CHAT

    for _ in range(2):
        assert len([chunk async for chunk in complete("why?")]) == 2
    assert (await memory.get_stats()).output_tokens_saved == 50


async def test_callers_that_join_a_stream_save_its_usage(memory: CacheManager) -> None:
    may_end = asyncio.Event()

    @cached(cache=memory)
    async def complete(prompt: str) -> AsyncIterator[dict[str, Any]]:
        yield {"model": "small", "usage": None}
        await may_end.wait()
        yield CHAT

    streams = [complete("why?") for _ in range(4)]
    for stream in streams:
        await anext(stream)
    await streams.pop().aclose()
    may_end.set()
    for stream in streams:
        assert [chunk async for chunk in stream] == [CHAT]
    stats = await memory.get_stats()
    assert (stats.misses, stats.hits) == (1, 3)
    assert (stats.input_tokens_saved, stats.output_tokens_saved) == (300, 150)


async def test_touching_an_entry_keeps_its_savings(memory: CacheManager) -> None:
    await memory.set("chat", CHAT)
    await memory.touch("chat", ttl=60)
    await memory.get("chat")
    assert (await memory.get_stats()).input_tokens_saved == 100


async def test_prices_are_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"small": {"input": 1, "output": 4}}))
    monkeypatch.setenv("AIOCACHE_PE_PRICES", str(path))
    async with CacheManager("memory") as cache:
        await cache.set("chat", CHAT)
        await cache.get("chat")
        assert (await cache.get_stats()).money_saved == pytest.approx(3e-4)
    async with CacheManager("memory", prices={}) as cache:  # takes precedence
        await cache.set("chat", CHAT)
        await cache.get("chat")
        assert (await cache.get_stats()).money_saved == 0
    for content in ("[]", "{", '{"small": 1}'):
        path.write_text(content)
        with pytest.raises(ConfigurationError):
            CacheManager("memory")
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"prices\.json.* cannot be read"):
        CacheManager("memory")


@pytest.mark.parametrize(
    "prices",
    [
        [],
        {7: Price(1)},
        {"small": 1},
        {"small": {"output": 1}},
        {"small": {"input": 1, "cached": 1}},
        {"small": {"input": 1, "cached_input": "1"}},
        {"small": {"input": 1, "cache_write": -1}},
        {"small": {"input": 1, "output": None}},
        {"small": {"input": "1"}},
        {"small": {"input": -1}},
        {"small": {"input": float("inf")}},
        {"small": {"input": True}},
    ],
)
def test_invalid_prices_raise(prices: Any) -> None:
    with pytest.raises(ConfigurationError, match="price"):
        CacheManager("memory", prices=prices)


def test_a_price_holds_for_all_releases_of_a_model() -> None:
    table = PriceTable({"gpt": Price(1), "gpt-mini": Price(2)})
    assert table.find("gpt-mini-2026-01-31") == Price(2)
    for suffix in (
        *("@20260131", "-latest", ":latest", "-0613", "-001", "-240515", "-05-20", "-08-2026"),
        *("-20241022-v2:0", "-v1:0", "-0324-latest"),
    ):
        assert table.find(f"gpt{suffix}") == Price(1), suffix
    for other in ("gpt-maxi", "gp", "gpt-2026-01-31-x", "gpt-4", "gpt-v3", "gpt-preview", None):
        assert table.find(other) is None
    table = PriceTable({"gpt": Price(1), "gpt-0613": Price(2)})
    assert table.find("gpt-0613") == table.find("gpt-0613-2026-01-31") == Price(2)


# The usage that a server or a library reports, and the tokens that are sent, generated, read from
# the provider's cache and written to it.
USAGES: dict[str, tuple[dict[str, Any], tuple[int, int, int, int]]] = {
    "Gemini": (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 20,
            "cachedContentTokenCount": 4,
            "toolUsePromptTokenCount": 2,
            "totalTokenCount": 35,
        },
        (12, 23, 4, 0),
    ),
    "Gemini's SDK": (
        {"prompt_token_count": 7, "candidates_token_count": 3, "thoughts_token_count": 20},
        (7, 23, 0, 0),
    ),
    "chat": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        (100, 50, 80, 0),
    ),
    "responses": (
        {"input_tokens": 9, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}},
        (9, 5, 4, 0),
    ),
    "messages": (
        {
            "input_tokens": 5,
            "output_tokens": 5,
            "cache_read_input_tokens": 15,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 7},
        },
        (27, 5, 15, 7),
    ),
    "Bedrock": (
        {
            "inputTokens": 5,
            "outputTokens": 2,
            "totalTokens": 20,
            "cacheReadInputTokens": 10,
            "cacheWriteInputTokens": 3,
        },
        (18, 2, 10, 3),
    ),
    "LangChain": (
        {
            "input_tokens": 100,
            "output_tokens": 5,
            "total_tokens": 105,
            "input_token_details": {"cache_read": 10, "cache_creation": 20},
        },
        (100, 5, 10, 20),
    ),
    "LangChain, with lifetimes": (
        {
            "input_tokens": 100,
            "output_tokens": 5,
            "input_token_details": {"cache_creation": 0, "ephemeral_1h_input_tokens": 20},
        },
        (100, 5, 0, 20),
    ),
    "LiteLLM": (
        {
            "prompt_tokens": 27,
            "completion_tokens": 5,
            "cache_read_input_tokens": 15,
            "cache_creation_input_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 15},
        },
        (27, 5, 15, 7),
    ),
    "DeepSeek": (
        {"prompt_tokens": 10, "prompt_cache_hit_tokens": 6, "completion_tokens": 1},
        (10, 1, 6, 0),
    ),
    "thoughts in the total only": (
        {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 1151},
        (32, 1119, 0, 0),
    ),
    "a total only": ({"total_tokens": 8}, (8, 0, 0, 0)),
    "more cached than sent": ({"prompt_tokens": 5, "cached_tokens": 9}, (5, 0, 5, 0)),
}


@pytest.mark.parametrize(("usage", "expected"), USAGES.values(), ids=USAGES)
@pytest.mark.parametrize("form", [dict, lambda fields: SimpleNamespace(**fields)])
def test_each_kind_of_tokens_has_its_price(
    usage: dict[str, Any], expected: tuple[int, int, int, int], form: Any
) -> None:
    prices = {"m": Price(input=1000, output=1, cached_input=10**6, cache_write=10**9)}
    savings = SavingsEstimator(PriceTable(prices)).estimate(
        {"model": "m-2026-01-31", "usage": form(usage)}
    )
    assert savings is not None
    sent, received, read, written = expected
    assert (savings.input_tokens, savings.output_tokens) == (sent, received)
    plain = sent - read - written
    money = (1000 * plain + received + 10**6 * read + 10**9 * written) / 10**6
    assert savings.money == pytest.approx(money)


def test_cached_tokens_without_a_price_of_their_own_cost_as_much_as_others() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 15, "cache_creation_input_tokens": 7}
    savings = estimate({"model": "small", "usage": usage})
    assert savings is not None
    assert savings.money == pytest.approx(27e-6)
