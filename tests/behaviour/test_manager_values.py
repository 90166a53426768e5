"""Operations of the manager on one key: stored values are read unchanged until they expire."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest

from aiocache_pe import CacheManager, SerializationError
from aiocache_pe.exceptions import InvalidTTLError
from aiocache_pe.keys.store_keys import MAX_KEY_LENGTH
from aiocache_pe.testing.fake_clock import FakeClock

NOTHING: tuple[Any, ...] = (None, 0, "", False, [], {}, b"", 0.0)
KEYS = (
    "",
    "k",
    "a:b",
    "..",
    "nul\0",
    "\N{PILE OF POO}",
    "\ud800",
    "x" * 10_000,
    "CON",
    "k+stats:c",
)


@pytest.mark.parametrize("value", NOTHING, ids=repr)
async def test_none_and_empty_values_are_hits(cache: CacheManager, value: Any) -> None:
    missing = object()
    assert await cache.get("k", missing) is missing
    assert await cache.set("k", value)
    found = await cache.get("k", missing)
    assert (found, type(found)) == (value, type(value))
    assert await cache.exists("k")
    assert await cache.get_many(["k", "absent"]) == {"k": value}
    assert await cache.get_or_set("k", lambda: "computed") == value
    assert not await cache.add("k", "another")
    assert await cache.pop("k", missing) == value
    assert await cache.pop("k", missing) is missing


@pytest.mark.parametrize("key", KEYS, ids=ascii)
async def test_any_text_is_a_key(cache: CacheManager, key: str) -> None:
    assert await cache.set(key, [key])
    assert await cache.get(key) == [key]
    assert [found async for found in cache.keys("*")] == [key]
    entry = await cache.entry(key)
    assert entry is not None
    assert (entry.key, entry.value) == (key, [key])
    assert await cache.delete(key)
    assert not await cache.exists(key)


async def test_keys_are_compared_exactly(cache: CacheManager) -> None:
    keys = ["User", "user", "USER", "con", "CON", "e\N{COMBINING ACUTE ACCENT}", "\xe9"]
    await cache.set_many({key: number for number, key in enumerate(keys)})
    assert await cache.get_many(keys) == {key: number for number, key in enumerate(keys)}


async def test_the_longest_key_is_stored(cache: CacheManager) -> None:
    assert await cache.set("x" * MAX_KEY_LENGTH, 1)
    assert await cache.get("x" * MAX_KEY_LENGTH) == 1


async def test_a_later_value_replaces_an_earlier_value(cache: CacheManager) -> None:
    for value in ("first", ["second"], None):
        await cache.set("k", value)
        assert await cache.get("k", "absent") == value


async def test_a_reader_may_change_the_value_it_got(cache: CacheManager) -> None:
    value: dict[str, list[object]] = {"a": [1]}
    await cache.set("k", value)
    value["a"].append("writer's")
    for _ in range(3):
        found = await cache.get("k")
        assert found == {"a": [1]}
        found["a"].append("reader's")
    many = await cache.get_many(["k"])
    many["k"]["a"].append("reader's")
    entry = await cache.entry("k")
    assert entry is not None
    entry.value["a"].append("reader's")
    assert await cache.pop("k") == {"a": [1]}


async def test_delete_reports_whether_there_was_a_live_entry(
    cache: CacheManager, clock: FakeClock
) -> None:
    assert not await cache.delete("k")
    await cache.set("k", 1)
    assert await cache.delete("k")
    assert not await cache.delete("k")
    await cache.set("k", 1, ttl=10)
    clock.advance(10)
    assert not await cache.delete("k")


async def test_add_stores_only_when_there_is_no_entry(
    cache: CacheManager, clock: FakeClock
) -> None:
    assert await cache.add("k", 1, ttl=10)
    assert not await cache.add("k", 2)
    assert await cache.get("k") == 1
    clock.advance(10)
    assert await cache.add("k", 3, tags=["t"])
    assert await cache.get("k") == 3
    await cache.delete_by_tag("t")
    assert await cache.add("k", 4)
    assert await cache.get("k") == 4


async def test_one_of_many_concurrent_adds_succeeds(cache: CacheManager) -> None:
    outcomes = await asyncio.gather(*(cache.add("k", number) for number in range(20)))
    assert outcomes.count(True) == 1
    assert await cache.get("k") == outcomes.index(True)


async def test_one_of_many_concurrent_pops_gets_the_value(cache: CacheManager) -> None:
    await cache.set("k", "value")
    outcomes = await asyncio.gather(*(cache.pop("k") for _ in range(20)))
    assert sorted(outcomes, key=str) == [None] * 19 + ["value"]


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [(90, 90.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), ("1h30m", 5400.0), ("7d", 604_800.0)],
)
async def test_an_entry_expires_exactly_for_every_form_of_ttl(
    cache: CacheManager, clock: FakeClock, ttl: Any, seconds: float
) -> None:
    await cache.set("k", [1], ttl=ttl)
    assert await cache.get_ttl("k") == pytest.approx(seconds)
    clock.advance(seconds - 0.001)
    assert await cache.get("k") == [1]
    assert await cache.get_ttl("k") == pytest.approx(0.001, abs=1e-5)
    clock.advance(0.001)
    assert await cache.get("k", "over") == "over"
    assert await cache.get_ttl("k") is None
    assert not await cache.exists("k")
    assert await cache.entry("k") is None
    assert await cache.get_many(["k"]) == {}
    assert [key async for key in cache.keys("*")] == []


@pytest.mark.parametrize("ttl", [None, math.inf])
async def test_an_entry_without_ttl_never_expires(
    cache: CacheManager, clock: FakeClock, ttl: Any
) -> None:
    await cache.set("k", 1, ttl=ttl)
    assert await cache.get_ttl("k") == math.inf
    clock.advance(1e9)
    assert await cache.get("k") == 1


async def test_the_ttl_of_the_manager_applies_to_entries_without_ttl(clock: FakeClock) -> None:
    async with CacheManager("memory", ttl="1m", clock=clock) as cache:
        await cache.set("own", 1, ttl=120)
        await cache.set("endless", 1, ttl=None)
        await cache.set("stored", 1)
        await cache.add("added", 1)
        await cache.incr("number")
        await cache.get_or_set("computed", lambda: 1)
        assert await cache.get_ttl("own") == 120
        assert await cache.get_ttl("endless") == math.inf
        for key in ("stored", "added", "number", "computed"):
            assert await cache.get_ttl(key) == 60
        await cache.touch("own")
        assert await cache.get_ttl("own") == 60


async def test_touch_sets_a_ttl_from_now(cache: CacheManager, clock: FakeClock) -> None:
    assert not await cache.touch("k", 10)
    await cache.set("k", [1], ttl=10, tags=["t"])
    clock.advance(9)
    assert await cache.touch("k", "20s")
    assert await cache.get_ttl("k") == pytest.approx(20)
    assert await cache.touch("k", None)
    assert await cache.get_ttl("k") == math.inf
    entry = await cache.entry("k")
    assert entry is not None
    assert (entry.value, entry.tags) == ([1], ("t",))
    await cache.touch("k", 5)
    clock.advance(5)
    assert not await cache.touch("k", 10)
    assert await cache.get("k") is None


async def test_incr_starts_from_the_initial_value(cache: CacheManager, clock: FakeClock) -> None:
    assert await cache.incr("n") == 1
    assert await cache.incr("n", 41) == 42
    assert await cache.decr("n", 2) == 40
    assert await cache.incr("n", -50) == -10
    assert await cache.get("n") == -10
    assert await cache.incr("m", initial=100, ttl=10) == 101
    assert await cache.decr("other", 5, initial=3) == -2
    clock.advance(9)
    assert await cache.incr("m", ttl=1000) == 102  # the entry keeps its expiry
    clock.advance(1)
    assert await cache.incr("m") == 1


async def test_incr_adds_integers_of_any_size(cache: CacheManager) -> None:
    assert await cache.incr("n", 10**30) == 10**30
    assert await cache.incr("n") == 10**30 + 1


async def test_no_concurrent_increment_is_lost(cache: CacheManager) -> None:
    numbers = await asyncio.gather(*(cache.incr("n") for _ in range(50)))
    assert sorted(numbers) == list(range(1, 51))


@pytest.mark.parametrize("value", ["text", 1.5, True, None, [1]])
async def test_incr_of_a_value_that_is_no_int_raises(cache: CacheManager, value: Any) -> None:
    await cache.set("k", value)
    with pytest.raises(TypeError, match=f"must hold an int .* type {type(value).__name__}"):
        await cache.incr("k")
    assert await cache.get("k") == value


async def test_a_value_that_cannot_be_stored_raises_and_changes_nothing(
    cache: CacheManager,
) -> None:
    await cache.set("k", "before")
    for verb in (cache.set, cache.add):
        with pytest.raises(SerializationError):
            await verb("k" if verb == cache.set else "new", lambda: None)
    with pytest.raises(SerializationError):
        await cache.set_many({"a": 1, "b": lambda: None})
    assert await cache.get_many(["k", "new", "a", "b"]) == {"k": "before"}


async def test_an_invalid_ttl_stores_nothing(cache: CacheManager) -> None:
    with pytest.raises(InvalidTTLError):
        await cache.set("k", 1, ttl=0)
    assert not await cache.exists("k")


async def test_get_or_set_computes_once(cache: CacheManager, clock: FakeClock) -> None:
    calls = 0

    def count() -> int:
        nonlocal calls
        calls += 1
        return calls

    async def count_slowly() -> int:
        await asyncio.sleep(0)
        return count()

    assert [await cache.get_or_set("a", count, 10) for _ in range(2)] == [1, 1]
    assert [await cache.get_or_set("b", count_slowly) for _ in range(2)] == [2, 2]
    assert await cache.get_or_set("c", count, lambda number: number) == 3
    assert await cache.get_ttl("c") == 3
    clock.advance(10)
    assert await cache.get_or_set("a", count) == 4
    found = await asyncio.gather(*(cache.get_or_set("d", count_slowly) for _ in range(10)))
    assert found == [5] * 10


async def test_get_or_set_does_not_store_an_exception(cache: CacheManager) -> None:
    def fail() -> int:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await cache.get_or_set("k", fail)
    assert not await cache.exists("k")
