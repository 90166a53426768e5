"""Threads that are cheap to ask: made when needed, gone when nobody needs them."""

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

AT_THE_END = """
import asyncio, atexit, threading
from aiocache_pe.runtime.threads import ThreadPool

workers = ThreadPool(2, "late")

async def ask():
    return await asyncio.get_running_loop().run_in_executor(workers, threading.get_ident)

def finish():
    print(asyncio.run(ask()) == threading.get_ident())

atexit.register(finish)
print(asyncio.run(ask()) == threading.get_ident())
"""
IN_A_CHILD = """
import asyncio, os, signal, sys, threading
from aiocache_pe.runtime.threads import ThreadPool

workers, held = ThreadPool(2, "forked"), threading.Event()

async def ask():
    return await asyncio.get_running_loop().run_in_executor(workers, pow, 2, 3)

def hold():  # as a thread does in the moment in which it has done something
    with workers._crew.lock:
        held.set()
        done.wait(60)

asyncio.run(ask())
done = threading.Event()
threading.Thread(target=hold).start()
held.wait(60)
child = os.fork()
if not child:
    signal.alarm(30)
    print(asyncio.run(ask()), flush=True)
    sys.exit()
status = os.waitpid(child, 0)[1]
done.set()
print(os.waitstatus_to_exitcode(status), asyncio.run(ask()))
"""


def threads_of(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(name)]


async def ask(workers: ThreadPool, work: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(workers, work, *args)  # type: ignore[arg-type]  # all that is asked of an executor


async def test_results_and_errors_reach_who_asked() -> None:
    workers = ThreadPool(2, "told")
    assert await ask(workers, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await ask(workers, divmod, 7, 0)
    with pytest.raises(SystemExit):
        await ask(workers, sys.exit)
    assert await ask(workers, int, "7") == 7
    workers.shutdown()


async def test_there_are_as_many_threads_as_there_is_to_do_at_once_and_no_more() -> None:
    workers, go = ThreadPool(3, "counted"), threading.Event()
    for _ in range(5):
        await ask(workers, int)
    assert len(threads_of("counted")) == 1
    tasks = [asyncio.create_task(ask(workers, go.wait, 10)) for _ in range(7)]
    await poll(lambda: len(threads_of("counted")) == 3)
    go.set()
    assert await asyncio.gather(*tasks) == [True] * 7
    assert len(threads_of("counted")) == 3
    workers.shutdown()
    assert threads_of("counted") == []


async def test_what_is_cancelled_before_it_begins_is_not_done() -> None:
    workers, go, done = ThreadPool(1, "cancelled"), threading.Event(), list[str]()
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(10)

    first = asyncio.create_task(ask(workers, wait))
    second = asyncio.create_task(ask(workers, done.append, "second"))
    third = asyncio.create_task(ask(workers, done.append, "third"))
    await poll(begun.is_set)  # or the thread may come to the second before it is cancelled
    for task in (first, second):
        task.cancel()
    await asyncio.wait([first, second])
    go.set()
    await third
    assert done == ["third"]
    workers.shutdown()


async def test_a_shutdown_waits_and_then_refuses() -> None:
    workers, done = ThreadPool(1, "shut"), list[int]()
    waiting = [asyncio.create_task(ask(workers, done.append, number)) for number in range(20)]
    await asyncio.sleep(0)
    workers.shutdown()
    assert done == list(range(20))
    await asyncio.gather(*waiting)
    with pytest.raises(RuntimeError, match="told to end"):
        await ask(workers, int)
    workers.shutdown()


def test_threads_go_with_the_object_that_they_work_for() -> None:
    workers = ThreadPool(2, "dropped")
    asyncio.run(ask(workers, int))
    assert threads_of("dropped")
    gone = weakref.ref(workers)
    del workers
    gc.collect()
    assert gone() is None
    poll_blocking(lambda: not threads_of("dropped"))


class Thing:
    """What can be told to be gone."""


def test_work_outlives_its_loop_and_nothing_of_it_is_kept() -> None:
    workers, go, gone = ThreadPool(1, "outliving"), threading.Event(), list[weakref.ref[Thing]]()

    def work(thing: Thing) -> None:
        gone.append(weakref.ref(thing))
        assert go.wait(10)

    async def leave() -> None:
        task = asyncio.create_task(ask(workers, work, Thing()))
        await poll(lambda: gone)
        assert not task.done()

    asyncio.run(leave())
    go.set()
    assert asyncio.run(ask(workers, int, "7")) == 7
    gc.collect()
    assert gone[0]() is None
    workers.shutdown()


async def test_a_system_without_threads_to_give_is_an_error_only_if_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers, go = ThreadPool(2, "scarce"), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await ask(workers, int)
    first = asyncio.create_task(ask(workers, go.wait, 10))
    await asyncio.sleep(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = asyncio.create_task(ask(workers, int, "7"))
        await asyncio.sleep(0)
    go.set()
    assert [await first, await second] == [True, 7]
    assert len(threads_of("scarce")) == 1
    workers.shutdown()


def test_at_the_end_of_the_program_work_is_done_by_who_asks() -> None:
    command = [sys.executable, "-c", AT_THE_END]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"]


def test_a_forked_child_has_threads_of_its_own_and_ends() -> None:
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", IN_A_CHILD]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("8\n0 8\n", "")
