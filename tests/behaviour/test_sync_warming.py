"""Warming for scripts, from a thread without a loop; see `tests/unit/warming/test_warm.py`."""

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


def test_calls_keys_and_values_are_there_afterwards(cache: CacheManager) -> None:
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


def test_an_iterator_may_use_the_cache_for_it_is_gone_through_in_this_thread(
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


def test_one_that_fails_is_reported_and_progress_is_told(cache: CacheManager) -> None:
    told: list[WarmReport] = []

    def fails() -> int:
        raise ConnectionError("away")

    report = warm_cache(cache, {"good": lambda: 1, "bad": fails}, on_progress=told.append)
    assert (report.computed, report.failed, len(told)) == (1, 1, 2)
    assert isinstance(report.failures[0][1], ConnectionError)


def test_what_was_read_most_comes_first(cache: CacheManager) -> None:
    cache.set_many({"a": 1, "b": 2})
    assert [cache.get(key) for key in "abb"] == [1, 2, 2]
    assert most_hit(cache) == ["b", "a"]
    assert most_hit(cache, 1) == ["b"]


def test_what_is_no_call_is_refused(cache: CacheManager) -> None:
    with pytest.raises(TypeError):
        warm_cache(cache, 7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency=0"):
        warm_cache(cache, {}, concurrency=0)


def test_kept_warm_an_entry_is_new_before_it_expires_and_no_longer_after_the_block(
    clock: FakeClock,
) -> None:
    waits, computed = list[float](), list[int]()
    go = threading.Semaphore(0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        while not go.acquire(blocking=False):  # noqa: ASYNC110 - a thread lets it go on
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
