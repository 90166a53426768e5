"""LangChain's cache: the standard suites of LangChain over two stores, and its own tests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite

from aiocache_pe import CacheManager, bypass, read_only, recording, refresh, sync
from aiocache_pe.exceptions import BackendError, ConfigurationError
from aiocache_pe.integrations.langchain import LangChainCache
from aiocache_pe.usage.prices import Price
from tests.support.broken_backends import BrokenEverywhereBackend

STORES = ["memory", "file"]


class TestBlocking(SyncCacheTestSuite):
    @pytest.fixture(params=STORES)
    def cache(self, request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[LangChainCache]:  # pyright: ignore[reportIncompatibleMethodOverride]
        settings: dict[str, Any] = {"directory": cache_dir} if request.param == "file" else {}
        with sync.CacheManager(request.param, **settings) as manager:
            yield LangChainCache(manager)


class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture(params=STORES)
    async def cache(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request: pytest.FixtureRequest, cache_dir: Path
    ) -> AsyncIterator[LangChainCache]:
        settings: dict[str, Any] = {"directory": cache_dir} if request.param == "file" else {}
        async with CacheManager(request.param, **settings) as manager:
            yield LangChainCache(manager)


ANSWER = AIMessage(
    content=[{"type": "text", "text": "It is "}, {"type": "text", "text": "42."}],
    id="run-1",
    tool_calls=[{"name": "look_up", "args": {"key": "x", "n": 1}, "id": "call-1"}],
    response_metadata={"model_name": "small-2026-01-31", "finish_reason": "stop"},
    usage_metadata={"input_tokens": 100, "output_tokens": 50, "total_tokens": 150},
)
GENERATIONS: dict[str, list[Generation]] = {
    "text": [Generation(text="a"), Generation(text="b", generation_info={"logprobs": None})],
    "chunk": [GenerationChunk(text="a")],
    "message": [ChatGeneration(message=ANSWER, generation_info={"finish_reason": "stop"})],
    "message chunk": [ChatGenerationChunk(message=AIMessageChunk(content="a"))],
    "none": [],
}


@pytest.mark.parametrize("generations", GENERATIONS.values(), ids=GENERATIONS)
async def test_generations_are_read_unchanged(
    memory: CacheManager, generations: list[Generation]
) -> None:
    cache = LangChainCache(memory)
    await cache.aupdate("why?", "small", generations)
    for found in (
        await cache.alookup("why?", "small"),
        await asyncio.to_thread(cache.lookup, "why?", "small"),
    ):
        assert isinstance(found, list)  # LangChain accepts only a list as a hit
        assert found == generations
        assert list(map(type, found)) == list(map(type, generations))
    assert await cache.alookup("why?", "large") is None
    assert await cache.alookup("why not?", "small") is None


async def test_changing_an_answer_affects_no_other_caller(
    memory: CacheManager,
) -> None:
    cache = LangChainCache(memory)
    await cache.aupdate("why?", "small", [Generation(text="a")])
    found = await cache.alookup("why?", "small")
    assert found is not None
    found[0].text = "changed"
    assert await cache.alookup("why?", "small") == [Generation(text="a")]


async def test_a_model_is_called_once(memory: CacheManager) -> None:
    model = FakeListChatModel(responses=["one", "two", "three"], cache=LangChainCache(memory))
    assert (await model.ainvoke("why?")).content == "one"
    assert (await model.ainvoke("why?")).content == "one"
    assert (await asyncio.to_thread(model.invoke, "why?")).content == "one"
    assert (await model.ainvoke("why not?")).content == "two"
    keys = [key async for key in memory.namespace("langchain").keys("*")]
    assert sorted(key.partition(":")[0] for key in keys) == ["why not?", "why?"]


async def test_hits_count_the_saved_tokens_and_money() -> None:
    async with CacheManager("memory", prices={"small": Price(1, 4)}) as manager:
        cache = LangChainCache(manager)
        await cache.aupdate("why?", "small", GENERATIONS["message"])
        await cache.alookup("why?", "small")
        stats = await manager.namespace("langchain").get_stats()
    assert (stats.input_tokens_saved, stats.output_tokens_saved) == (100, 50)
    assert stats.money_saved == pytest.approx(3e-4)


async def test_settings_apply_and_clear_removes_only_the_namespace(
    memory: CacheManager,
) -> None:
    await memory.set("mine", 1)
    cache = LangChainCache(memory, ttl=60, namespace="models", tags=["answers"])
    await cache.aupdate("why?", "small", [Generation(text="a")])
    [key] = [key async for key in memory.namespace("models").keys("*")]
    assert key.startswith("why?:")
    assert "small" not in key
    assert await memory.namespace("models").get_ttl(key) == 60
    await memory.namespace("models").delete_by_tag("answers")
    assert await cache.alookup("why?", "small") is None
    await cache.aupdate("why?", "small", [Generation(text="a")])
    await cache.aclear()
    assert await cache.alookup("why?", "small") is None
    assert await memory.get("mine") == 1
    with pytest.raises(TypeError, match="cache must be a CacheManager"):
        LangChainCache("memory")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_the_call_modes_apply(memory: CacheManager) -> None:
    cache, answer = LangChainCache(memory), [Generation(text="a")]
    for block in (bypass, read_only):
        with block():
            await cache.aupdate("why?", "small", answer)
        assert await cache.alookup("why?", "small") is None
    with refresh():
        await cache.aupdate("why?", "small", answer)
        assert await cache.alookup("why?", "small") is None
    with bypass():
        assert await cache.alookup("why?", "small") is None
    with read_only():
        assert await cache.alookup("why?", "small") == answer


@pytest.mark.parametrize("headers", ["{%s}", "{'a': 'b', %s}", "{%s, 'a': 'b'}"])
@pytest.mark.parametrize("way", ["async", "blocking"])
async def test_an_extra_header_controls_a_call(
    way: str, headers: str, memory: CacheManager
) -> None:
    def describe(control: str) -> str:
        extra = headers % f"'X-Aiocache-PE': '{control}'" if control else "{'a': 'b'}"
        given = f"('extra_headers', {extra}), " if control or "a" in headers else ""
        return f"[{given}('n', 1), ('stop', None)]"

    cache = LangChainCache(memory, ttl=1000)
    lookup: Any = cache.alookup
    update: Any = cache.aupdate
    if way == "blocking":
        to_thread: Any = asyncio.to_thread
        lookup, update = partial(to_thread, cache.lookup), partial(to_thread, cache.update)
    one, other = [Generation(text="one")], [Generation(text="other")]
    await update("why?", describe("ttl=60"), one)
    [key] = [key async for key in memory.namespace("langchain").keys("*")]
    assert await memory.namespace("langchain").get_ttl(key) == pytest.approx(60)
    assert await lookup("why?", describe("")) == one
    assert await lookup("why?", describe("bypass")) is None
    await update("why?", describe("bypass"), other)
    assert await lookup("why?", describe("")) == one
    assert await lookup("why?", describe("refresh")) is None
    await update("why?", describe("refresh"), other)
    assert await lookup("why?", describe("")) == other
    with pytest.raises(ConfigurationError, match='x-aiocache-pe must be "bypass"'):
        await lookup("why?", describe("soon"))


async def test_a_call_is_recorded_and_replayed(memory: CacheManager, tmp_path: Path) -> None:
    model = FakeListChatModel(responses=["one", "two"], cache=LangChainCache(memory))
    with recording(tmp_path, "record"):
        assert (await model.ainvoke("why?")).content == "one"
        assert (await asyncio.to_thread(model.invoke, "why?")).content == "one"
    [file] = tmp_path.iterdir()
    assert file.name.startswith("langchain-why-")
    with recording(tmp_path, "replay"):
        for ask in (model.invoke, model.invoke):
            assert (await asyncio.to_thread(ask, "why?")).content == "one"
        assert (await model.ainvoke("why?")).content == "one"
    assert (await model.ainvoke("why?")).content == "two"  # the model is called outside the block
    assert (await memory.namespace("langchain").get_stats()).total_entries == 1


class CustomGeneration(Generation):
    """A user's class, which LangChain cannot restore."""


