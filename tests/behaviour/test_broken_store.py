"""Failures of the store: counted each time, logged once, and never raised to the caller."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import BackendError, CacheManager, cached
from aiocache_pe.backends.base import Backend, ReadResult
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.events import BackendFailed
from aiocache_pe.testing.fake_clock import FakeClock
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.broken_backends import BrokenBackend, BrokenEverywhereBackend
from tests.support.internals import delay_reports

ERRORS = (BackendError("away"), OSError(28, "No space left"), RuntimeError("a bug"), KeyError("k"))


class Pickled:
    """A class that only pickle can store."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pickled)

    def __hash__(self) -> int:
        return 1


async def list_keys(cache: CacheManager) -> list[str]:
    return [key async for key in cache.keys("*")]


ANSWERS: dict[str, tuple[Callable[[CacheManager], Awaitable[object]], object]] = {
    "get": (lambda cache: cache.get("k", "default"), "default"),
    "set": (lambda cache: cache.set("k", 1), False),
    "set pickled": (lambda cache: cache.set("k", Pickled()), False),
    "set tagged": (lambda cache: cache.set("k", 1, tags=["t"]), False),
    "add": (lambda cache: cache.add("k", 1), False),
    "add pickled": (lambda cache: cache.add("k", Pickled()), False),
    "delete": (lambda cache: cache.delete("k"), False),
    "exists": (lambda cache: cache.exists("k"), False),
    "get_ttl": (lambda cache: cache.get_ttl("k"), None),
    "touch": (lambda cache: cache.touch("k", 1), False),
    "pop": (lambda cache: cache.pop("k", "default"), "default"),
    "get_many": (lambda cache: cache.get_many(["k"]), {}),
    "set_many": (lambda cache: cache.set_many({"k": 1}), False),
    "delete_many": (lambda cache: cache.delete_many(["k"]), 0),
    "get_or_set": (lambda cache: cache.get_or_set("k", lambda: [7]), [7]),
    "get_or_set pickled": (lambda cache: cache.get_or_set("k", Pickled), Pickled()),
    "get_or_set tagged": (lambda cache: cache.get_or_set("k", lambda: 7, tags=["t"]), 7),
    "invalidate": (lambda cache: cache.invalidate("*"), 0),
    "delete_by_tag": (lambda cache: cache.delete_by_tag("t"), False),
    "clear": (lambda cache: cache.clear(), 0),
    "cleanup_expired": (lambda cache: cache.cleanup_expired(), 0),
    "keys": (list_keys, []),
    "entry": (lambda cache: cache.entry("k"), None),
}


@pytest.mark.parametrize("kind", [BrokenBackend, BrokenEverywhereBackend])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("verb", ANSWERS)
async def test_no_caller_sees_a_failure(
    verb: str, error: Exception, kind: type[BrokenBackend]
) -> None:
    call, expected = ANSWERS[verb]
    failures = list[BackendFailed]()
    cache = CacheManager(kind(error), secret=None if "Every" in kind.__name__ else "s")
    cache.subscribe(BackendFailed, failures.append)
    assert await call(cache) == expected
    assert {type(failure.error) for failure in failures} == {type(error)}
    assert (await cache.get_stats()).errors >= 1
    await cache.close()


async def test_asking_for_stats_during_an_outage_does_not_change_them() -> None:
    backend = SpyBackend(MemoryBackend())
    cache = CacheManager(backend)
    await cache.set("k", 1)
    backend.failing = OSError("away")
    await cache.get("absent")
    before = await cache.get_stats()
    for _ in range(3):
        assert (await cache.get_stats()).errors == before.errors > 0
    backend.failing = None
    after = await cache.get_stats()
    assert (after.sets, after.misses, after.errors) == (1, before.misses, before.errors)
    await cache.close()


async def test_incr_raises_instead_of_returning_a_wrong_number() -> None:
    cache = CacheManager(BrokenBackend(OSError("away")))
    with pytest.raises(BackendError, match=r"store broken failed to increment a key .*: away"):
        await cache.incr("n")
    assert (await cache.get_stats()).errors >= 1


