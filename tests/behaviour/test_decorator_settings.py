"""Settings of `cached` and their effect on each kind of function."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from aiocache_pe import CacheManager, InvalidKeyError, get_cache
from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.function_kinds import CallCounter, Kind, each_kind

pytestmark = each_kind


async def list_keys(cache: CacheManager) -> list[str]:
    return sorted([key async for key in cache.keys("*")])


async def test_the_second_call_is_a_hit(kind: Kind, cache: CacheManager) -> None:
    counted = CallCounter()
    count = kind.decorate(counted.make_body(), cache=cache)
    for _ in range(3):
        assert await kind.get_result(count("x")) == 1
    assert await kind.get_result(count(a="x", b=2, session=None)) == 1
    assert await kind.get_result(count("y")) == 2
    assert counted.calls == ["x", "y"]


@pytest.mark.parametrize("ttl", [60, "1m", timedelta(minutes=1)])
async def test_an_entry_expires_exactly_at_its_ttl(
    kind: Kind, ttl: Any, memory: CacheManager, clock: FakeClock
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, ttl=ttl)
    assert await kind.get_result(count()) == 1
    clock.advance(59.999)
    assert await kind.get_result(count()) == 1
    clock.advance(0.001)
    assert await kind.get_result(count()) == 2


async def test_a_ttl_may_depend_on_the_result(
    kind: Kind, memory: CacheManager, clock: FakeClock
) -> None:
    results = list[Any]()

    def lifetime(result: Any) -> float:
        results.append(result)
        return float(10 * kind.unwrap(result))

    count = kind.decorate(CallCounter().make_body(), cache=memory, ttl=lifetime)
    for number in (1, 2, 3):
        assert await kind.get_result(count()) == number
        assert await memory.get_ttl(count.cache_key()) == 10.0 * number
        clock.advance(10.0 * number)
    assert results == [[1], [2], [3]] if kind.is_stream else results == [1, 2, 3]


@pytest.mark.parametrize("lifetime", [0, -1, float("nan"), True, "soon", [], 1j, LookupError])
async def test_a_ttl_function_that_fails_costs_the_storing_only(
    kind: Kind, memory: CacheManager, lifetime: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def find_lifetime(result: Any) -> Any:
        if lifetime is LookupError:
            raise LookupError("no lifetime")
        return lifetime

    count = kind.decorate(CallCounter().make_body(), cache=memory, ttl=find_lifetime)
    assert [await kind.get_result(count()) for _ in range(2)] == [1, 2]
    assert await list_keys(memory) == []
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "is not stored, because a function given as ttl=" in messages[0]


async def test_ttl_none_never_expires_and_no_ttl_means_that_of_the_cache(
    kind: Kind, clock: FakeClock
) -> None:
    async with CacheManager("memory", ttl=10, clock=clock) as cache:
        endless = kind.decorate(CallCounter().make_body(), cache=cache, ttl=None, version="endless")
        default = kind.decorate(CallCounter().make_body(), cache=cache)
        for number in (1, 2):
            assert await kind.get_result(endless()) == 1
            assert await kind.get_result(default()) == number
            clock.advance(10)


async def test_keys_begin_with_the_module_or_the_prefix(kind: Kind, memory: CacheManager) -> None:
    name = CallCounter().make_body().__qualname__
    await kind.get_result(kind.decorate(CallCounter().make_body(), cache=memory)("why?"))
    await kind.get_result(
        kind.decorate(CallCounter().make_body(), cache=memory, key_prefix="llm")("why?")
    )
    ours, theirs = await list_keys(memory)
    assert re.match(re.escape(f"llm:{name}@") + "[0-9a-f]{20}:why[?]:", ours)
    name = re.escape(f"tests.support.function_kinds.{name}")
    assert re.match(f"{name}@[0-9a-f]{{20}}:why[?]:", theirs)


TEMPLATES: list[tuple[Any, str]] = [
    ("{a}", "llm:7"),
    ("{a}:{b}", "llm:7:2"),
    ("user {a:03d}/{b}", "llm:user 007/2"),
    (lambda a, b=2, *, session=None: f"{a} and {b}", "llm:7 and 2"),
]


@pytest.mark.parametrize(("key", "expected"), TEMPLATES)
async def test_a_key_follows_the_template_or_function_of_the_user(
    kind: Kind, key: Any, expected: str, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, key=key, key_prefix="llm")
    assert count.cache_key(7).startswith(expected)
    assert await kind.get_result(count(7, session="x")) == 1
    assert await kind.get_result(count(a=7, session="y")) == 1
    assert await kind.get_result(count(8)) == 2
    assert len(await list_keys(memory)) == 2
    assert await memory.exists(count.cache_key(7))


async def test_a_key_without_a_prefix_belongs_to_the_function(
    kind: Kind, memory: CacheManager
) -> None:
    def other(a: Any) -> str:
        return "other"

    count = kind.decorate(CallCounter().make_body(), cache=memory, key="{a}")
    other_function = kind.decorate(other, cache=memory, key="{a}")
    assert [await kind.get_result(count(1)), await kind.get_result(other_function(1))] == [
        1,
        "other",
    ]


async def test_functions_with_the_same_prefix_and_key_share_entries(
    kind: Kind, memory: CacheManager
) -> None:
    def other(a: Any) -> str:
        return "other"

    count = kind.decorate(CallCounter().make_body(), cache=memory, key="{a}", key_prefix="shared")
    other_function = kind.decorate(other, cache=memory, key="{a}", key_prefix="shared")
    assert [await kind.get_result(count(1)), await kind.get_result(other_function(1))] == [1, 1]


async def test_ignored_parameters_are_not_part_of_the_key(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, ignore=["session", "b"])
    for b, session in [(1, object()), (2, object()), (3, None)]:
        assert await kind.get_result(count("x", b, session=session)) == 1
    assert await kind.get_result(count("y")) == 2


async def test_a_version_has_entries_of_its_own(kind: Kind, memory: CacheManager) -> None:
    body = CallCounter().make_body()
    versions = [None, 1, 2, "1.0", ""]
    functions = [kind.decorate(body, cache=memory, version=version) for version in versions]
    for _ in range(2):
        assert [await kind.get_result(function("x")) for function in functions] == [1, 2, 3, 4, 5]


async def test_a_namespace_has_entries_of_its_own(kind: Kind, cache: CacheManager) -> None:
    body = CallCounter().make_body()
    here = kind.decorate(body, cache=cache)
    there = kind.decorate(body, cache=cache, namespace="there")
    for _ in range(2):
        assert [await kind.get_result(here()), await kind.get_result(there())] == [1, 2]
    await cache.namespace("there").clear()
    assert [await kind.get_result(here()), await kind.get_result(there())] == [1, 3]


async def test_tags_are_filled_with_the_calls_arguments(kind: Kind, cache: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache, tags=["llm", "of:{a}", "{a}/{b}"])
    assert [await kind.get_result(count(a)) for a in "xyz"] == [1, 2, 3]
    entry = await cache.entry(count.cache_key("x"))
    assert entry is not None
    assert set(entry.tags) == {"llm", "of:x", "x/2"}
    await cache.delete_by_tag("of:x", "y/2")
    assert [await kind.get_result(count(a)) for a in "xyz"] == [4, 5, 3]
    await cache.delete_by_tag("llm")
    assert [await kind.get_result(count(a)) for a in "xyz"] == [6, 7, 8]


async def test_a_tag_may_be_filled_with_a_long_text(kind: Kind, cache: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache, tags=["page:{a}"])
    here, there = "https://a/" + "x" * 70_000, "https://a/" + "x" * 70_001
    assert [await kind.get_result(count(a)) for a in (here, there, here)] == [1, 2, 1]
    await cache.delete_by_tag(f"page:{here}")
    assert [await kind.get_result(count(a)) for a in (here, there)] == [3, 2]


async def test_a_tag_filled_with_an_empty_text_raises(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory, tags=["{a}"])
    with pytest.raises(InvalidKeyError, match="tag must have at least 1 character"):
        await kind.get_result(count(""))


async def test_a_tag_deleted_during_the_call_leaves_no_stale_result(
    kind: Kind, memory: CacheManager
) -> None:
    """Delete the tag while the result is computed from older data."""
    numbers = iter([1, 2, 3])

    def overtaken(a: Any) -> int:
        number = next(numbers)
        if number == 1:
            with ThreadPoolExecutor(1) as other:
                other.submit(asyncio.run, memory.delete_by_tag(f"of:{a}")).result(10)
        return number

    tagged = kind.decorate(overtaken, cache=memory, tags=["of:{a}"])
    assert [await kind.get_result(tagged(1)) for _ in range(3)] == [1, 2, 2]


async def test_cache_if_decides_which_results_are_stored(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(
        CallCounter().make_body(), cache=memory, cache_if=lambda value: kind.unwrap(value) >= 3
    )
    assert [await kind.get_result(count()) for _ in range(5)] == [1, 2, 3, 3, 3]
    assert len(await list_keys(memory)) == 1


async def test_a_cache_if_function_that_fails_costs_the_storing_only(
    kind: Kind, memory: CacheManager
) -> None:
    count = kind.decorate(
        CallCounter().make_body(), cache=memory, cache_if=lambda value: value.missing
    )
    assert [await kind.get_result(count()) for _ in range(2)] == [1, 2]
    assert await list_keys(memory) == []
    assert (await memory.get_stats()).load_failures == 2


async def test_none_is_stored_unless_cache_none_is_off(kind: Kind, memory: CacheManager) -> None:
    results = iter([None, None, "", 1])

    def moody() -> Any:
        return next(results)

    if kind.is_stream:
        with pytest.raises(ConfigurationError, match="a stream is never None"):
            kind.decorate(moody, cache=memory, cache_none=False)
        return
    choosy = kind.decorate(
        moody, cache=memory, cache_none=False, cache_if=lambda value: value != "", version=1
    )
    assert [await kind.get_result(choosy()) for _ in range(5)] == [None, None, "", 1, 1]
    results = iter([None, 2, 3])
    less_so = kind.decorate(moody, cache=memory, cache_none=False, version=2)
    assert [await kind.get_result(less_so()) for _ in range(3)] == [None, 2, 2]
    results = iter([None, 2])
    taking = kind.decorate(moody, cache=memory, version=3)
    assert [await kind.get_result(taking()) for _ in range(3)] == [None, None, None]


async def test_a_backend_by_name_is_the_shared_one_of_the_process(kind: Kind) -> None:
    count = kind.decorate(CallCounter().make_body(), backend="memory", key_prefix=kind.name)
    assert [await kind.get_result(count()), await kind.get_result(count())] == [1, 1]
    assert await get_cache("memory").delete(count.cache_key())
