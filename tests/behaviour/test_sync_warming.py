"""Warming from a thread without an event loop; see `tests/unit/warming/test_warm.py`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiocache_pe.sync import CacheManager, WarmReport, cached, keep_warm, most_hit, warm_cache
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.polling import poll_blocking


@pytest.fixture
def cache(cache_dir: Path) -> Iterator[CacheManager]:
    with CacheManager(directory=cache_dir) as manager:
        yield manager


def test_calls_keys_and_values_are_stored(cache: CacheManager) -> None:
    computed: list[int] = []

    @cached(cache=cache)
    def double(number: int) -> int:
        computed.append(number)
        return 2 * number

    calls = [*[(double, (n,)) for n in range(12)], ("key", lambda: "made"), ("value", [1])]
    report = warm_cache(cache, calls)
    assert (report.computed, report.present, report.failed) == (14, 0, 0)
    assert (double(7), cache.get("key"), cache.get("value")) == (14, "made", [1])
    assert sorted(computed) == list(range(12))
    again = warm_cache(cache, calls)
    assert (again.computed, again.present) == (0, 14)


def test_an_iterator_of_calls_runs_in_this_thread_and_may_use_the_cache(
    cache: CacheManager,
) -> None:
    cache.set("names", ["a", "b"])
    where: list[threading.Thread] = []

    def calls() -> Iterator[tuple[str, str]]:
        for name in cache.get("names"):
            where.append(threading.current_thread())
            yield name, name.upper()

    assert warm_cache(cache, calls()).computed == 2
    assert set(where) == {threading.current_thread()}
    assert cache.get_many(["a", "b"]) == {"a": "A", "b": "B"}


def test_a_failing_call_and_the_progress_are_reported(cache: CacheManager) -> None:
    reports: list[WarmReport] = []

    def fails() -> int:
        raise ConnectionError("away")

    report = warm_cache(cache, {"good": lambda: 1, "bad": fails}, on_progress=reports.append)
    assert (report.computed, report.failed, len(reports)) == (1, 1, 2)
    assert isinstance(report.failures[0][1], ConnectionError)


def test_most_read_keys_come_first(cache: CacheManager) -> None:
    cache.set_many({"a": 1, "b": 2})
    assert [cache.get(key) for key in "abb"] == [1, 2, 2]
    assert most_hit(cache) == ["b", "a"]
    assert most_hit(cache, 1) == ["b"]


def test_a_value_that_is_no_call_raises(cache: CacheManager) -> None:
    with pytest.raises(TypeError):
        warm_cache(cache, 7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency must be an int of at least 1; got 0"):
        warm_cache(cache, {}, concurrency=0)


def test_keep_warm_refreshes_an_entry_before_it_expires_until_the_block_ends(
    clock: FakeClock,
) -> None:
    waits, computed = list[float](), list[int]()
    go = threading.Semaphore(0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        while not go.acquire(blocking=False):  # noqa: ASYNC110 - a thread releases it
            await asyncio.sleep(0.001)
        clock.advance(seconds)

    with CacheManager("memory", clock=clock) as cache:

        @cached(ttl=100, cache=cache)
        def double(number: int) -> int:
            computed.append(number)
            return 2 * number

        with keep_warm(cache, [(double, (1,))], before_expiry=20, sleep=sleep):
            poll_blocking(lambda: len(waits) == 1)
            go.release()
            poll_blocking(lambda: len(waits) == 2)
        assert waits == [pytest.approx(80), pytest.approx(80)]
        assert computed == [1, 1]
        refused = iter([("a", 1)])
        with (
            pytest.raises(TypeError, match="again and again"),
            keep_warm(  # pyright: ignore[reportArgumentType]
                cache, refused, before_expiry=1
            ),
        ):
            pass