async def test_a_failure_is_logged_once_per_operation_and_not_per_call(
    caplog: pytest.LogCaptureFixture, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    delay_reports(monkeypatch)  # a report would fail as well
    recorder = SpyBackend(MemoryBackend())
    recorder.failing = OSError("away")
    cache = CacheManager(recorder, clock=clock)

    @cached(cache=cache)
    async def function(number: int) -> int:
        return number

    with caplog.at_level(logging.WARNING, "aiocache_pe"):
        for _ in range(20):
            await function(1)
            await cache.get("k")
    verbs = Counter(record.getMessage().partition(":")[0] for record in caplog.records)
    assert set(verbs.values()) == {1}
    assert len(verbs) == 2  # reading and writing
    assert (await cache.get_stats()).errors >= 60
    caplog.clear()
    recorder.failing = None
    clock.advance(3600)
    with caplog.at_level(logging.WARNING, "aiocache_pe"):
        for _ in range(5):
            await function(1)
            await cache.get("k")
    again = [message for message in caplog.messages if "works again" in message]
    assert 1 <= len(again) <= 3
    await cache.close()


class Flaky(MemoryBackend):
    """A store that reads entries but fails to read tags, and that cannot be peeked."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False

    peek = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    is_current = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        if self.failing and any("+" in key for key in keys):
            raise OSError("away")
        peek = partial(MemoryBackend.peek, self)
        return {key: record for key in keys if (record := peek(key)) is not None}


async def test_a_tagged_entry_is_a_miss_while_its_tags_cannot_be_read() -> None:
    backend: Backend = Flaky()
    async with CacheManager(backend) as cache:
        await cache.set("k", 1, tags=["t"])
        assert await cache.get("k") == 1
        backend.failing = True  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert await cache.get("k", "missing") == "missing"
        assert await cache.entry("k") is None
        assert await list_keys(cache) == []
        assert await cache.invalidate("*") == 0
        assert await cache.get_or_set("k", lambda: 2) == 2
        assert await cache.get("k") == 2


@pytest.mark.parametrize(
    ("verb", "expected"), [("get", None), ("get_ttl", None), ("entry", None), ("pop", None)]
)
async def test_a_damaged_entry_is_a_miss_and_counts_as_an_error(
    verb: str, expected: Any, cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with CacheManager(directory=cache_dir, memory_max_bytes=0) as cache:
        await cache.set("k", ["x" * 100])
        [path] = (cache_dir / "default").rglob("*-k")
        path.write_bytes(path.read_bytes()[:-3])
        with caplog.at_level(logging.WARNING, "aiocache_pe"):
            assert await getattr(cache, verb)("k") == expected
        if verb != "pop":  # pop writes a new state, and the old file is set aside
            assert (await cache.get_stats()).errors == 1
        assert len(list((cache_dir / ".damaged").iterdir())) == 1
        assert await cache.get("k") is None
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
        assert await cache.get_ttl("k") == math.inf


@pytest.mark.parametrize(
    "place", ["file/cache", "loop/cache", "loop", "x" * 300, f"new/{'x' * 300}/cache"]
)
async def test_calls_work_without_a_directory_that_cannot_be_created(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to("loop")
    calls = 0
    async with CacheManager(directory=tmp_path / place) as cache:

        @cached(cache=cache)
        async def function() -> object:
            nonlocal calls
            calls += 1
            return Pickled()

        assert [await function(), await function()] == [Pickled(), Pickled()]
        assert calls == 1  # the memory tier keeps the result
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
        assert (await cache.get_stats()).errors == 0


async def test_a_cancellation_is_not_a_failure_of_the_store() -> None:
    class Slow(BrokenBackend):
        async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
            await asyncio.Event().wait()
            raise AssertionError

    failures = list[BackendFailed]()
    cache = CacheManager(Slow(OSError()))
    cache.subscribe(BackendFailed, failures.append)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cache.get("k"), 0.01)
    assert failures == []
