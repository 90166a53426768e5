"""The manager over many keys: namespaces, tags, patterns, and one round trip for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import permutations
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.polling import poll

NAMES = ("search", "Search", "a:b", "a", "a+tags", "..", "nul\0", "\ud800", "x" * 200, "50%")


async def keys(cache: CacheManager, pattern: str = "*") -> list[str]:
    return sorted([key async for key in cache.keys(pattern)])


async def test_many_are_stored_read_and_removed(cache: CacheManager, clock: FakeClock) -> None:
    values: dict[str, Any] = {f"k{n}": [n] for n in range(100)} | {"none": None, "zero": 0}
    assert await cache.set_many(values, ttl="1m", tags=["t"])
    found = await cache.get_many(["absent", *values, "k0"])
    assert found == values
    assert list(found) == list(values)
    assert await cache.delete_many(["k0", "k1", "absent", "k1"]) == 2
    assert "k0" not in await cache.get_many(values)
    clock.advance(60)
    assert await cache.get_many(values) == {}
    assert await cache.delete_many(values) == 0


async def test_none_are_as_good_as_many(cache: CacheManager) -> None:
    assert await cache.set_many({})
    assert await cache.get_many([]) == {}
    assert await cache.delete_many([]) == 0
    assert await cache.delete_by_tag()


async def test_keys_may_come_from_any_iterable(cache: CacheManager) -> None:
    await cache.set_many({"a": 1, "b": 2})
    assert await cache.get_many(key for key in "abc") == {"a": 1, "b": 2}
    assert await cache.delete_many(iter("ab")) == 2


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        (lambda cache: cache.set_many({str(n): n for n in range(100)}), ["write"]),
        (lambda cache: cache.get_many(map(str, range(100))), ["read"]),
        (lambda cache: cache.delete_many(map(str, range(100))), ["delete"]),
        (lambda cache: cache.get("1"), ["read"]),
        (lambda cache: cache.set("1", 1), ["write"]),
        (lambda cache: cache.incr("n"), ["update"]),
        (lambda cache: cache.touch("1"), ["update"]),
        (lambda cache: cache.pop("1"), ["update"]),
        (lambda cache: cache.add("1", 1), ["update"]),
        (lambda cache: cache.delete_by_tag("a", "b", "c"), ["write"]),
        (lambda cache: cache.clear(), ["clear"]),
    ],
)
async def test_a_verb_is_one_round_trip(
    verb: Callable[[CacheManager], Awaitable[object]], expected: list[str]
) -> None:
    recorder = SpyBackend(MemoryBackend())
    async with CacheManager(recorder) as cache:
        await verb(cache)
        assert [name for name, _ in recorder.calls] == expected


async def test_what_carries_a_deleted_tag_is_gone(cache: CacheManager) -> None:
    await cache.set("a", 1, tags=["news", "eu"])
    await cache.set("b", 2, tags=["news"])
    await cache.set("c", 3, tags=["eu"])
    await cache.set("d", 4)
    assert await cache.delete_by_tag("news")
    assert await cache.get_many(list("abcd")) == {"c": 3, "d": 4}
    assert await keys(cache) == ["c", "d"]
    assert not await cache.delete("a")
    assert await cache.entry("a") is None
    assert await cache.get_ttl("b") is None
    assert not await cache.touch("b")
    await cache.set("a", 5, tags=["news"])
    assert await cache.get("a") == 5
    assert await cache.delete_by_tag("eu", "news", "never used")
    assert await keys(cache) == ["d"]


async def test_the_cost_of_deleting_by_tag_does_not_grow_with_the_entries() -> None:
    recorder = SpyBackend(MemoryBackend())
    async with CacheManager(recorder) as cache:
        await cache.set_many({str(n): n for n in range(1000)}, tags=["t"])
        recorder.calls.clear()
        await cache.delete_by_tag("t")
        assert recorder.calls == [("write", ("default+tags:t",))]
        assert await cache.get("7") is None


async def test_what_was_computed_before_its_tag_was_deleted_is_not_served_after(
    cache: CacheManager,
) -> None:
    started, end = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        await end.wait()
        return "of yesterday"

    task = asyncio.create_task(cache.get_or_set("k", slow, tags=["t"]))
    await started.wait()
    await cache.delete_by_tag("t")
    end.set()
    assert await task == "of yesterday"
    assert await cache.get("k", "gone") == "gone"
    assert await cache.get_or_set("k", lambda: "of today", tags=["t"]) == "of today"
    assert await cache.get("k") == "of today"


async def test_tags_and_keys_of_one_name_do_not_meet(cache: CacheManager) -> None:
    await cache.set("t", 1, tags=["t"])
    await cache.set("u", 2)
    await cache.delete_by_tag("u")
    assert await cache.get_many(list("tu")) == {"t": 1, "u": 2}
    assert await cache.get("default+tags:t") is None


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        ("*", ["User:1", "user:1", "user:12", "user:1\n", "[x]", "user*"]),
        ("user:*", ["user:1", "user:12", "user:1\n"]),
        ("user:?", ["user:1"]),
        ("[Uu]ser:1", ["User:1", "user:1"]),
        ("[[]x]", ["[x]"]),
        ("user[*]", ["user*"]),
        ("", []),
    ],
)
async def test_a_pattern_lists_and_removes_what_it_matches(
    cache: CacheManager, pattern: str, match: list[str]
) -> None:
    stored = ["User:1", "user:1", "user:12", "user:1\n", "[x]", "user*"]
    await cache.set_many(dict.fromkeys(stored, 1))
    assert await keys(cache, pattern) == sorted(match)
    assert await cache.invalidate(pattern) == len(match)
    assert await keys(cache) == sorted(set(stored) - set(match))


async def test_patterns_see_all_of_a_long_key(cache: CacheManager) -> None:
    long = "prompt " * 100
    await cache.set_many({long + "a": 1, long + "b": 2})
    assert await keys(cache, "*b") == [long + "b"]
    assert await cache.invalidate("*a") == 1


async def test_listing_may_stop_early_and_others_may_write_meanwhile(cache: CacheManager) -> None:
    await cache.set_many({str(n): n for n in range(50)})
    seen = list[str]()
    async for key in cache.keys("*"):
        seen.append(key)
        await cache.delete(key)
        await cache.set("new " + key, 1)
        if len(seen) == 10:
            break
    assert len(set(seen)) == 10


@pytest.mark.parametrize(("one", "other"), list(permutations(NAMES, 2)))
async def test_namespaces_never_see_each_other(one: str, other: str) -> None:
    async with CacheManager("memory", namespace=one) as mine:
        its = mine.namespace(other)
        await _isolated(mine, its)


@pytest.mark.parametrize("other", NAMES)
async def test_namespaces_never_see_each_other_in_any_store(
    cache: CacheManager, other: str
) -> None:
    await _isolated(cache, cache.namespace(other))


async def _isolated(mine: CacheManager, its: CacheManager) -> None:
    awkward = ("k", "", "a:b", "+tags:t", "x" * 300)
    await mine.set_many({key: f"mine {key}" for key in awkward}, tags=["t"])
    assert await its.get_many(awkward) == {}
    await its.set_many({key: f"its {key}" for key in awkward}, tags=["t"])
    await its.delete_by_tag("t")
    assert len(await mine.get_many(awkward)) == 5
    await its.set("k", "its")
    assert await keys(its) == ["k"]
    assert (await mine.get_stats()).hits == 5
    assert (await its.get_stats()).hits == 0
    assert await its.clear() >= 1
    assert await keys(its) == []
    assert len(await keys(mine)) == 5
    assert await mine.invalidate("*") == 5


async def test_a_view_is_the_same_cache(cache: CacheManager) -> None:
    view = cache.namespace("search")
    await view.set("k", 1)
    assert await cache.namespace("search").get("k") == 1
    assert await view.namespace("default").get("k") is None
    await view.close()  # only reports
    await cache.set("k", 2)
    assert await cache.get("k") == 2
    assert await view.get("k") == 1


async def test_clear_removes_all_and_tells_how_many(cache: CacheManager) -> None:
    await cache.set_many({str(n): n for n in range(10)}, tags=["t"])
    assert await cache.clear() == 10
    assert await cache.clear() == 0
    assert await cache.get("1") is None
    await cache.set("1", 1, tags=["t"])
    assert await cache.get("1") == 1


async def test_cleanup_removes_what_is_over(cache: CacheManager, clock: FakeClock) -> None:
    await cache.set_many({"a": 1, "b": 2}, ttl=10)
    await cache.set("c", 3, tags=["t"])
    await cache.set("d", 4)
    assert await cache.cleanup_expired() == 0
    clock.advance(10)
    await cache.delete_by_tag("t")
    assert (await cache.get_stats()).total_entries == 4
    assert await cache.cleanup_expired() == 3
    stats = await cache.get_stats()
    assert (stats.total_entries, stats.expirations) == (1, 3)
    assert await cache.get("d") == 4


async def test_a_write_during_a_computation_stays(cache: CacheManager) -> None:
    started, end = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        await end.wait()
        return "computed"

    task = asyncio.create_task(cache.get_or_set("k", slow))
    await poll(started.is_set)
    await cache.set("other", "written")
    end.set()
    assert await task == "computed"
    assert await cache.get_many(["k", "other"]) == {"k": "computed", "other": "written"}
