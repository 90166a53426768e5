"""Plain functions: they block as they did, compute in the caller's thread, and share as others."""

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
from aiocache_pe.exceptions import DeadlockError
from aiocache_pe.runtime.portal import Portal
from tests.support.polling import poll_blocking

request: ContextVar[str] = ContextVar("request", default="none")


@pytest.fixture
def plain() -> CacheManager:
    """A cache that no loop but the library's own has seen."""
    return CacheManager("memory")


def together(
    threads: int, function: Callable[[], Any], begun: Callable[[], object]
) -> list[Future[Any]]:
    """Have a function called once, and when that has begun, by all other threads."""
    pool = ThreadPoolExecutor(threads)
    first = pool.submit(function)
    poll_blocking(begun)
    futures = [first, *(pool.submit(function) for _ in range(threads - 1))]
    pool.shutdown(wait=False)
    return futures


def test_it_computes_in_the_thread_that_called_it(plain: CacheManager) -> None:
    @cached(cache=plain)
    def where(a: int) -> int:
        return threading.get_ident()

    assert where(1) == threading.get_ident()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(where, 2).result(10) == other.submit(threading.get_ident).result(10)


def test_it_sees_the_callers_context_variables(plain: CacheManager) -> None:
    @cached(cache=plain)
    def seen(a: int) -> str:
        return request.get()

    token = request.set("mine")
    assert seen(1) == "mine"
    request.reset(token)
    assert [seen(1), seen(2)] == ["mine", "none"]


def test_of_many_threads_one_computes_and_each_has_its_own_result(plain: CacheManager) -> None:
    calls, go = list[int](), threading.Event()

    @cached(cache=plain)
    def slow() -> list[int]:
        calls.append(1)
        assert go.wait(10)
        return [1]

    futures = together(8, slow, lambda: calls)
    go.set()
    results = [future.result(10) for future in futures]
    assert results == [[1]] * 8
    assert len({id(result) for result in results}) == 8
    assert (calls, slow.cache_info()) == ([1], (7, 1))


def test_what_it_raises_reaches_all_who_wait_and_is_not_stored(plain: CacheManager) -> None:
    calls, go = list[int](), threading.Event()

    @cached(cache=plain)
    def failing() -> None:
        calls.append(1)
        assert go.wait(10)
        raise ConnectionError(f"attempt {len(calls)}")

    futures = together(3, failing, lambda: calls)
    go.set()
    for future in futures:
        with pytest.raises(ConnectionError, match="attempt"):
            future.result(10)
    with pytest.raises(ConnectionError, match=f"attempt {len(calls) + 1}"):
        failing()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_is_interrupted_hands_the_turn_to_the_next(
    interrupt: type[BaseException], plain: CacheManager
) -> None:
    calls, go = list[int](), threading.Event()

    @cached(cache=plain)
    def slow() -> str:
        calls.append(1)
        assert go.wait(10)
        if len(calls) == 1:
            raise interrupt
        return "done"

    first, *others = together(3, slow, lambda: calls)
    go.set()
    with pytest.raises(interrupt):
        first.result(10)
    assert [future.result(10) for future in others] == ["done"] * 2
    assert slow() == "done"
    assert len(calls) == 2


def test_a_stop_iteration_goes_to_the_caller(plain: CacheManager) -> None:
    @cached(cache=plain)
    def exhausted() -> None:
        raise StopIteration("end")

    with pytest.raises(StopIteration, match="end"):
        exhausted()


def test_one_that_returns_a_coroutine_is_told_what_to_decorate(plain: CacheManager) -> None:
    async def inner() -> None: ...

    @cached(cache=plain)
    def outer() -> Any:
        return inner()

    with pytest.raises(TypeError, match=r"outer\(\) is no async function .* decorate the async"):
        _ = outer()


def test_it_may_call_itself_and_others(plain: CacheManager) -> None:
    @cached(cache=plain)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(40) == 102_334_155
    assert fibonacci.cache_info() == (38, 41)


async def test_it_works_where_a_loop_runs_and_in_an_async_function(memory: CacheManager) -> None:
    @cached(cache=memory)
    def inner(a: int) -> int:
        return a + 1

    @cached(cache=memory)
    async def outer(a: int) -> int:
        return inner(a) + await asyncio.to_thread(inner, a)

    assert [await outer(1), await outer(1), inner(1)] == [4, 4, 2]
    assert inner.cache_info() == (2, 1)


def test_it_may_run_a_loop_of_its_own(plain: CacheManager) -> None:
    @cached(cache=plain)
    async def inner(a: int) -> int:
        return a + 1

    @cached(cache=plain)
    def outer(a: int) -> int:
        return asyncio.run(inner(a)) + asyncio.run(inner(a))

    assert [outer(1), outer(1)] == [4, 4]
    assert inner.cache_info() == (1, 1)


def test_where_waiting_would_never_end_an_error_says_so(plain: CacheManager) -> None:
    @cached(cache=plain)
    def other(a: str) -> bool:
        return True

    @cached(cache=plain, cache_if=other)  # asked in the library's own loop
    def function() -> str:
        return "x"

    with pytest.raises(DeadlockError):
        function()


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
def test_it_can_be_called_when_the_program_ends(before: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", AT_EXIT.replace("BEFORE", before)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 3 [1] [2]\n", "")


def test_an_error_that_looks_like_the_end_of_the_loop_is_raised() -> None:
    with sync.CacheManager("memory") as plain:

        @cached(cache=plain)
        def function() -> int:
            raise CancelledError

        for _ in range(2):
            with pytest.raises(CancelledError):
                function()


def test_many_calls_with_a_limit_are_all_made_at_once() -> None:
    together = threading.Barrier(40)
    with sync.CacheManager("memory") as plain:

        @cached(cache=plain, hard_timeout=60)
        def function(number: int) -> int:
            together.wait(60)
            return number

        with ThreadPoolExecutor(40) as pool:
            assert list(pool.map(function, range(40))) == list(range(40))


def test_functions_with_limits_that_call_each_other_are_warmed() -> None:
    with sync.CacheManager("memory") as plain:

        @cached(cache=plain, hard_timeout=60)
        def inner(number: int) -> int:
            return number

        @cached(cache=plain, hard_timeout=60)
        def outer(number: int) -> int:
            return inner(number)

        report = sync.warm_cache(plain, [(outer, (n,)) for n in range(40)], concurrency=40)
        assert (report.computed, report.failed) == (40, 0)


@pytest.mark.parametrize("limit", [None, 60])
def test_a_function_may_end_the_program_and_others_go_on(limit: int | None) -> None:
    with sync.CacheManager("memory") as plain:

        @cached(cache=plain, hard_timeout=limit)
        def leave() -> int:
            sys.exit(7)

        with pytest.raises(SystemExit) as left:
            leave()
        assert left.value.code == 7
        assert plain.get_or_set("k", lambda: 1) == 1


def test_where_the_blocking_callers_loop_has_ended_it_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    own = Portal()

    async def leave() -> None:
        sys.exit(7)

    async def answer() -> int:
        return 42

    with pytest.raises((SystemExit, CancelledError)):
        own.call(leave)
    own._begun.thread.join(60)  # type: ignore[union-attr]
    assert own.call(answer) == 42
    own.stop()
