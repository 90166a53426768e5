"""Stale values, refreshes and timeouts for blocking functions, methods and scripts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aiocache_pe import CacheManager, cached, sync
from aiocache_pe.exceptions import LoadTimeoutError
from aiocache_pe.loading.background_refresh import RETRY_DELAY
from aiocache_pe.runtime.portal import portal
from aiocache_pe.testing import FakeClock
from tests.support.internals import limit_shutdown_wait, wait_for_refreshes
from tests.support.polling import poll_blocking


@pytest.fixture
def sync_cache(clock: FakeClock) -> Iterator[sync.CacheManager]:
    with sync.CacheManager("memory", clock=clock) as cache:
        yield cache


def wait_for_sync_refreshes(cache: sync.CacheManager) -> None:
    """Wait for the background refreshes of a blocking cache."""
    portal.call(wait_for_refreshes, cache.asynchronous)


def test_a_blocking_function_is_refreshed_in_another_thread(
    sync_cache: sync.CacheManager, clock: FakeClock
) -> None:
    threads: list[int] = []
    fails = False

    @cached(ttl=10, stale_ttl=100, cache=sync_cache)
    def f(a: int) -> list[int]:
        threads.append(threading.get_ident())
        if fails:
            raise ConnectionError
        return [len(threads)]

    assert f(1) == [1]
    clock.advance(11)
    assert f(1) == [1]
    wait_for_sync_refreshes(sync_cache)
    assert f(1) == [2]
    assert threads[0] == threading.get_ident() != threads[1]
    assert f.cache_info()[:2] == (2, 2)
    fails = True
    clock.advance(11)
    for _ in range(3):
        assert f(1) == [2]
        wait_for_sync_refreshes(sync_cache)
    assert len(threads) == 3
    clock.advance(RETRY_DELAY)
    fails = False
    assert f(1) == [2]
    wait_for_sync_refreshes(sync_cache)
    assert f(1) == [4]


def test_an_often_called_blocking_function_is_refreshed_ahead(
    sync_cache: sync.CacheManager, clock: FakeClock
) -> None:
    calls = 0

    @cached(ttl=10, refresh_ahead=0.5, cache=sync_cache)
    def f() -> int:
        nonlocal calls
        calls += 1
        return calls

    assert f() == 1
    clock.advance(6)
    assert f() == 1
    wait_for_sync_refreshes(sync_cache)
    assert (f(), calls) == (2, 2)


def test_a_slow_blocking_function_runs_to_its_end(
    sync_cache: sync.CacheManager, clock: FakeClock
) -> None:
    go, calls = threading.Event(), list[int]()

    @cached(ttl=10, stale_ttl=100, soft_timeout=0.01, cache=sync_cache)
    def f() -> int:
        calls.append(1)
        assert go.wait(10)
        return len(calls)

    go.set()
    assert f() == 1
    go.clear()
    clock.advance(11)
    assert f() == 1
    go.set()
    wait_for_sync_refreshes(sync_cache)
    assert f() == 2


def test_a_blocking_function_can_time_out(sync_cache: sync.CacheManager) -> None:
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    @cached(hard_timeout=0.01, cache=sync_cache)
    def f() -> int:
        started.set()
        assert go.wait(10)
        ended.set()
        return 1

    while (
        not started.is_set()
    ):  # on a busy machine the call may time out before the function begins
        with pytest.raises(LoadTimeoutError, match=r"within 0.01 s"):
            f()
    go.set()
    assert ended.wait(10)
    answers = list[int]()
    while not answers:
        with suppress(LoadTimeoutError):  # the same
            answers.append(f())
    assert answers == [1]


def test_a_blocking_function_with_a_timeout_runs_once_and_raises_its_own_errors(
    sync_cache: sync.CacheManager,
) -> None:
    @cached(hard_timeout=30, cache=sync_cache)
    def f(error: str) -> int:
        if error == "stop":
            raise StopIteration
        raise KeyError(error)

    with pytest.raises(KeyError, match="mine"):
        f("mine")
    with pytest.raises(RuntimeError, match="StopIteration"):
        f("stop")


def test_the_blocking_get_or_set_takes_the_same_options(
    sync_cache: sync.CacheManager, clock: FakeClock
) -> None:
    values = iter(range(1, 10))

    def get() -> int:
        return sync_cache.get_or_set(
            "k", lambda: next(values), 10, stale_ttl=100, refresh_ahead=0.5, jitter=0.01
        )

    assert get() == 1
    clock.advance(6)
    assert get() == 1
    wait_for_sync_refreshes(sync_cache)
    assert get() == 2
    clock.advance(11)
    assert get() == 2
    wait_for_sync_refreshes(sync_cache)
    assert get() == 3
    go = threading.Event()
    with pytest.raises(LoadTimeoutError):
        sync_cache.get_or_set("slow", lambda: go.wait(60), hard_timeout=0.01)
    go.set()

    async def answer() -> int:
        return 7

    assert sync_cache.get_or_set("async", answer, hard_timeout=30) == 7


async def test_methods_are_refreshed_with_their_instance(
    memory: CacheManager, clock: FakeClock
) -> None:
    class Service:
        def __init__(self) -> None:
            self.calls = 0

        @cached(ttl=10, stale_ttl=100, cache=memory, ignore=["self"])
        async def answer(self) -> int:
            self.calls += 1
            return self.calls

    service = Service()
    assert await service.answer() == 1
    clock.advance(11)
    assert await service.answer() == 1
    await wait_for_refreshes(memory)
    assert await service.answer() == 2


SCRIPT = """
import sys, time
from aiocache_pe import cached
from aiocache_pe.sync import CacheManager

