"""`cached_batch` on blocking functions: computation in the caller's thread or in a pool."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiocache_pe import bypass, refresh
from aiocache_pe.exceptions import BackendError
from aiocache_pe.sync import CacheManager, cached_batch
from tests.support.broken_backends import BrokenEverywhereBackend
from tests.support.internals import is_batch_item_shared
from tests.support.polling import poll_blocking


@pytest.fixture(params=["memory", "file"])
def cache(request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[CacheManager]:
    settings: dict[str, Any] = {"directory": cache_dir} if request.param == "file" else {}
    with CacheManager(request.param, **settings) as manager:
        yield manager


def test_missing_items_are_computed_in_the_thread_of_the_caller(cache: CacheManager) -> None:
    calls = list[list[str]]()
    threads = set[threading.Thread]()

    @cached_batch(cache=cache, batch_size=2)
    def embed(texts: list[str]) -> np.ndarray[Any, Any]:
        calls.append(texts)
        threads.add(threading.current_thread())
        return np.array([[len(text), 0.5] for text in texts])

    assert embed(["a", "bb", "a", "ccc"]).tolist() == [[1, 0.5], [2, 0.5], [1, 0.5], [3, 0.5]]
    assert embed(["ccc", "dddd"]).tolist() == [[3, 0.5], [4, 0.5]]
    assert embed(["ccc", "a"]).tolist() == [[3, 0.5], [1, 0.5]]
    assert calls == [["a", "bb"], ["ccc"], ["dddd"]]
    assert threads == {threading.current_thread()}
    assert embed.cache_info()[:2] == (4, 4)
    assert embed.invalidate(["a", "zz"]) == 1
    assert embed.cache_clear() == 3
    assert embed.cache == cache


def test_concurrent_calls_are_made_in_other_threads(cache: CacheManager) -> None:
    together = threading.Barrier(3)

    @cached_batch(cache=cache, batch_size=1, concurrency=3)
    def function(numbers: list[int]) -> list[int]:
        together.wait(60)
        return numbers

    assert function([1, 2, 3]) == [1, 2, 3]
    with bypass():
        assert function([1, 2, 3]) == [1, 2, 3]


def test_threads_with_overlapping_batches_compute_each_item_once(cache: CacheManager) -> None:
    computed = list[int]()
    begun, free = threading.Event(), threading.Event()

    @cached_batch(cache=cache)
    def function(numbers: list[int]) -> list[int]:
        computed.extend(numbers)
        begun.set()
        assert free.wait(60)
        return [2 * number for number in numbers]

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(function, [1, 2])
        assert begun.wait(60)
        overlapping = [pool.submit(function, [2, 3]), pool.submit(function, [3, 1])]
        poll_blocking(lambda: len(computed) >= 3)
        free.set()
        assert first.result(60) == [2, 4]
        assert [other.result(60) for other in overlapping] == [[4, 6], [6, 2]]
    assert sorted(computed) == [1, 2, 3]


def test_a_waiting_thread_takes_over_from_an_interrupted_one(cache: CacheManager) -> None:
    """Compute also the items that the interrupted thread had not begun."""
    calls = list[list[int]]()
    begun, interrupted = threading.Event(), threading.Event()

    @cached_batch(cache=cache, batch_size=1)
    def function(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        if len(calls) == 1:
            begun.set()
            assert interrupted.wait(60)
            raise KeyboardInterrupt
        return numbers

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(function, [1, 2, 3])
        assert begun.wait(60)
        second = pool.submit(function, [3, 2])
        poll_blocking(lambda: is_batch_item_shared(cache.asynchronous))
        interrupted.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(60)
        assert second.result(60) == [3, 2]


def test_exceptions_are_raised_and_nothing_is_stored(cache: CacheManager) -> None:
    @cached_batch(cache=cache)
    def function(numbers: list[int]) -> list[int]:
        raise OSError("no")

    @cached_batch(cache=cache)
    def short(numbers: list[int]) -> list[int]:
        return numbers[1:]

    async def late(numbers: list[int]) -> list[int]:
        return numbers

    @cached_batch(cache=cache)
    def hidden(numbers: list[int]) -> Any:
        return late(numbers)

    with pytest.raises(OSError, match="no"):
        function([1])
    with pytest.raises(ValueError, match="returned 1 results for 2 items"):
        short([1, 2])
    with pytest.raises(TypeError, match="returned a coroutine"):
        _ = hidden([1])
    assert cache.get_stats().total_entries == 0


def test_call_modes_and_refresh(cache: CacheManager) -> None:
    calls = list[list[int]]()

    @cached_batch(cache=cache, batch_size=2)
    def function(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return numbers

    assert function([]) == []
    with bypass():
        assert function([1, 1, 1]) == [1, 1, 1]
    with refresh():
        function([1])
    assert function.refresh([1]) == [1]
    assert function([1]) == [1]
    assert calls == [[1, 1], [1], [1], [1]]


def test_stored_items_of_another_type_are_computed_again(cache: CacheManager) -> None:
    kind: Any = list

    @cached_batch(cache=cache)
    def function(numbers: list[int]) -> Any:
        return kind(numbers)

    assert function([1]) == [1]
    kind = tuple
    assert function(number for number in (1, 2)) == (1, 2)  # pyright: ignore[reportArgumentType]
    assert function([1]) == (1,)


def test_a_broken_store_breaks_no_batch() -> None:
    with CacheManager(BrokenEverywhereBackend(BackendError("down"))) as cache:

        @cached_batch(cache=cache)
        def function(numbers: list[int]) -> list[int]:
            return numbers

        assert function([1, 2, 1]) == [1, 2, 1]


AT_EXIT = """
import atexit
from aiocache_pe.sync import cached_batch

@cached_batch(backend="memory", batch_size=2, concurrency={concurrency})
def double(numbers):
    return [2 * number for number in numbers]

{early}
atexit.register(lambda: print(double([1, 2, 3, 1])))
"""


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("early", ["", "double([1])"])
def test_a_batch_works_at_interpreter_exit(concurrency: int, early: str) -> None:
    code = AT_EXIT.format(concurrency=concurrency, early=early)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[2, 4, 6, 2]\n", "")


def test_an_interrupt_reaches_the_function() -> None:
    code = """
import signal
import time
from aiocache_pe.sync import cached_batch

signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent may have ignored it

@cached_batch(backend="memory")
def slow(numbers):
    print("begun", flush=True)
    while True:
        time.sleep(0.01)  # a signal just before a sleep does not end that one

try:
    slow([1])
except KeyboardInterrupt:
    print("stopped")
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            child.send_signal(signal.SIGINT)
            assert child.communicate(timeout=60)[0] == "stopped\n"
        finally:
            child.kill()
