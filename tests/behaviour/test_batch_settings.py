"""Settings and methods of `cached_batch`, also over stores that keep nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, cached_batch, read_only, refresh, warm_cache
from aiocache_pe.exceptions import BackendError, ConfigurationError
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.broken_backends import BrokenEverywhereBackend, SecretlessBackend
from tests.support.embedder import Embedder


async def test_call_modes_apply_to_batches(memory: CacheManager) -> None:
    embed = Embedder(memory, batch_size=2)
    with bypass():
        assert await embed(["a", "a", "a"]) == [[1.0, 5.0]] * 3
        assert await embed(["a"]) == [[1.0, 5.0]]
    assert embed.calls == [["a", "a"], ["a"], ["a"]]
    assert embed.function.cache_info()[:2] == (0, 0)
    assert (await memory.get_stats()).total_entries == 0
    embed.calls.clear()
    with read_only():
        await embed(["a", "a"])
        await embed(["a"])
    assert embed.calls == [["a"], ["a"]]
    embed.calls.clear()
    await embed(["a"])
    with refresh():
        await embed(["a", "bb"])
    await embed.function.refresh(["a"])
    await embed(["a", "bb"])
    assert embed.calls == [["a"], ["a", "bb"], ["a"]]
    with read_only():
        await embed(["a", "ccc"])
    assert embed.calls[-1] == ["ccc"]


async def test_the_methods_of_a_batch_function(memory: CacheManager) -> None:
    embed = Embedder(memory)
    await embed(["a", "bb", "ccc"])
    keys = embed.function.cache_keys(["a", "bb"])
    assert [await memory.exists(key) for key in keys] == [True, True]
    assert await embed.function.invalidate(["a", "bb", "dddd"]) == 2
    assert await embed.function.cache_clear() == 1
    assert embed.function.cache is memory
    assert "embed" in repr(embed.function)


async def test_settings_apply_to_each_item(memory: CacheManager, clock: FakeClock) -> None:
    @cached_batch(
        cache=memory,
        ttl=lambda length: 10 * length,
        cache_if=lambda length: length < 4,
        tags=["lengths", "text:{texts}"],
        key_prefix="p",
        key="{texts}",
        namespace="n",
        version=2,
    )
    async def lengths(texts: list[str]) -> tuple[int, ...]:
        return tuple(len(text) for text in texts)

    await lengths(["a", "bb", "dddd"])
    cache = memory.namespace("n")
    assert sorted([key async for key in cache.keys("*")]) == ["p@2:a", "p@2:bb"]
    assert await cache.get_ttl("p@2:bb") == 20
    await cache.delete_by_tag("text:a")
    assert [key async for key in cache.keys("*")] == ["p@2:bb"]
    clock.advance(21)
    assert [key async for key in cache.keys("*")] == []


async def test_each_item_gets_its_own_jitter(clock: FakeClock) -> None:
    async with CacheManager("memory", clock=clock) as cache:
        embed = Embedder(cache, ttl=100, jitter=0.5)
        texts = [f"{n}" for n in range(20)]
        await embed(texts)
        lifetimes = {await cache.get_ttl(key) for key in embed.function.cache_keys(texts)}
        assert len(lifetimes) > 1
        assert all(each is not None and 50 <= each <= 100 for each in lifetimes)


async def test_none_is_stored_unless_cache_none_is_off(memory: CacheManager) -> None:
    calls = list[list[int]]()

    @cached_batch(cache=memory, cache_none=False)
    async def function(numbers: list[int]) -> list[int | None]:
        calls.append(numbers)
        return [number if number > 1 else None for number in numbers]

    await function([1, 2])
    assert await function([1, 2]) == [None, 2]
    assert calls == [[1, 2], [1]]


class Unstorable:
    """A class that even pickle cannot store."""

    def __reduce__(self) -> str:
        raise TypeError("no")


async def test_an_item_that_cannot_be_stored_is_returned_and_the_rest_is_stored(
    memory: CacheManager,
) -> None:
    @cached_batch(cache=memory)
    async def function(numbers: list[int]) -> list[Any]:
        return [Unstorable() if number == 1 else number for number in numbers]

    first, second, third = await function([1, 2, 1])
    assert (type(first), second) == (Unstorable, 2)
    assert third is first  # a handle, which cannot be copied
    stats = await memory.get_stats()
    assert (stats.unstorable, stats.errors) == (1, 0)
    await function([1, 2])
    assert function.cache_info()[:2] == (2, 3)


async def test_without_a_secret_only_plain_items_are_stored(clock: FakeClock) -> None:
    async with CacheManager(SecretlessBackend(), clock=clock) as cache:

        @cached_batch(cache=cache)
        async def function(numbers: list[int]) -> list[Any]:
            return [Unstorable] * len(numbers)

        assert await function([1]) == [Unstorable]


async def test_a_broken_store_breaks_no_batch() -> None:
    async with CacheManager(BrokenEverywhereBackend(BackendError("down"))) as cache:
        embed = Embedder(cache, tags=["t"])
        for _ in range(2):
            assert await embed(["a", "bb", "a"]) == [[1.0, 5.0], [2.0, 5.0], [1.0, 5.0]]
    assert embed.calls == [["a", "bb"]] * 2


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"batch": "other"}, ConfigurationError, "no parameter 'other' for the batch"),
        ({"batch": 7}, TypeError, "batch must be the name of a parameter; got 7"),
        ({"batch_size": 0}, ConfigurationError, "batch_size must be an int of 1 or more; got 0"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an int; got float: 1.5"),
        ({"concurrency": 0}, ConfigurationError, "concurrency must be an int of 1 or more; got 0"),
        ({"concurrency": None}, TypeError, "concurrency must be an int; got NoneType"),
        ({"ignore": ["texts"]}, ConfigurationError, "ignore= names 'texts'"),
        ({"ttl": "soon"}, ValueError, "soon"),
    ],
)
def test_wrong_settings_raise_at_decoration(
    settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):

        @cached_batch(**settings)
        async def function(texts: list[str]) -> list[str]:
            return texts


def test_a_function_without_a_batch_parameter_raises() -> None:
    def nothing() -> list[int]:
        return []

    def yields(texts: list[str]) -> Any:
        yield from texts

    def variadic(*texts: str) -> list[str]:
        return list(texts)

    with pytest.raises(TypeError, match="@cached_batch must decorate a function; got 7"):
        cached_batch(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(ConfigurationError, match="could take a batch"):
        cached_batch(nothing)
    with pytest.raises(ConfigurationError, match="could take a batch"):
        cached_batch(variadic)
    with pytest.raises(TypeError, match="yields them"):
        cached_batch(yields)


async def test_methods_of_all_kinds_take_batches(memory: CacheManager) -> None:
    calls = list[Any]()

    class Model:
        @cached_batch(cache=memory)
        async def embed(self, texts: list[str]) -> list[int]:
            """Embed."""
            calls.append(texts)
            return [len(text) for text in texts]

        @cached_batch(cache=memory)
        def plain(self, texts: list[str]) -> list[int]:
            calls.append(texts)
            return [len(text) for text in texts]

        @cached_batch(cache=memory, batch="texts")
        @classmethod
        async def of_class(cls, model: str, *, texts: list[str]) -> list[int]:
            calls.append((model, texts))
            return [len(text) for text in texts]

        @cached_batch(cache=memory)
        @staticmethod
        async def static(texts: list[str]) -> list[int]:
            calls.append(texts)
            return [len(text) for text in texts]

    model = Model()
    for function in (model.embed, Model().embed, model.static, Model.static):
        assert await function(["a", "bb"]) == [1, 2]
    assert await asyncio.to_thread(model.plain, ["a", "bb"]) == [1, 2]
    assert await asyncio.to_thread(model.plain, ["bb"]) == [2]
    assert await Model.of_class("m", texts=["a"]) == await model.of_class("m", texts=["a"]) == [1]
    assert len(calls) == 4
    assert len(model.embed.cache_keys(["a", "bb"])) == 2
    assert await model.embed.invalidate(["a"]) == 1
    assert await model.embed.refresh(["a"]) == [1]
    assert model.embed.__doc__ == "Embed."
    assert model.embed.cache is memory
    assert await model.embed.cache_clear() == 2
    assert await asyncio.to_thread(model.plain.invalidate, ["a"]) == 1
    assert await asyncio.to_thread(model.plain.cache_clear) == 1


async def test_a_batch_function_can_be_warmed(memory: CacheManager) -> None:
    embed = Embedder(memory, ttl=60)
    report = await warm_cache(memory, [(embed.function, (["a", "bb"],))])
    assert (report.computed, report.failed) == (1, 0)
    report = await warm_cache(memory, [(embed.function, (["bb", "a"],))])
    assert (report.computed, report.present) == (0, 1)
    report = await warm_cache(memory, [(embed.function, (["bb", "ccc"],))], before_expiry=30)
    assert report.computed == 1
    assert embed.calls == [["a", "bb"], ["ccc"]]
