"""`cached_batch`: one entry for each item, and calls for the missing items only."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from aiocache_pe import CacheManager, cached_batch, read_only
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import UnstableIdentityError
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.embedder import Embedder


async def test_only_missing_items_are_computed_once_and_in_order(cache: CacheManager) -> None:
    embed = Embedder(cache)
    assert await embed(["a", "bb", "a"]) == [[1.0, 5.0], [2.0, 5.0], [1.0, 5.0]]
    assert await embed(["ccc", "bb", "ccc", "a"]) == [[3.0, 5], [2.0, 5], [3.0, 5], [1.0, 5]]
    assert embed.calls == [["a", "bb"], ["ccc"]]
    assert embed.function.cache_info()[:2] == (4, 3)


async def test_other_arguments_are_part_of_the_key(memory: CacheManager) -> None:
    embed = Embedder(memory)
    await embed(["a"])
    assert await embed(["a"], "tiny!") == [[1.0, 5.0]]
    assert await embed(["a"], model="small") == await embed(texts=["a"]) == [[1.0, 5.0]]
    assert embed.calls == [["a"], ["a"]]


async def test_ignored_arguments_are_not_part_of_the_key(memory: CacheManager) -> None:
    embed = Embedder(memory, ignore=["model"])
    assert await embed(["a"], "tiny") == await embed(["a"], "large!") == [[1.0, 4.0]]


async def test_a_batch_takes_one_read_and_one_write() -> None:
    recorder = SpyBackend(MemoryBackend())
    embed = Embedder(CacheManager(recorder, memory_max_bytes=0))
    await embed(["a", "bb"])
    recorder.calls.clear()
    await embed(["a", "bb", "ccc", "dddd"])
    verbs = [verb for verb, _ in recorder.calls]
    assert verbs.count("read") == 1
    assert verbs.count("write") == 1


async def test_changes_to_a_result_do_not_reach_other_callers(cache: CacheManager) -> None:
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
async def test_a_matrix_stays_a_matrix(cache: CacheManager, dtype: str) -> None:
    calls = list[int]()

    @cached_batch(cache=cache)
    async def embed(texts: list[str]) -> np.ndarray[Any, Any]:
        calls.append(len(texts))
        return np.array([[len(text), 2, 3] for text in texts], dtype)

    fresh = await embed(["a", "bb", "a"])
    matrix = fresh
    for texts in (["a", "bb", "a"], ["bb", "a"], ["bb", "new", "a"]):
        matrix = await embed(texts)
        assert matrix.dtype == dtype
        assert matrix.tolist() == [[len(text), 2, 3] for text in texts]
    matrix[0, 0] = 99
    assert (await embed(["a", "bb", "a"]) == fresh).all()
    assert calls == [2, 1]


def make_ragged_array(lists: list[list[int]]) -> np.ndarray[Any, Any]:
    array = np.empty(len(lists), object)
    array[:] = lists
    return array


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
    "objects": lambda texts: np.array([text.upper() for text in texts], object),
    "lists as objects": lambda texts: make_ragged_array(
        [[len(text)] * len(text) for text in texts]
    ),
    "empty vectors": lambda texts: np.empty((len(texts), 0)),
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
async def test_a_hit_has_the_type_that_the_function_returned(
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
    assert function.cache_info()[:2] == (4, 3)


async def test_rows_of_objects_stay_rows(memory: CacheManager) -> None:
    @cached_batch(cache=memory)
    async def function(texts: list[str]) -> Any:
        return np.array([[text, None] for text in texts], object)

    for texts in (["a", "b"], ["b", "a", "b"]):
        found = await function(texts)
        assert found.dtype == object
        assert found.tolist() == [[text, None] for text in texts]
    assert function.cache_info()[:2] == (3, 2)


async def test_stored_items_of_another_type_are_computed_again(
    memory: CacheManager,
) -> None:
    dtype = "float32"

    @cached_batch(cache=memory)
    async def embed(texts: list[str]) -> Any:
        return np.ones((len(texts), 2), dtype)

    await embed(["a", "b"])
    dtype = "float64"
    mixed = await embed(text for text in ("a", "c"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert mixed.dtype == "float64"
    assert mixed.shape == (2, 2)
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
async def test_a_result_that_does_not_match_the_items_raises_and_is_not_stored(
    memory: CacheManager, result: Any, error: type[Exception]
) -> None:
    @cached_batch(cache=memory)
    async def function(texts: list[str]) -> Any:
        return result

    with pytest.raises(error, match=r"function\(\) returned"):
        await function(["a", "b"])
    assert (await memory.get_stats()).total_entries == 0


async def test_large_batches_are_split(memory: CacheManager) -> None:
    embed = Embedder(memory, batch_size=2)
    texts = [f"{'x' * n}" for n in range(1, 6)]
    assert await embed(texts) == [[float(n), 5.0] for n in range(1, 6)]
    assert [len(call) for call in embed.calls] == [2, 2, 1]


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_calls_at_once_do_not_exceed_concurrency(
    memory: CacheManager, concurrency: int
) -> None:
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


async def test_items_computed_before_a_call_failed_are_stored(memory: CacheManager) -> None:
    @cached_batch(cache=memory, batch_size=2)
    async def function(numbers: list[int]) -> list[int]:
        if 3 in numbers:
            raise OSError("no")
        return [2 * number for number in numbers]

    with pytest.raises(OSError, match="no"):
        await function([1, 2, 3, 4])
    assert await function([1, 2]) == [2, 4]
    assert function.cache_info()[:2] == (2, 4)
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
    assert (await of_matrix([])).shape == (0, 3)  # only the function knows the second dimension
    assert embed.calls == []


@pytest.mark.parametrize("batch", ["text", b"text", {"a": 1}, {"a"}, 7, None, np.ones(())])
async def test_a_batch_that_is_no_sequence_raises(memory: CacheManager, batch: Any) -> None:
    embed = Embedder(memory)
    with pytest.raises(TypeError, match="texts must be a sequence of items; got"):
        await embed(batch)
    with pytest.raises(TypeError, match="needs its batch, 'texts'"):
        await embed(model="small")
    with pytest.raises(TypeError):
        await embed(["a"], "small", "too much")


@pytest.mark.parametrize("make", [list, tuple, iter, np.array])
async def test_the_function_gets_items_in_the_type_of_the_argument(
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


async def test_an_item_without_identity_raises(memory: CacheManager) -> None:
    embed = Embedder(memory)
    with pytest.raises(UnstableIdentityError):
        await embed([object()])
