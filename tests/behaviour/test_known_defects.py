"""Defects that other caches have or had, each with a test that this library avoids it.

The docstrings name the libraries. `python -m benchmarks.defects` reproduces most of the
defects with these libraries.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import pickle
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, SerializationError, UnstableIdentityError, cached
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.record import VERSION, Head, Record
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.broken_backends import SecretlessBackend


class Client:
    """A class that is equal only to itself; the next instance may get the same address."""


class Marker:
    """A class that creates a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@dataclass
class Answer:
    text: str
    at: dt.datetime


async def test_one_call_has_one_entry_for_all_spellings_of_its_arguments(
    cache: CacheManager,
) -> None:
    """aiocache, cashews, diskcache and async-lru store three entries for these calls."""
    calls = 0

    @cached(cache=cache)
    async def search(query: Any, limit: int = 2) -> Any:
        nonlocal calls
        calls += 1
        return query

    await search(1)
    await search(query=1)
    await search(1, 2)
    await search(limit=2, query=1)
    assert calls == 1
    assert (await cache.get_stats()).total_entries == 1


async def test_values_with_similar_texts_have_separate_entries(cache: CacheManager) -> None:
    """cashews serves the text to callers that passed the number; async-lru refuses dicts."""
    values = [1, "1", 1.0, True, None, "None", "", b"", {"a": 1}, {"a": "1"}, [1], (1,)]

    @cached(cache=cache)
    async def render(value: Any) -> str:
        return repr(value)

    for _ in range(2):
        assert [await render(value) for value in values] == [repr(value) for value in values]


async def test_two_objects_at_one_address_do_not_share_an_entry(cache: CacheManager) -> None:
    """cashews uses ``repr`` as the key; it contains an address that may be used again."""

    @cached(cache=cache)
    async def ask(client: Client) -> None: ...

    for _ in range(100):
        with pytest.raises(UnstableIdentityError, match=r"client is a .*\.Client, .*ignore="):
            await ask(Client())


async def test_a_long_prompt_has_a_short_key(cache: CacheManager) -> None:
    """cashews makes a key of 100 kB for such a prompt."""

    @cached(cache=cache)
    async def ask(prompt: str) -> int:
        return len(prompt)

    assert await ask("Tell me all. " * 8_000) == 104_000
    key = ask.cache_key("Tell me all. " * 8_000)
    assert await cache.exists(key)
    assert len(key) < 200
    assert "Tell me all. Tell me" in key


async def test_a_call_longer_than_a_lease_runs_once(cache: CacheManager, clock: FakeClock) -> None:
    """aiocache releases its lease after 2 s, so that a call of 3 s runs ten times."""
    calls = 0
    go = asyncio.Event()

    @cached(cache=cache)
    async def slow() -> str:
        nonlocal calls
        calls += 1
        await go.wait()
        return "done"

    callers = [asyncio.ensure_future(slow())]
    for _ in range(9):
        await asyncio.sleep(0)
        clock.advance(3600)
        callers.append(asyncio.ensure_future(slow()))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*callers) == ["done"] * 10
    assert calls == 1


async def test_the_timeout_of_one_caller_cancels_no_other_caller(cache: CacheManager) -> None:
    """aiocache and cashews cancel the call that the others wait for."""
    calls = 0
    started, go = asyncio.Event(), asyncio.Event()

    @cached(cache=cache)
    async def slow() -> str:
        nonlocal calls
        calls += 1
        started.set()
        await go.wait()
        return "done"

    impatient = asyncio.ensure_future(slow())
    await started.wait()
    other_calls = [asyncio.ensure_future(slow()) for _ in range(3)]
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    go.set()
    assert await asyncio.gather(*other_calls) == ["done"] * 3
    assert calls == 1


async def test_a_replayed_stream_contains_its_empty_chunks(cache: CacheManager) -> None:
    """cashews stops at the first empty chunk."""
    chunks: list[Any] = ["", "a", "", b"", None, 0, [], "b", ""]

    @cached(cache=cache)
    async def stream() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    for _ in range(3):
        assert [chunk async for chunk in stream()] == chunks
    assert stream.cache_info()[:2] == (2, 1)


async def test_a_partial_hit_keeps_the_order_of_the_items(cache: CacheManager) -> None:
    """litellm returns vectors in another order than their texts."""
    texts = [f"text {number}" for number in range(100)]
    vectors = {text: [float(number)] for number, text in enumerate(texts)}
    await cache.set_many({text: vectors[text] for text in texts[::3]})
    found = await cache.get_many(texts)
    assert found == {text: vectors[text] for text in texts[::3]}
    assert list(found) == texts[::3]


