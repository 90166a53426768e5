"""Caches at module level: used in several loops and threads and after forks, never closed.

The scripts run in processes of their own, which begin, fork and end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from tests.support.polling import make_environment
from tests.support.scale import scale_size

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60  # for a script on the slowest machine; a hang takes longer
WARNINGS = (
    "-W",
    "error",
    "-W",
    "ignore:This process:DeprecationWarning",
)  # the scripts fork on purpose
SCRIPT_HEAD = """
import asyncio, os, sys, threading, time
from aiocache_pe import CacheManager

cache = CacheManager(directory=sys.argv[1])
"""


def run_script(source: str, directory: Path) -> str:
    """Run a script, which must end by itself without warnings, and return its output."""
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", SCRIPT_HEAD + textwrap.dedent(source), str(directory)],
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def read_counters(directory: Path) -> dict[str, int]:
    """Return the counters that a later process reads."""
    script = """
        import dataclasses, json
        print(json.dumps(dataclasses.asdict(asyncio.run(cache.get_stats()))))
    """
    return dict(json.loads(run_script(script, directory)))


def test_one_cache_works_in_one_loop_after_another(cache_dir: Path) -> None:
    script = f"""
        async def main(number):
            assert await cache.get("last") == (number - 1 if number else None)
            calls = [cache.incr("calls") for _ in range(10)]
            assert len(set(await asyncio.gather(*calls))) == 10
            assert await cache.get_or_set(f"of {{number}}", lambda: number) == number
            assert await cache.set("last", number)

        for number in range({scale_size(10)}):
            asyncio.run(main(number))
        assert asyncio.run(cache.get("calls")) == 10 * {scale_size(10)}
    """
    run_script(script, cache_dir)
    stats = read_counters(cache_dir)
    assert stats["errors"] == 0
    assert stats["total_entries"] == scale_size(10) + 2


def test_a_cache_keeps_no_closed_loop_alive(cache_dir: Path) -> None:
    cache = CacheManager(directory=cache_dir)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await cache.set("key", [1])
        assert await cache.get("key") == [1]

    def run_all() -> None:  # in a thread, where pytest keeps no loop
        for _ in range(10):
            asyncio.run(main())

    run_in_threads(run_all)
    gc.collect()
    assert (
        sum(loop() is not None for loop in loops) <= 1
    )  # the cache keeps the last one until the next is used


def run_in_threads(*works: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("backend", ["file", "memory"])
def test_two_loops_in_two_threads_share_a_cache(cache_dir: Path, backend: str) -> None:
    cache = CacheManager(backend, directory=cache_dir if backend == "file" else None)
    rounds = scale_size(100)

    async def main(me: str, other: str) -> None:
        for number in range(rounds):
            await asyncio.gather(
                cache.set(me, number), cache.incr("calls"), cache.get(other), cache.get(me)
            )
            assert await cache.get(me) == number
            computed = await cache.get_or_set(f"common {number}", lambda: {"made": "once"})
            assert computed == {"made": "once"}

    run_in_threads(lambda: asyncio.run(main("a", "b")), lambda: asyncio.run(main("b", "a")))

    async def last() -> None:
        assert await cache.get("calls") == 2 * rounds
        assert (await cache.get_stats()).errors == 0
        await cache.close()

    asyncio.run(last())


@pytest.mark.parametrize("where", ["before a loop", "in a loop", "while a thread is at work"])
def test_parent_and_child_both_work_after_a_fork(cache_dir: Path, where: str) -> None:
    script = f"""
        where, rounds = {where!r}, 100

        async def work(name):
            for number in range(rounds):
                counts = [cache.incr("calls"), cache.incr(name), cache.set(name + "!", number)]
                await asyncio.gather(*counts)
                assert await cache.get(name + "!") == number
            assert await cache.get(name) == rounds

        def fork():
            child = os.fork()
            if not child:
                status = 1
                try:
                    asyncio.run(work("child"))
                    status = 0
                finally:
                    os._exit(status)
            return child

        async def fork_in_the_middle():
            await asyncio.gather(*[cache.set(f"before {{n}}", n) for n in range(100)])
            child = fork()
            await work("parent")
            return child

        if where == "before a loop":
            asyncio.run(cache.set("key", 1))
            child = fork()
            asyncio.run(work("parent"))
        elif where == "in a loop":
            child = asyncio.run(fork_in_the_middle())
        else:
            thread = threading.Thread(target=lambda: asyncio.run(work("parent")))
            thread.start()
            while asyncio.run(cache.get("parent", 0)) < 10:
                pass
            child = fork()
            thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert asyncio.run(cache.get("calls")) == 2 * rounds
    """
    for _ in range(scale_size(1)):
        run_script(script, cache_dir)
        assert read_counters(cache_dir)["errors"] == 0
        run_in_threads(lambda: asyncio.run(CacheManager(directory=cache_dir).clear()))


@pytest.mark.parametrize("backend", ["file", "memory"])
def test_a_child_does_not_wait_for_locks_of_threads_of_its_parent(
    cache_dir: Path, backend: str
) -> None:
    run_script(
        f"""
        import signal

        backend, forks = {backend!r}, {scale_size(25)}
        cache = CacheManager("memory") if backend == "memory" else cache
        ready, end = threading.Event(), threading.Event()

        async def write_all_the_time():
            number = 0
            while not end.is_set():
                number += 1
                await cache.set(f"key {{number % 50}}", number)
                ready.set()

        async def count():
            counts = await asyncio.gather(*[cache.incr("calls") for _ in range(8)])
            assert len(set(counts)) == 8

        thread = threading.Thread(target=lambda: asyncio.run(write_all_the_time()))
        thread.start()
        ready.wait()
        try:
            for _ in range(forks):
                child = os.fork()
                if not child:
                    signal.alarm(20)  # it ends a child that hangs
                    try:
                        asyncio.run(count())
                        os._exit(0)
                    finally:
                        os._exit(1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            end.set()
            thread.join()
        """,
        cache_dir,
    )


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_a_child_of_a_process_with_blocking_calls_works_and_ends(cache_dir: Path, end: str) -> None:
    script = f"""
        import signal
        from aiocache_pe.sync import CacheManager

        blocking = CacheManager.of(cache)
        blocking.set("key", "of the parent")
        for number in range({scale_size(5)}):
            child = os.fork()
            if not child:
                signal.alarm(20)  # it ends a child that hangs
                assert blocking.get("key") == "of the parent"
                blocking.set("of the child", number)
                assert blocking.get("of the child") == number
                {end}
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert blocking.get("of the child") == number
    """
    run_script(script, cache_dir)


def test_a_fork_counts_nothing_twice(cache_dir: Path) -> None:
    run_script(
        """
        async def main():
            await cache.set("key", 1)
            for _ in range(50):
                assert await cache.get("key") == 1
            child = os.fork()
            if not child:
                os._exit(0 if asyncio.run(more()) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        async def more():
            return await cache.get("key") == 1

        asyncio.run(main())
        """,
        cache_dir,
    )
    stats = read_counters(cache_dir)
    assert (stats["sets"], stats["hits"]) == (1, 51)


def test_a_later_process_reads_the_counters_of_a_script(cache_dir: Path) -> None:
    run_script(
        """
        async def main():
            await cache.set("key", "value")
            for _ in range(5):
                assert await cache.get("key") == "value"
            assert await cache.get("absent") is None

        asyncio.run(main())
        """,
        cache_dir,
    )
    stats = read_counters(cache_dir)
    assert (stats["sets"], stats["hits"], stats["misses"]) == (1, 5, 1)
