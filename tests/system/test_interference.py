"""Other processes that remove the directory or keep a lock: calls continue without errors."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.layout import Layout, get_lock_slot
from tests.support.internals import limit_lock_wait
from tests.support.operations import KEPT, call_every_method, find_repeated_failures
from tests.support.polling import list_open_files
from tests.support.scale import scale_size

HOLDER = """
import os, signal, sys
from aiocache_pe.backends.file.locks import ByteLocks
with ByteLocks(sys.argv[1]).hold(int(sys.argv[2])):
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def stopped_holder(cache_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that is stopped while it holds the lock of the key ``held``."""
    layout = Layout(str(cache_dir))
    layout.make_root()
    slot = get_lock_slot(layout.get_path("default:held"))
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, layout.locks, str(slot)])
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    yield holder
    holder.kill()
    holder.wait()


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
async def test_a_lock_that_is_not_released_breaks_no_call(
    cache_dir: Path,
    stopped_holder: subprocess.Popen[bytes],
    end: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit_lock_wait(monkeypatch, 0.05)
    async with CacheManager(directory=cache_dir) as cache:
        for _ in range(3):
            assert not await cache.set("held", 1)
            assert await cache.get("held") is None
            assert await cache.get_or_set("held", lambda: [2]) == [2]
            assert await cache.pop("held", "nothing") == "nothing"
            assert not await cache.delete("held")
            assert not await cache.add("held", 1)
        assert await cache.set("free", 1)
        assert (await cache.get_stats()).errors >= 15
        assert not find_repeated_failures(caplog.messages)
        stopped_holder.send_signal(end)
        stopped_holder.wait()
        assert await cache.set("held", 1)
        assert await cache.get("held") == 1


@pytest.mark.parametrize("tier", [0, 64 * 1024 * 1024], ids=["no memory tier", "memory tier"])
async def test_a_removed_directory_is_created_again(cache_dir: Path, tier: int) -> None:
    async with CacheManager(directory=cache_dir, memory_max_bytes=tier) as cache:
        for _ in range(scale_size(5)):
            assert await cache.set("kept", KEPT)
            assert await cache.get("kept") == KEPT
            shutil.rmtree(cache_dir)
            assert await cache.get("kept") is None
            assert await cache.set("kept", KEPT)
            await call_every_method(cache, works=True)
        assert (await cache.get_stats()).errors == 0


async def test_a_repeatedly_removed_directory_breaks_no_call(cache_dir: Path) -> None:
    end = threading.Event()

    def remove() -> None:
        while not end.is_set():
            shutil.rmtree(cache_dir, ignore_errors=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        async with CacheManager(directory=cache_dir) as cache:
            for _ in range(scale_size(5)):
                await call_every_method(cache, works=False)
                await asyncio.gather(*[cache.set(f"key {n}", n) for n in range(20)])
            end.set()
            thread.join()
            await cache.clear()
            assert await cache.set("kept", KEPT)
            await call_every_method(cache, works=True)
    finally:
        end.set()
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
async def test_removed_directories_leave_no_open_descriptors(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        assert await cache.set("key", 1)
        before = len(list_open_files(cache_dir))
        for number in range(30):
            shutil.rmtree(cache_dir)
            assert await cache.set("key", number)
        assert 0 < len(list_open_files(cache_dir)) <= before + 2
