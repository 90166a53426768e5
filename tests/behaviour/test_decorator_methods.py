"""Methods of a decorated function: results, and the entries that they change."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aiocache_pe import CacheInfo, CacheManager, cached
from aiocache_pe.exceptions import ConfigurationError
from tests.support.function_kinds import KINDS, CallCounter, Kind, each_kind


def set_name(name: str, body: Any) -> Any:
    body.__qualname__ = body.__name__ = name
    return body


@each_kind
async def test_the_cache_holds_the_result_under_the_cache_key(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    key = count.cache_key("x")
    assert key == count.cache_key(a="x", b=2)
    assert not await cache.exists(key)
    await kind.get_result(count("x"))
    assert await cache.exists(key)
    assert await cache.delete(key)
    assert await kind.get_result(count("x")) == 2


@each_kind
async def test_a_cache_key_does_not_contain_the_namespace(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, namespace="there", key="{a}")
    key = count.cache_key("x")
    assert key.endswith(":x")
    await kind.get_result(count("x"))
    assert await memory.namespace("there").exists(key)
    assert not await memory.exists(key)


@each_kind
async def test_invalidate_reports_whether_a_result_was_stored(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    assert await kind.get_result(count.invalidate("x")) is False
    assert [await kind.get_result(count(a)) for a in "xy"] == [1, 2]
    assert await kind.get_result(count.invalidate("x", b=2)) is True
    assert await kind.get_result(count.invalidate("x")) is False
    assert [await kind.get_result(count(a)) for a in "xy"] == [3, 2]


@each_kind
async def test_refresh_computes_and_stores_also_when_a_result_is_stored(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    assert await kind.get_result(count.refresh("x")) == 1
    assert await kind.get_result(count("x")) == 1
    assert await kind.get_result(count.refresh(a="x")) == 2
    assert await kind.get_result(count("x")) == 2
    assert count.cache_info()[:2] == (2, 2)


@each_kind
async def test_refresh_applies_the_settings(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(
        CallCounter().make_body(),
        cache=memory,
        ttl=60,
        tags=["t"],
        cache_if=lambda value: kind.unwrap(value) != 2,
    )
    assert [await kind.get_result(count.refresh()) for _ in range(2)] == [1, 2]
    assert await kind.get_result(count()) == 1
    assert await memory.get_ttl(count.cache_key()) == 60
    await memory.delete_by_tag("t")
    assert await kind.get_result(count()) == 3


@each_kind
async def test_cache_clear_removes_this_functions_results_and_counts_them(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    assert await kind.get_result(count.cache_clear()) == 0
    for a in range(5):
        await kind.get_result(count(a))
    await cache.set("mine", 1)
    assert await kind.get_result(count.cache_clear()) == 5
    assert await cache.get("mine") == 1
    assert await kind.get_result(count(0)) == 6


NEIGHBOURS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("get", {}, "get_all", {}),
    ("get", {}, "get2", {}),
    ("get", {}, "get.inner", {}),
    ("get", {}, "get", {"version": 1}),
    ("get", {"version": 1}, "get", {"version": 10}),
    ("get", {"version": 1}, "get", {}),
    ("get", {"key_prefix": "llm"}, "get_all", {"key_prefix": "llm"}),
    ("get", {"key_prefix": "llm"}, "get", {"key_prefix": "llm2"}),
    ("get", {"key_prefix": "llm"}, "get", {}),
    ("get", {"key_prefix": "*"}, "get", {"key_prefix": "llm"}),
    ("get", {"key_prefix": "l?m"}, "get", {"key_prefix": "llm"}),
    ("get", {"key_prefix": "[a-z]"}, "get", {"key_prefix": "l"}),
    ("get", {"key_prefix": "[!x]"}, "get", {"key_prefix": "l"}),
    ("get", {"key_prefix": ""}, "get", {"key_prefix": "l"}),
    ("g*", {}, "get", {}),
    ("g?t", {}, "get", {}),
    ("g[e]t", {}, "get", {}),
    ("get", {"version": "*"}, "get", {"version": "1"}),
    ("get", {"key_prefix": "llm", "key": "{a}"}, "get", {"key_prefix": "llm2", "key": "{a}"}),
    ("get", {"key": "{a}"}, "get_all", {"key": "{a}"}),
    ("get", {"namespace": "here"}, "get", {"namespace": "there"}),
]


@pytest.mark.parametrize(("name", "settings", "neighbour", "other_settings"), NEIGHBOURS)
async def test_cache_clear_keeps_the_entries_of_functions_with_similar_names(
    name: str,
    settings: dict[str, Any],
    neighbour: str,
    other_settings: dict[str, Any],
    memory: CacheManager,
) -> None:
    kind = KINDS[0]
    cleared = kind.decorate(set_name(name, CallCounter().make_body()), cache=memory, **settings)
    kept = kind.decorate(
        set_name(neighbour, CallCounter().make_body()), cache=memory, **other_settings
    )
    for function in (cleared, kept):
        assert [await function(a) for a in ("x", "y")] == [1, 2]
    assert await cleared.cache_clear() == 2
    assert [await kept(a) for a in ("x", "y")] == [1, 2]
    assert await cleared("x") == 3
    assert await kept.cache_clear() == 2
    assert await cleared("x") == 3


@each_kind
async def test_a_name_that_looks_like_a_pattern_can_be_cleared(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache, key_prefix="[a*?]!", version="*[")
    assert [await kind.get_result(count(a)) for a in "xy"] == [1, 2]
    assert await kind.get_result(count.cache_clear()) == 2


@each_kind
async def test_cache_info_counts_hits_and_misses(kind: Kind, cache: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    assert count.cache_info() == CacheInfo(hits=0, misses=0, maxsize=None, currsize=0)
    for a in [1, 2, 3, 1, 1, 2]:
        await kind.get_result(count(a))
    assert count.cache_info()[:2] == (3, 3)


@each_kind
async def test_cache_info_has_the_bound_and_the_number_of_results_in_memory(kind: Kind) -> None:
    async with CacheManager("memory", max_entries=50) as cache:
        count = kind.decorate(CallCounter().make_body(), cache=cache)
        other = kind.decorate(CallCounter().make_body(), cache=cache, key_prefix="other")
        for a in [1, 2, 3, 1]:
            await kind.get_result(count(a))
        await kind.get_result(other(1))
        assert count.cache_info() == (1, 3, 50, 3, 0)
        await kind.get_result(count.invalidate(1))
        assert count.cache_info().currsize == 2
        await kind.get_result(count.cache_clear())
        assert (count.cache_info().currsize, other.cache_info().currsize) == (0, 1)


async def test_cache_info_is_exact_for_concurrent_calls(cache: CacheManager) -> None:
    calls, go = list[int](), asyncio.Event()

    @cached(cache=cache)
    async def slow(number: int) -> list[int]:
        calls.append(number)
        await go.wait()
        return [number]

    tasks = [asyncio.ensure_future(slow(number % 10)) for number in range(100)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert sorted(calls) == list(range(10))
    assert slow.cache_info()[:2] == (90, 10)
    await asyncio.gather(*(slow(number % 10) for number in range(100)))
    assert slow.cache_info()[:2] == (190, 10)
    await asyncio.gather(*(slow(number) for number in range(10, 110)))
    assert slow.cache_info()[:2] == (190, 110)


def test_cache_info_counts_the_calls_of_concurrent_threads(memory: CacheManager) -> None:
    begin, calls = threading.Barrier(8), list[int]()

    @cached(cache=memory)
    def slow(number: int) -> int:
        calls.append(number)
        return number

    def work() -> None:
        begin.wait(10)
        for number in range(20):
            assert slow(number) == number

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    hits, misses = slow.cache_info()[:2]
    assert (sorted(calls), misses) == (list(range(20)), 20)
    assert hits == 8 * 20 - 20


@each_kind
async def test_a_call_that_raises_is_a_miss(kind: Kind, memory: CacheManager) -> None:
    def failing() -> None:
        raise ValueError("no")

    decorated = kind.decorate(failing, cache=memory)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await kind.get_result(decorated())
    assert decorated.cache_info()[:2] == (0, 2)


@each_kind
async def test_the_cache_attribute_is_available_before_the_first_call(
    kind: Kind, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count.cache.get("absent")) is None
    await memory.set("there", 1)
    assert await kind.get_result(count.cache.get("there")) == 1


@each_kind
@pytest.mark.parametrize("verb", ["__call__", "refresh", "cache_key", "invalidate", "cache_clear"])
async def test_any_method_may_be_called_first(kind: Kind, verb: str, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    await kind.get_result(getattr(count, verb)())
    assert await kind.get_result(count()) == 1


@each_kind
@pytest.mark.parametrize("verb", ["__call__", "refresh", "cache_key", "invalidate"])
async def test_every_method_raises_for_wrong_arguments(
    kind: Kind, verb: str, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    with pytest.raises(TypeError, match=r"count.*too many positional arguments"):
        await kind.get_result(getattr(count, verb)(1, 2, 3))


@each_kind
async def test_the_wrapped_function_bypasses_the_cache(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    assert await kind.get_result(count.__wrapped__()) == 2
    assert await kind.get_result(count()) == 1


def test_a_lambda_needs_a_prefix() -> None:
    with pytest.raises(ConfigurationError, match="a lambda has no name"):
        cached(cache=CacheManager("null"))(lambda: 1)
    assert cached(cache=CacheManager("null"), key_prefix="one")(lambda: 1)() == 1