async def test_changes_by_one_caller_do_not_reach_other_callers(cache: CacheManager) -> None:
    """aiocache and async-lru return the same object to all callers."""

    @cached(cache=cache)
    async def answer() -> dict[str, list[int]]:
        return {"numbers": [1, 2]}

    for _ in range(4):
        mine = await answer()
        assert mine == {"numbers": [1, 2]}
        mine["numbers"].append(3)
        mine["spoiled"] = []
    together = await asyncio.gather(*(answer() for _ in range(10)))
    together[0].clear()
    assert together[1:] == [{"numbers": [1, 2]}] * 9


async def test_callers_of_one_computation_get_separate_results() -> None:
    """Use a store that keeps nothing, so that it has no copy to return."""
    go = asyncio.Event()
    async with CacheManager("null") as cache:

        @cached(cache=cache)
        async def answer() -> list[int]:
            await go.wait()
            return [1]

        callers = [asyncio.ensure_future(answer()) for _ in range(5)]
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*callers)
        results[0].append(2)
        results[1].append(3)
        assert results == [[1, 2], [1, 3], [1], [1], [1]]


@pytest.mark.parametrize("codec", ["pickle", "pickle+hmac", "pickle+gzip+hmac"])
async def test_a_forged_pickle_in_a_writable_directory_is_not_executed(
    codec: str, cache_dir: Path, tmp_path: Path
) -> None:
    """diskcache unpickles any file in its directory: CVE-2025-69872."""
    payload = pickle.dumps(Marker(tmp_path / "marker")) + bytes(32)
    forger = FileBackend(cache_dir)
    await forger.write([Record(Head(VERSION, "default:k", codec, 0.0, len(payload)), payload)])
    await forger.close()
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.get("k", "a miss") == "a miss"
    assert not (tmp_path / "marker").exists()


async def test_pickle_without_a_secret_raises() -> None:
    """All others use pickle. Here the store must keep a secret, or the user must pass one."""
    async with CacheManager(SecretlessBackend()) as cache:
        with pytest.raises(SerializationError, match="pass secret= to the manager"):
            await cache.set("k", Client())


@pytest.mark.parametrize("nothing", [None, "", 0, False, [], {}, b""])
async def test_none_and_empty_results_are_stored(nothing: Any, cache: CacheManager) -> None:
    """aiocache computes ``None`` again in every call."""
    calls = 0

    @cached(cache=cache)
    async def find() -> Any:
        nonlocal calls
        calls += 1
        return nothing

    for _ in range(3):
        found = await find()
        assert (found, type(found)) == (nothing, type(nothing))
    assert calls == 1


async def test_types_are_kept_in_files_without_pickle(cache_dir: Path) -> None:
    """Others return lists for tuples, and texts for keys and dates, or they need pickle."""
    value = {
        "pair": (1, (2, 3)),
        "keys": {1: "a", None: b"\xff"},
        "sets": [{1}, frozenset({"x"})],
        "price": Decimal("1.10"),
        "at": dt.datetime(2026, 11, 24, tzinfo=dt.UTC),
        "path": Path("/tmp"),
    }
    at = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)

    async def functions(cache: CacheManager) -> tuple[Any, Answer]:
        @cached(cache=cache)
        async def plain() -> Any:
            return value

        @cached(cache=cache)
        async def own() -> Answer:
            return Answer("42", at)

        return await plain(), await own()

    for _ in range(2):  # the second run reads the files
        async with CacheManager(directory=cache_dir, memory_max_bytes=0) as cache:
            found, answer = await functions(cache)
            assert found == value
            assert repr(found) == repr(value)
            assert answer == Answer("42", at)
    stored = [path.read_bytes() for path in cache_dir.rglob("*") if path.is_file()]
    assert not any(b'"codec":"pickle' in data for data in stored)


def test_a_cache_at_module_level_survives_its_event_loops(cache_dir: Path) -> None:
    """Many clients raise "Event loop is closed" in the second ``asyncio.run``."""
    cache = CacheManager(directory=cache_dir)
    calls = 0

    @cached(cache=cache)
    async def answer(number: int) -> list[int]:
        nonlocal calls
        calls += 1
        return [number]

    for number in range(10):
        assert asyncio.run(answer(number % 2)) == [number % 2]
    assert calls == 2
    asyncio.run(cache.close())
