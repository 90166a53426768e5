"""Operations of the manager on many keys: namespaces, tags, patterns, one round trip each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import permutations
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.base import Condition
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.exceptions import BackendError, SerializationError, StoreUnavailableError
from aiocache_pe.record import Head, Record
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.polling import poll

NAMES = ("search", "Search", "a:b", "a", "a+tags", "..", "nul\0", "\ud800", "x" * 200, "50%")


async def list_keys(cache: CacheManager, pattern: str = "*") -> list[str]:
    return sorted([key async for key in cache.keys(pattern)])


async def test_many_entries_are_stored_read_and_removed(
    cache: CacheManager, clock: FakeClock
) -> None:
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


async def test_operations_accept_no_keys(cache: CacheManager) -> None:
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
async def test_an_operation_takes_one_round_trip(
    verb: Callable[[CacheManager], Awaitable[object]], expected: list[str]
) -> None:
    recorder = SpyBackend(MemoryBackend())
    async with CacheManager(recorder) as cache:
        await verb(cache)
        assert [name for name, _ in recorder.calls] == expected


async def test_entries_with_a_deleted_tag_are_removed(cache: CacheManager) -> None:
    await cache.set("a", 1, tags=["news", "eu"])
    await cache.set("b", 2, tags=["news"])
    await cache.set("c", 3, tags=["eu"])
    await cache.set("d", 4)
    assert await cache.delete_by_tag("news")
    assert await cache.get_many(list("abcd")) == {"c": 3, "d": 4}
    assert await list_keys(cache) == ["c", "d"]
    assert not await cache.delete("a")
    assert await cache.entry("a") is None
    assert await cache.get_ttl("b") is None
    assert not await cache.touch("b")
    await cache.set("a", 5, tags=["news"])
    assert await cache.get("a") == 5
    assert await cache.delete_by_tag("eu", "news", "never used")
    assert await list_keys(cache) == ["d"]


async def test_the_cost_of_deleting_by_tag_does_not_grow_with_the_entries() -> None:
    recorder = SpyBackend(MemoryBackend())
    async with CacheManager(recorder) as cache:
        await cache.set_many({str(n): n for n in range(1000)}, tags=["t"])
        recorder.calls.clear()
        await cache.delete_by_tag("t")
        assert recorder.calls == [("write", ("default+tags:t",))]
        assert await cache.get("7") is None


async def test_a_value_computed_before_its_tag_was_deleted_is_not_served(
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


async def test_tags_and_keys_with_the_same_name_are_independent(cache: CacheManager) -> None:
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
async def test_a_pattern_lists_and_removes_matching_keys(
    cache: CacheManager, pattern: str, match: list[str]
) -> None:
    stored = ["User:1", "user:1", "user:12", "user:1\n", "[x]", "user*"]
    await cache.set_many(dict.fromkeys(stored, 1))
    assert await list_keys(cache, pattern) == sorted(match)
    assert await cache.invalidate(pattern) == len(match)
    assert await list_keys(cache) == sorted(set(stored) - set(match))


async def test_patterns_match_the_whole_of_a_long_key(cache: CacheManager) -> None:
    long = "prompt " * 100
    await cache.set_many({long + "a": 1, long + "b": 2})
    assert await list_keys(cache, "*b") == [long + "b"]
    assert await cache.invalidate("*a") == 1


async def test_listing_may_stop_early_during_writes(cache: CacheManager) -> None:
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
async def test_namespaces_are_isolated(one: str, other: str) -> None:
    async with CacheManager("memory", namespace=one) as first:
        second = first.namespace(other)
        await _assert_isolated(first, second)


@pytest.mark.parametrize("other", NAMES)
async def test_namespaces_are_isolated_in_every_store(cache: CacheManager, other: str) -> None:
    await _assert_isolated(cache, cache.namespace(other))


async def _assert_isolated(first: CacheManager, second: CacheManager) -> None:
    awkward = ("k", "", "a:b", "+tags:t", "x" * 300)
    await first.set_many({key: f"mine {key}" for key in awkward}, tags=["t"])
    assert await second.get_many(awkward) == {}
    await second.set_many({key: f"its {key}" for key in awkward}, tags=["t"])
    await second.delete_by_tag("t")
    assert len(await first.get_many(awkward)) == 5
    await second.set("k", "its")
    assert await list_keys(second) == ["k"]
    assert (await first.get_stats()).hits == 5
    assert (await second.get_stats()).hits == 0
    assert await second.clear() >= 1
    assert await list_keys(second) == []
    assert len(await list_keys(first)) == 5
    assert await first.invalidate("*") == 5


async def test_a_namespace_view_uses_the_same_cache(cache: CacheManager) -> None:
    view = cache.namespace("search")
    await view.set("k", 1)
    assert await cache.namespace("search").get("k") == 1
    assert await view.namespace("default").get("k") is None
    await view.close()  # only writes the counters
    await cache.set("k", 2)
    assert await cache.get("k") == 2
    assert await view.get("k") == 1


async def test_clear_removes_all_entries_and_returns_their_number(cache: CacheManager) -> None:
    await cache.set_many({str(n): n for n in range(10)}, tags=["t"])
    assert await cache.clear() == 10
    assert await cache.clear() == 0
    assert await cache.get("1") is None
    await cache.set("1", 1, tags=["t"])
    assert await cache.get("1") == 1


async def test_cleanup_removes_expired_entries(cache: CacheManager, clock: FakeClock) -> None:
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


async def test_a_write_during_a_computation_is_kept(cache: CacheManager) -> None:
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


@pytest.mark.parametrize("operation", ["set_many", "get_many", "delete_many"])
async def test_other_tasks_run_during_a_large_batch(memory: CacheManager, operation: str) -> None:
    values = {f"key {number}": [number] for number in range(2000)}
    await memory.set_many(values)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await asyncio.sleep(0)
    begun = turns
    await getattr(memory, operation)(values)
    counting.cancel()
    assert turns - begun >= len(values) / 100


class RefusingBackend(MemoryBackend):
    """A store that cannot write or delete some keys, or is away from a key on."""

    def __init__(self, refused: set[str], away: str = "") -> None:
        super().__init__()
        self.refused, self.away = refused, away
        self.sizes = list[int]()

    def _check(self, keys: Sequence[str], done: Sequence[Any]) -> None:
        self.sizes.append(len(keys))
        if self.away in keys:
            raise StoreUnavailableError("the store is away")
        if self.refused.intersection(keys):
            error = BackendError("a part was refused")
            error.done = done
            raise error

    async def write(self, records: Sequence[Record]) -> Sequence[Record]:
        stored = await super().write([r for r in records if r.head.key not in self.refused])
        self._check([record.head.key for record in records], stored)
        return stored

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        removed = await super().delete([key for key in keys if key not in self.refused], only)
        self._check(keys, removed)
        return removed


async def test_a_large_batch_is_split_and_reports_what_was_done() -> None:
    backend = RefusingBackend({"default:5", "default:1700"})
    async with CacheManager(backend) as cache:
        values = {str(n): [n] for n in range(2500)}
        assert not await cache.set_many(values)
        assert backend.sizes == [1000, 1000, 500]
        stored = {key: value for key, value in values.items() if key not in ("5", "1700")}
        assert await cache.get_many(values) == stored
        assert (await cache.get_stats()).sets == 2498
        assert await cache.delete_many(values) == 2498
        assert await cache.get_many(values) == {}


async def test_a_large_batch_stops_at_a_store_that_is_away() -> None:
    backend = RefusingBackend(set(), away="default:1200")
    async with CacheManager(backend) as cache:
        assert not await cache.set_many({str(n): n for n in range(5000)})
        assert backend.sizes == [1000, 1000]
        backend.sizes.clear()
        assert await cache.delete_many(map(str, range(5000))) == 1000
        assert backend.sizes == [1000, 1000]


async def test_no_part_of_a_large_batch_is_stored_if_a_value_cannot_be() -> None:
    async with CacheManager("memory") as cache:
        with pytest.raises(SerializationError):
            await cache.set_many({str(n): n for n in range(3000)} | {"last": lambda: None})
        assert await cache.get_many(map(str, range(3000))) == {}
