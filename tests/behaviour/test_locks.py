"""Locks of keys: one block at a time among tasks, threads and processes, in every store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aiocache_pe import (
    BackendError,
    CacheManager,
    ConfigurationError,
    DeadlockError,
    LockTimeoutError,
)
from aiocache_pe import sync as blocking
from aiocache_pe.backends.memory import MemoryBackend, MemoryLease
from aiocache_pe.testing.spy_backend import SpyBackend
from tests.support.polling import make_environment, poll
from tests.support.servers.redis_server import Server

HOLD = """
import sys
from aiocache_pe.sync import CacheManager

with CacheManager(sys.argv[1]) as cache, cache.lock("report"):
    print("held", flush=True)
    sys.stdin.readline()
"""


async def test_one_block_runs_at_a_time_also_if_it_changes_the_entry(cache: CacheManager) -> None:
    inside, most = 0, 0

    async def work(number: int) -> None:
        nonlocal inside, most
        async with cache.lock("report", wait="1 min"):
            inside += 1
            most = max(most, inside)
            for change in (cache.set("report", number), cache.delete("report"), cache.clear()):
                await change
                await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(5)))
    assert (inside, most) == (0, 1)


async def test_the_locks_of_two_keys_and_of_two_namespaces_are_independent(
    cache: CacheManager,
) -> None:
    async with cache.lock("a"), cache.lock("b"), cache.namespace("other").lock("a"):
        assert await cache.get_or_set("a", lambda: 1) == 1
    assert (await cache.get_stats()).total_entries == 1
    assert await cache.namespaces() == ["default"]


async def test_a_caller_waits_no_longer_than_it_said(cache: CacheManager) -> None:
    async with cache.lock("a"):

        async def acquire(wait: float | bool) -> None:
            async with cache.lock("a", wait=wait):
                raise AssertionError("the lock is held")

        for wait in (False, 0.05):
            with pytest.raises(
                LockTimeoutError, match="the lock of key 'a' in namespace 'default'"
            ):
                await asyncio.create_task(acquire(wait))
    async with cache.lock("a", wait=False):
        pass


async def test_a_task_that_would_wait_for_itself_gets_an_error(cache: CacheManager) -> None:
    async with cache.lock("a"):
        with pytest.raises(DeadlockError, match="held by the same task or thread"):
            async with cache.lock("a"):
                pass
        with pytest.raises(LockTimeoutError):  # the error has not released the lock
            await asyncio.create_task(cache.lock("a", wait=False).__aenter__())


async def test_a_cancelled_caller_holds_no_lock(cache: CacheManager) -> None:
    async with cache.lock("a"):
        waiting = asyncio.create_task(cache.lock("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    for steps in range(4):
        task = asyncio.create_task(cache.lock("b").__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.cancel():
            await asyncio.wait({task})
            async with cache.lock("b", wait="1 min"):
                pass
        else:
            break


async def test_each_block_needs_a_lock_of_its_own(memory: CacheManager) -> None:
    lock = memory.lock("a")
    async with lock:
        with pytest.raises(RuntimeError, match=r"call lock\(\) again"):
            await asyncio.create_task(lock.__aenter__())
        with pytest.raises(LockTimeoutError):
            await asyncio.create_task(memory.lock("a", wait=False).__aenter__())


async def test_an_exception_in_the_block_releases_the_lock(cache: CacheManager) -> None:
    with pytest.raises(ZeroDivisionError):
        async with cache.lock("a"):
            raise ZeroDivisionError
    async with cache.lock("a", wait=False):
        pass


@pytest.mark.parametrize("store", ["file", "redis"])
@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_lock_excludes_other_processes_until_they_release_it_or_die(
    store: str, is_killed: bool, cache_dir: Path, request: pytest.FixtureRequest
) -> None:
    url = f"file://{cache_dir}"
    if store == "redis":
        server: Server = request.getfixturevalue("redis_server")
        url = server.url
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=make_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    async with CacheManager(url) as cache:
        with pytest.raises(LockTimeoutError):
            await cache.lock("report", wait=False).__aenter__()
        if is_killed:
            process.kill()
        else:
            process.stdin.write(b"\n")
        async with cache.lock("report", wait="1 min"):
            pass
        await process.communicate()


def test_threads_and_blocking_callers_exclude_each_other(cache_dir: Path) -> None:
    with blocking.CacheManager(directory=cache_dir) as cache:
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with cache.lock("a"):
                entered.set()
                leave.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        assert entered.wait(60)
        with pytest.raises(LockTimeoutError), cache.lock("a", wait=False):
            pass
        leave.set()
        with cache.lock("a", wait=60):
            with pytest.raises(DeadlockError), cache.lock("a"):
                pass
            assert cache.get_or_set("a", lambda: 1) == 1
        thread.join()


async def test_a_forked_child_leaves_the_lock_of_its_parent_alone(cache_dir: Path) -> None:
    code = """
import os, sys
from aiocache_pe.sync import CacheManager, LockTimeoutError

cache = CacheManager(directory=sys.argv[1])
with cache.lock("a"):
    child = os.fork()
    if not child:
        try:
            with cache.lock("a", wait=False):
                os._exit(1)
        except LockTimeoutError:
            os._exit(0)
    print(os.waitpid(child, 0)[1])
with cache.lock("a", wait=60):
    print("free")
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", "-c", code, str(cache_dir)],
        capture_output=True,
        text=True,
        env=make_environment(),
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["0", "free"]


class BrokenLeases(MemoryBackend):
    """A store that fails to give leases."""

    async def try_lease(self, key: str, version: str = "") -> MemoryLease | None:
        raise OSError("away")


async def test_a_store_that_fails_gives_no_lock() -> None:
    cache = CacheManager(BrokenLeases())
    with pytest.raises(BackendError, match=r"failed to lock a key of namespace 'default': away"):
        await cache.lock("a").__aenter__()
    assert (await cache.get_stats()).errors == 1


async def test_a_store_without_leases_is_refused_and_a_disabled_cache_is_not() -> None:
    with pytest.raises(ConfigurationError, match="lock needs a store with leases; the recorded "):
        CacheManager(SpyBackend(MemoryBackend())).lock("a")
    cache = CacheManager("null")
    async with cache.lock("a"):
        task = asyncio.create_task(cache.lock("a", wait="1 min").__aenter__())
        await asyncio.sleep(0)
        assert not task.done()
    await poll(task.done, deadline=60)
    await task
