"""Thread pools: results, number of threads, and their end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from aiocache_pe.runtime.threads import ThreadPool
from tests.support.polling import poll, poll_blocking

RUN_AT_EXIT = """
import asyncio, atexit, threading
from aiocache_pe.runtime.threads import ThreadPool

pool = ThreadPool(2, "late")

async def run():
    return await asyncio.get_running_loop().run_in_executor(pool, threading.get_ident)

def finish():
    print(asyncio.run(run()) == threading.get_ident())

atexit.register(finish)
print(asyncio.run(run()) == threading.get_ident())
"""
RUN_IN_A_CHILD = """
import asyncio, os, signal, sys, threading
from aiocache_pe.runtime.threads import ThreadPool

pool, held = ThreadPool(2, "forked"), threading.Event()

async def run():
    return await asyncio.get_running_loop().run_in_executor(pool, pow, 2, 3)

def hold():  # as a thread of the pool does when it has finished a job
    with pool._workers.lock:
        held.set()
        done.wait(60)

asyncio.run(run())
done = threading.Event()
threading.Thread(target=hold).start()
held.wait(60)
child = os.fork()
if not child:
    signal.alarm(30)
    print(asyncio.run(run()), flush=True)
    sys.exit()
status = os.waitpid(child, 0)[1]
done.set()
print(os.waitstatus_to_exitcode(status), asyncio.run(run()))
"""


def find_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


async def run(pool: ThreadPool, work: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, work, *args)  # type: ignore[arg-type]  # `submit` is all that the loop calls


async def test_results_and_errors_reach_the_caller() -> None:
    pool = ThreadPool(2, "outcomes")
    assert await run(pool, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run(pool, divmod, 7, 0)
    with pytest.raises(SystemExit):
        await run(pool, sys.exit)
    assert await run(pool, int, "7") == 7
    pool.shutdown()


async def test_there_are_as_many_threads_as_jobs_at_once_up_to_the_maximum() -> None:
    pool, go = ThreadPool(3, "counted"), threading.Event()
    for _ in range(5):
        await run(pool, int)
    assert len(find_threads("counted")) == 1
    tasks = [asyncio.create_task(run(pool, go.wait, 10)) for _ in range(7)]
    await poll(lambda: len(find_threads("counted")) == 3)
    go.set()
    assert await asyncio.gather(*tasks) == [True] * 7
    assert len(find_threads("counted")) == 3
    pool.shutdown()
    assert find_threads("counted") == []


async def test_a_job_cancelled_before_it_starts_is_not_run() -> None:
    pool, go, done = ThreadPool(1, "cancelled"), threading.Event(), list[str]()
    started = threading.Event()

    def wait() -> None:
        started.set()
        assert go.wait(10)

    first = asyncio.create_task(run(pool, wait))
    second = asyncio.create_task(run(pool, done.append, "second"))
    third = asyncio.create_task(run(pool, done.append, "third"))
    await poll(started.is_set)  # or the thread may start the second job before it is cancelled
    for task in (first, second):
        task.cancel()
    await asyncio.wait([first, second])
    go.set()
    await third
    assert done == ["third"]
    pool.shutdown()


async def test_a_shutdown_waits_for_submitted_jobs_and_then_refuses_new_ones() -> None:
    pool, done = ThreadPool(1, "shut"), list[int]()
    waiting = [asyncio.create_task(run(pool, done.append, number)) for number in range(20)]
    await asyncio.sleep(0)
    pool.shutdown()
    assert done == list(range(20))
    await asyncio.gather(*waiting)
    with pytest.raises(RuntimeError, match="the thread pool 'shut' is shut down"):
        await run(pool, int)
    pool.shutdown()


def test_threads_end_when_their_pool_is_collected() -> None:
    pool = ThreadPool(2, "dropped")
    asyncio.run(run(pool, int))
    assert find_threads("dropped")
    reference = weakref.ref(pool)
    del pool
    gc.collect()
    assert reference() is None
    poll_blocking(lambda: not find_threads("dropped"))


class Argument:
    """An argument of a job; weak references show when it is collected."""


def test_a_job_outlives_its_loop_and_its_arguments_are_not_kept() -> None:
    pool, go, seen = ThreadPool(1, "outliving"), threading.Event(), list[weakref.ref[Argument]]()

    def work(argument: Argument) -> None:
        seen.append(weakref.ref(argument))
        assert go.wait(10)

    async def leave() -> None:
        task = asyncio.create_task(run(pool, work, Argument()))
        await poll(lambda: seen)
        assert not task.done()

    asyncio.run(leave())
    go.set()
    assert asyncio.run(run(pool, int, "7")) == 7
    gc.collect()
    assert seen[0]() is None
    pool.shutdown()


async def test_a_thread_that_cannot_be_started_is_an_error_only_if_the_pool_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, go = ThreadPool(2, "scarce"), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await run(pool, int)
    first = asyncio.create_task(run(pool, go.wait, 10))
    await asyncio.sleep(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = asyncio.create_task(run(pool, int, "7"))
        await asyncio.sleep(0)
    go.set()
    assert [await first, await second] == [True, 7]
    assert len(find_threads("scarce")) == 1
    pool.shutdown()


def test_during_shutdown_jobs_run_in_the_thread_that_submits_them() -> None:
    command = [sys.executable, "-c", RUN_AT_EXIT]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"]


def test_a_forked_child_starts_threads_of_its_own_and_ends() -> None:
    command = [
        sys.executable,
        "-W",
        "ignore:This process:DeprecationWarning",
        "-c",
        RUN_IN_A_CHILD,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("8\n0 8\n", "")
