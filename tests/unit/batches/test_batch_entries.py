"""`cached_batch`: an entry for each item, and calls for what is missing only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aiocache_pe import CacheManager, bypass, cached_batch, read_only, refresh, warm_cache
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import BackendError, ConfigurationError, UnstableIdentityError
from aiocache_pe.testing.clock import FakeClock
from aiocache_pe.testing.recorder import Recorder
from tests.unit.broken import BrokenEverywhere, Secretless


class Embedder:
    """A function of batches, and what it was called with."""

    def __init__(self, cache: CacheManager, **settings: Any) -> None:
        self.calls = list[list[str]]()
        self.function = cached_batch(cache=cache, **settings)(self.embed)

    async def embed(self, texts: Sequence[str], model: str = "small") -> list[list[float]]:
        self.calls.append(list(texts))
        return [[float(len(text)), float(len(model))] for text in texts]

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self.function(*args, **kwargs)


async def test_only_what_is_missing_is_computed_once_and_in_order(cache: CacheManager) -> None:
    embed = Embedder(cache)
    assert await embed(["a", "bb", "a"]) == [[1.0, 5.0], [2.0, 5.0], [1.0, 5.0]]
    assert await embed(["ccc", "bb", "ccc", "a"]) == [[3.0, 5], [2.0, 5], [3.0, 5], [1.0, 5]]
    assert embed.calls == [["a", "bb"], ["ccc"]]
    assert embed.function.cache_info() == (4, 3)


async def test_other_arguments_are_part_of_the_key(memory: CacheManager) -> None:
    embed = Embedder(memory)
    await embed(["a"])
    assert await embed(["a"], "tiny!") == [[1.0, 5.0]]
    assert await embed(["a"], model="small") == await embed(texts=["a"]) == [[1.0, 5.0]]
    assert embed.calls == [["a"], ["a"]]


async def test_other_arguments_that_are_ignored_are_not(memory: CacheManager) -> None:
    embed = Embedder(memory, ignore=["model"])
    assert await embed(["a"], "tiny") == await embed(["a"], "large!") == [[1.0, 4.0]]


async def test_a_hit_takes_one_read_and_what_is_missing_one_write() -> None:
    recorder = Recorder(MemoryBackend())
    embed = Embedder(CacheManager(recorder, memory_max_bytes=0))
    await embed(["a", "bb"])
    recorder.calls.clear()
    await embed(["a", "bb", "ccc", "dddd"])
    verbs = [verb for verb, _ in recorder.calls]
    assert verbs.count("read") == 1
    assert verbs.count("write") == 1


async def test_what_a_caller_does_to_a_result_no_other_sees(cache: CacheManager) -> None:
    embed = Embedder(cache)
    first = await embed(["a", "a"])
    assert first[0] is not first[1]
    first[0].append(7.0)
    assert first[1] == [1.0, 5.0]
    second = await embed(["a", "a"])
    second[0].clear()
    assert second[1] == [1.0, 5.0]
    assert await embed(["a"]) == [[1.0, 5.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
async def test_a_matrix_is_a_matrix_again(cache: CacheManager, dtype: str) -> None:
    calls = list[int]()

    @cached_batch(cache=cache)
    async def embed(texts: list[str]) -> np.ndarray[Any, Any]:
        calls.append(len(texts))
        return np.array([[len(text), 2, 3] for text in texts], dtype)

    fresh = await embed(["a", "bb", "a"])
    found = fresh
    for texts in (["a", "bb", "a"], ["bb", "a"], ["bb", "new", "a"]):
        found = await embed(texts)
        assert found.dtype == dtype
        assert found.tolist() == [[len(text), 2, 3] for text in texts]
    found[0, 0] = 99
    assert (await embed(["a", "bb", "a"]) == fresh).all()
    assert calls == [2, 1]


RESULTS: dict[str, Any] = {
    "tuple": lambda texts: tuple(len(text) for text in texts),
    "tuple of lists": lambda texts: tuple([text] for text in texts),
    "scores": lambda texts: np.array([len(text) / 2 for text in texts], "float32"),
    "images": lambda texts: np.array([[[len(text)]] * 2 for text in texts], "uint8"),
    "list of vectors": lambda texts: [np.array([len(text), 1.5]) for text in texts],
    "list of matrices": lambda texts: [np.array([[len(text), 1.5]]) for text in texts],
    "list of texts": lambda texts: [text.upper() for text in texts],
    "list of None": lambda texts: [None] * len(texts),
    "list of dicts": lambda texts: [{"batch": "tuple", "value": text} for text in texts],
    "empty vectors": lambda texts: np.empty((len(texts), 0)),
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
async def test_a_hit_is_of_the_form_that_the_function_returned(
    cache: CacheManager, result: Any
) -> None:
    @cached_batch(cache=cache)
    async def function(texts: list[str]) -> Any:
        return result(texts)

    for texts in (["a", "bb"], ["bb", "a", "bb"], ["bb", "ccc"]):
        expected, found = result(texts), await function(texts)
        assert type(found) is type(expected)
        if isinstance(found, np.ndarray):
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
        for one, other in zip(found, expected, strict=True):
            assert type(one) is type(other)
            assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    assert function.cache_info() == (4, 3)


async def test_what_does_not_fit_what_is_returned_now_is_computed_anew(
    memory: CacheManager,
) -> None:
    dtype = "float32"

    @cached_batch(cache=memory)
    async def embed(texts: list[str]) -> Any:
        return np.ones((len(texts), 2), dtype)

    await embed(["a", "b"])
    dtype = "float64"
    mixed = await embed(["a", "c"])
    assert mixed.dtype == "float64"
    assert (await embed(["a", "c"])).dtype == "float64"
    with read_only():
        assert (await embed(["b", "c"])).dtype == "float64"
    assert (await memory.get(embed.cache_keys(["b"])[0])).dtype == "float32"


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ([1], ValueError),
        ([1, 2, 3], ValueError),
        (np.ones((3, 2)), ValueError),
        (np.ones(()), ValueError),
        ({"a": 1, "b": 2}, TypeError),
        (None, TypeError),
        ("ab", TypeError),
    ],
)
async def test_a_result_that_does_not_answer_the_items_is_refused_and_not_stored(
    memory: CacheManager, result: Any, error: type[Exception]
) -> None:
    @cached_batch(cache=memory)
    async def function(texts: list[str]) -> Any:
        return result

    with pytest.raises(error, match=r"function\(\) returned"):
        await function(["a", "b"])
    assert (await memory.get_stats()).total_entries == 0


async def test_large_batches_are_cut_up(memory: CacheManager) -> None:
    embed = Embedder(memory, batch_size=2)
    texts = [f"{'x' * n}" for n in range(1, 6)]
    assert await embed(texts) == [[float(n), 5.0] for n in range(1, 6)]
    assert [len(call) for call in embed.calls] == [2, 2, 1]


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_no_more_calls_at_a_time_than_allowed(memory: CacheManager, concurrency: int) -> None:
    running, most = 0, 0

    @cached_batch(cache=memory, batch_size=1, concurrency=concurrency)
    async def function(numbers: list[int]) -> list[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return numbers

    assert await function([1, 2, 3, 4, 5, 6]) == [1, 2, 3, 4, 5, 6]
    assert most == concurrency


async def test_what_was_computed_before_a_call_failed_is_stored(memory: CacheManager) -> None:
    @cached_batch(cache=memory, batch_size=2)
    async def function(numbers: list[int]) -> list[int]:
        if 3 in numbers:
            raise OSError("no")
        return [2 * number for number in numbers]

    with pytest.raises(OSError, match="no"):
        await function([1, 2, 3, 4])
    assert await function([1, 2]) == [2, 4]
    assert function.cache_info() == (2, 4)
    assert (await memory.get_stats()).load_failures == 1


async def test_a_batch_without_items_calls_nothing(memory: CacheManager) -> None:
    embed = Embedder(memory)
    assert await embed([]) == []

    @cached_batch(cache=memory)
    async def of_tuple(texts: list[str]) -> tuple[int, ...]:
        raise AssertionError

    @cached_batch(cache=memory)
    async def of_matrix(texts: list[str]) -> np.ndarray[Any, Any]:
        return np.empty((len(texts), 3))

    assert await of_tuple([]) == ()
    assert (await of_matrix([])).shape == (0, 3)  # which the function alone can know
    assert embed.calls == []


@pytest.mark.parametrize("batch", ["text", b"text", {"a": 1}, {"a"}, 7, None, np.ones(())])
async def test_what_is_no_sequence_of_items_is_refused(memory: CacheManager, batch: Any) -> None:
    embed = Embedder(memory)
    with pytest.raises(TypeError, match="texts is a sequence of items, not"):
        await embed(batch)
    with pytest.raises(TypeError, match="needs its batch, 'texts'"):
        await embed(model="small")
    with pytest.raises(TypeError):
        await embed(["a"], "small", "too much")


@pytest.mark.parametrize("make", [list, tuple, iter, np.array])
async def test_the_function_gets_items_in_what_they_came_in(
    memory: CacheManager, make: Any
) -> None:
    got = list[Any]()

    @cached_batch(cache=memory)
    async def function(items: Any) -> list[float]:
        got.append(items)
        return [float(item) for item in items]

    await function(make([1.5]))
    assert await function(make([1.5, 2.5, 3.5])) == [1.5, 2.5, 3.5]
    assert isinstance(got[1], (list, tuple, np.ndarray))
    assert type(got[1]) is type(make([1.0])) or make is iter
    assert list(got[1]) == [2.5, 3.5]


async def test_rows_of_an_array_are_items(memory: CacheManager) -> None:
    calls = list[int]()

    @cached_batch(cache=memory)
    async def classify(images: np.ndarray[Any, Any]) -> list[int]:
        calls.append(len(images))
        return [int(image.sum()) for image in images]

    images = np.arange(12).reshape(3, 4)
    assert await classify(images) == [6, 22, 38]
    assert await classify(images[::-1]) == [38, 22, 6]
    assert calls == [3]


async def test_an_item_without_identity_is_refused(memory: CacheManager) -> None:
    embed = Embedder(memory)
    with pytest.raises(UnstableIdentityError):
        await embed([object()])


async def test_steering(memory: CacheManager) -> None:
    embed = Embedder(memory, batch_size=2)
    with bypass():
        assert await embed(["a", "a", "a"]) == [[1.0, 5.0]] * 3
        assert await embed(["a"]) == [[1.0, 5.0]]
    assert embed.calls == [["a", "a"], ["a"], ["a"]]
    assert embed.function.cache_info() == (0, 0)
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


async def test_verbs(memory: CacheManager) -> None:
    embed = Embedder(memory)
    await embed(["a", "bb", "ccc"])
    keys = embed.function.cache_keys(["a", "bb"])
    assert [await memory.exists(key) for key in keys] == [True, True]
    assert await embed.function.invalidate(["a", "bb", "dddd"]) == 2
    assert await embed.function.cache_clear() == 1
    assert embed.function.cache is memory
    assert "embed" in repr(embed.function)


async def test_settings_hold_for_each_item(memory: CacheManager, clock: FakeClock) -> None:
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


async def test_time_is_shortened_for_each_item_by_itself(clock: FakeClock) -> None:
    async with CacheManager("memory", clock=clock) as cache:
        embed = Embedder(cache, ttl=100, jitter=0.5)
        texts = [f"{n}" for n in range(20)]
        await embed(texts)
        left = {await cache.get_ttl(key) for key in embed.function.cache_keys(texts)}
        assert len(left) > 1
        assert all(each is not None and 50 <= each <= 100 for each in left)


async def test_none_is_a_result_unless_told_otherwise(memory: CacheManager) -> None:
    calls = list[list[int]]()

    @cached_batch(cache=memory, cache_none=False)
    async def function(numbers: list[int]) -> list[int | None]:
        calls.append(numbers)
        return [number if number > 1 else None for number in numbers]

    await function([1, 2])
    assert await function([1, 2]) == [None, 2]
    assert calls == [[1, 2], [1]]


class Unstorable:
    """Not even pickle can hold it."""

    def __reduce__(self) -> str:
        raise TypeError("no")


async def test_what_cannot_be_stored_is_returned_and_the_rest_is_stored(
    memory: CacheManager,
) -> None:
    @cached_batch(cache=memory)
    async def function(numbers: list[int]) -> list[Any]:
        return [Unstorable() if number == 1 else number for number in numbers]

    first, second, third = await function([1, 2, 1])
    assert (type(first), second) == (Unstorable, 2)
    assert third is first  # a handle, which nobody could copy
    assert (await memory.get_stats()).errors == 1
    await function([1, 2])
    assert function.cache_info() == (2, 3)


async def test_without_a_secret_plain_items_are_stored(clock: FakeClock) -> None:
    async with CacheManager(Secretless(), clock=clock) as cache:

        @cached_batch(cache=cache)
        async def function(numbers: list[int]) -> list[Any]:
            return [Unstorable] * len(numbers)

        assert await function([1]) == [Unstorable]


async def test_a_broken_store_breaks_no_batch() -> None:
    async with CacheManager(BrokenEverywhere(BackendError("down"))) as cache:
        embed = Embedder(cache, tags=["t"])
        for _ in range(2):
            assert await embed(["a", "bb", "a"]) == [[1.0, 5.0], [2.0, 5.0], [1.0, 5.0]]
    assert embed.calls == [["a", "bb"]] * 2


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"batch": "other"}, ConfigurationError, "no parameter 'other' for the batch"),
        ({"batch": 7}, TypeError, "batch is the name of a parameter"),
        ({"batch_size": 0}, ConfigurationError, "batch_size=0"),
        ({"batch_size": 1.5}, TypeError, "batch_size is an int"),
        ({"concurrency": 0}, ConfigurationError, "concurrency=0"),
        ({"concurrency": None}, TypeError, "concurrency is an int"),
        ({"ignore": ["texts"]}, ConfigurationError, "ignore= names 'texts'"),
        ({"ttl": "soon"}, ValueError, "soon"),
    ],
)
def test_wrong_settings_are_refused_where_it_is_decorated(
    settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):

        @cached_batch(**settings)
        async def function(texts: list[str]) -> list[str]:
            return texts


def test_what_cannot_be_decorated_is_refused() -> None:
    def nothing() -> list[int]:
        return []

    def yields(texts: list[str]) -> Any:
        yield from texts

    def variadic(*texts: str) -> list[str]:
        return list(texts)

    with pytest.raises(TypeError, match="@cached_batch takes a function, not 7"):
        cached_batch(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(ConfigurationError, match="could take a batch"):
        cached_batch(nothing)
    with pytest.raises(ConfigurationError, match="could take a batch"):
        cached_batch(variadic)
    with pytest.raises(TypeError, match="yields them"):
        cached_batch(yields)


async def test_methods_of_all_kinds(memory: CacheManager) -> None:
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


async def test_it_can_be_warmed(memory: CacheManager) -> None:
    embed = Embedder(memory, ttl=60)
    report = await warm_cache(memory, [(embed.function, (["a", "bb"],))])
    assert (report.computed, report.failed) == (1, 0)
    report = await warm_cache(memory, [(embed.function, (["bb", "a"],))])
    assert (report.computed, report.present) == (0, 1)
    report = await warm_cache(memory, [(embed.function, (["bb", "ccc"],))], before_expiry=30)
    assert report.computed == 1
    assert embed.calls == [["a", "bb"], ["ccc"]]