async def test_generations_without_an_exact_form_are_not_stored(
    memory: CacheManager,
) -> None:
    cache = LangChainCache(memory)
    await cache.aupdate("why?", "small", [CustomGeneration(text="a")])
    await cache.aupdate(
        "why not?", "small", [Generation(text="a", generation_info={"x": object()})]
    )
    assert await cache.alookup("why?", "small") is None
    assert (await memory.namespace("langchain").get_stats()).errors >= 1


@pytest.mark.parametrize(
    "value", [7, {}, {"generations": 7}, {"generations": [{"type": "Path", "text": "/"}]}]
)
async def test_an_entry_of_another_form_is_a_miss(memory: CacheManager, value: Any) -> None:
    cache = LangChainCache(memory)
    await cache.aupdate("why?", "small", [Generation(text="a")])
    view = memory.namespace("langchain")
    [key] = [key async for key in view.keys("*")]
    await view.set(key, value)
    assert await cache.alookup("why?", "small") is None


async def test_models_work_over_a_broken_store() -> None:
    async with CacheManager(BrokenEverywhereBackend(BackendError("down"))) as manager:
        model = FakeListChatModel(responses=["one", "two"], cache=LangChainCache(manager))
        assert (await model.ainvoke("why?")).content == "one"
        assert (await model.ainvoke("why?")).content == "two"


def test_without_langchain_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "import aiocache_pe.integrations.langchain"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "MissingDependencyError" in process.stderr
    assert "aiocache_pe[langchain]" in process.stderr
