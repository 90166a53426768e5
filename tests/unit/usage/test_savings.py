"""Token savings: tokens by the responses' own numbers, money by the given prices."""

from __future__ import annotations

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
    for name in ("gpt@20260131", "gpt-latest", "gpt-0613"):
        assert table.find(name) == Price(1)
    for other in ("gpt-maxi", "gp", "gpt-2026-01-31-x", None):
        assert table.find(other) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 20},
        {"prompt_token_count": 7, "candidates_token_count": 3, "thoughts_token_count": 20},
    ],
)
def test_the_tokens_of_thoughts_are_output(usage: dict[str, int]) -> None:
    savings = SavingsEstimator(PriceTable({})).estimate({"model": "m", "usage_metadata": usage})
    assert savings is not None
    assert (savings.input_tokens, savings.output_tokens) == (7, 23)
