"""Blocking functions: computed in the thread of the caller, shared between threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached, sync
from tests.support.polling import poll_blocking

request: ContextVar[str] = ContextVar("request", default="none")


@pytest.fixture
def cache() -> CacheManager:
    """Return a cache that only the library's own event loop uses."""
    return CacheManager("memory")


def call_in_threads(
    threads: int, function: Callable[[], Any], begun: Callable[[], object]
) -> list[Future[Any]]:
    """Call a function in one thread and, once this call has begun, in all other threads.

    Args:
        threads: number of threads.
        function: the function.
        begun: returns whether the first call has begun.
    """
    pool = ThreadPoolExecutor(threads)
    first = pool.submit(function)
    poll_blocking(begun)
    futures = [first, *(pool.submit(function) for _ in range(threads - 1))]
    pool.shutdown(wait=False)
    return futures


def test_a_function_runs_in_the_thread_of_the_caller(cache: CacheManager) -> None:
    @cached(cache=cache)
    def where(a: int) -> int:
        return threading.get_ident()

    assert where(1) == threading.get_ident()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(where, 2).result(10) == other.submit(threading.get_ident).result(10)


def test_a_function_sees_the_context_variables_of_the_caller(cache: CacheManager) -> None:
    @cached(cache=cache)
    def read_variable(a: int) -> str:
        return request.get()

    token = request.set("mine")
    assert read_variable(1) == "mine"
    request.reset(token)
    assert [read_variable(1), read_variable(2)] == ["mine", "none"]


def test_one_of_many_threads_computes_and_each_gets_its_own_result(cache: CacheManager) -> None:
    calls, go = list[int](), threading.Event()

    @cached(cache=cache)
    def slow() -> list[int]:
        calls.append(1)
        assert go.wait(10)
        return [1]

    futures = call_in_threads(8, slow, lambda: calls)
    go.set()
    results = [future.result(10) for future in futures]
    assert results == [[1]] * 8
    assert len({id(result) for result in results}) == 8
    assert (calls, slow.cache_info()[:2]) == ([1], (7, 1))


def test_an_exception_reaches_all_waiting_threads_and_is_not_stored(cache: CacheManager) -> None:
    calls, go = list[int](), threading.Event()

    @cached(cache=cache)
    def failing() -> None:
        calls.append(1)
        assert go.wait(10)
        raise ConnectionError(f"attempt {len(calls)}")

    futures = call_in_threads(3, failing, lambda: calls)
    go.set()
    for future in futures:
        with pytest.raises(ConnectionError, match="attempt"):
            future.result(10)
    with pytest.raises(ConnectionError, match=f"attempt {len(calls) + 1}"):
        failing()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_after_an_interrupt_a_waiting_thread_computes(
    interrupt: type[BaseException], cache: CacheManager
) -> None:
    calls, go = list[int](), threading.Event()

    @cached(cache=cache)
    def slow() -> str:
        calls.append(1)
        assert go.wait(10)
        if len(calls) == 1:
            raise interrupt
        return "done"

    first, *waiting = call_in_threads(3, slow, lambda: calls)
    go.set()
    with pytest.raises(interrupt):
        first.result(10)
    assert [future.result(10) for future in waiting] == ["done"] * 2
    assert slow() == "done"
    assert len(calls) == 2


def test_a_stop_iteration_reaches_the_caller(cache: CacheManager) -> None:
    @cached(cache=cache)
    def exhausted() -> None:
        raise StopIteration("end")

    with pytest.raises(StopIteration, match="end"):
        exhausted()


def test_a_function_that_returns_a_coroutine_raises_an_error_with_advice(
    cache: CacheManager,
) -> None:
    async def inner() -> None: ...

    @cached(cache=cache)
    def outer() -> Any:
        return inner()

    with pytest.raises(TypeError, match=r"outer\(\) is not an async function .* decorate the"):
        _ = outer()


def test_a_function_may_call_itself(cache: CacheManager) -> None:
    @cached(cache=cache)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(40) == 102_334_155
    assert fibonacci.cache_info()[:2] == (38, 41)


async def test_a_blocking_function_works_inside_async_functions(memory: CacheManager) -> None:
    @cached(cache=memory)
    def inner(a: int) -> int:
        return a + 1

    @cached(cache=memory)
    async def outer(a: int) -> int:
        return inner(a) + await asyncio.to_thread(inner, a)

    assert [await outer(1), await outer(1), inner(1)] == [4, 4, 2]
    assert inner.cache_info()[:2] == (2, 1)


def test_a_blocking_function_may_run_an_event_loop(cache: CacheManager) -> None:
    @cached(cache=cache)
    async def inner(a: int) -> int:
        return a + 1

    @cached(cache=cache)
    def outer(a: int) -> int:
        return asyncio.run(inner(a)) + asyncio.run(inner(a))

    assert [outer(1), outer(1)] == [4, 4]
    assert inner.cache_info()[:2] == (1, 1)


AT_EXIT = """
import atexit
from aiocache_pe import CacheManager, cached, sync
cache = CacheManager(directory="cache")
@cached(cache=cache)
def function(a):
    return a + 1
@cached(cache=cache)
def stream(a):
    yield a
    return a + 1
BEFORE
@atexit.register
def last():
    print(function(1), function(2), list(stream(1)), list(stream(2)))
"""


@pytest.mark.parametrize("before", ["", "function(1), list(stream(1))"])
def test_functions_can_be_called_at_interpreter_exit(before: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", AT_EXIT.replace("BEFORE", before)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 3 [1] [2]\n", "")


def test_an_error_that_looks_like_a_closed_loop_is_raised() -> None:
    with sync.CacheManager("memory") as cache:

        @cached(cache=cache)
        def function() -> int:
            raise CancelledError

        for _ in range(2):
            with pytest.raises(CancelledError):
                function()


def test_many_calls_with_a_timeout_run_concurrently() -> None:
    call_in_threads = threading.Barrier(40)
    with sync.CacheManager("memory") as cache:

        @cached(cache=cache, hard_timeout=60)
        def function(number: int) -> int:
            call_in_threads.wait(60)
            return number

        with ThreadPoolExecutor(40) as pool:
            assert list(pool.map(function, range(40))) == list(range(40))


def test_functions_with_timeouts_that_call_each_other_can_be_warmed() -> None:
    with sync.CacheManager("memory") as cache:

        @cached(cache=cache, hard_timeout=60)
        def inner(number: int) -> int:
            return number

        @cached(cache=cache, hard_timeout=60)
        def outer(number: int) -> int:
            return inner(number)

        report = sync.warm_cache(cache, [(outer, (n,)) for n in range(40)], concurrency=40)
        assert (report.computed, report.failed) == (40, 0)


@pytest.mark.parametrize("limit", [None, 60])
def test_system_exit_in_a_function_does_not_stop_the_cache(limit: int | None) -> None:
    with sync.CacheManager("memory") as cache:

        @cached(cache=cache, hard_timeout=limit)
        def leave() -> int:
            sys.exit(7)

        with pytest.raises(SystemExit) as caught:
            leave()
        assert caught.value.code == 7
        assert cache.get_or_set("k", lambda: 1) == 1