cache = CacheManager(directory=sys.argv[1])

@cached(ttl=0.001, stale_ttl="1h", cache=cache)
def slow(a):
    with open(sys.argv[2], "a") as log:
        print("begun", file=log)
    if sys.argv[3] == "slow":
        time.sleep(0.3)
    return 1

slow(1)
time.sleep(0.01)
slow(1)
"""


def test_a_script_waits_at_its_end_for_its_refreshes(cache_dir: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(cache_dir), str(log)]
    entries: set[bytes] = set()
    for speed in ("fast", "slow"):
        done = subprocess.run(
            [*command, speed], check=False, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        [entry] = [path for path in (cache_dir / "default").rglob("*") if path.is_file()]
        entries.add(entry.read_bytes())
    assert len(entries) == 2  # a refresh begun before the end is stored
    assert 3 <= len(log.read_text().split()) <= 4


ASYNC_SCRIPT = """
import asyncio, sys
from aiocache_pe import CacheManager, cached

cache = CacheManager(directory=sys.argv[1])

@cached(ttl=0.001, stale_ttl="1h", cache=cache)
async def slow(a):
    await asyncio.sleep(0.2)
    return 1

async def main():
    await slow(1)
    await asyncio.sleep(0.01)
    await slow(1)
    if sys.argv[2] == "close":
        await cache.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["close", "leave"])
def test_an_async_script_ends_without_output(end: str, cache_dir: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", ASYNC_SCRIPT, str(cache_dir), end]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


async def test_closing_waits_a_limited_time_for_refreshes(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limit_shutdown_wait(monkeypatch, 0.05)
    cache = CacheManager("memory", clock=clock)
    starts, ended = list[int](), list[str]()

    async def factory() -> int:
        starts.append(1)
        if len(starts) > 1:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")
        return 1

    await cache.get_or_set("k", factory, 10, stale_ttl=100)
    clock.advance(11)
    await cache.get_or_set("k", factory, 10, stale_ttl=100)
    await cache.close()
    assert ended == ["cancelled"]
    assert "took longer than" in caplog.text


def test_a_loop_closed_during_a_refresh_blocks_no_later_refresh(clock: FakeClock) -> None:
    cache = CacheManager("memory", clock=clock)
    calls: list[int] = []

    async def factory() -> int:
        calls.append(1)
        if len(calls) == 2:
            await asyncio.Event().wait()
        return len(calls)

    def get() -> int:
        loop = asyncio.new_event_loop()
        try:
            value: int = loop.run_until_complete(
                cache.get_or_set("k", factory, 10, stale_ttl=100, soft_timeout=0.05)
            )
            for task in asyncio.all_tasks(loop):
                task.cancel()
                loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
        return value

    assert get() == 1
    clock.advance(11)
    assert get() == 1
    assert get() == 3
    poll_blocking(lambda: len(calls) == 3)
