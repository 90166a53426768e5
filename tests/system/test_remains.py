"""Maintenance rounds remove what killed writers leave, and nothing of a writer that lives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aiocache_pe.backends.file.backend import FileBackend
from tests.support.file_store import list_entry_names, run_round
from tests.support.polling import make_environment

WRITER = """
import asyncio, signal, sys, threading
from aiocache_pe import CacheManager
from aiocache_pe.backends.file import scan
from aiocache_pe.backends.file.atomic_write import AtomicWrite

directory, operation = sys.argv[1:]

def stop_once_in(holder, name):
    call = getattr(holder, name)

    def stop(*args):
        setattr(holder, name, call)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return call(*args)

    setattr(holder, name, stop)

async def main():
    cache = CacheManager(directory=directory)
    await cache.set("old", 1)
    if operation == "set":
        stop_once_in(AtomicWrite, "fill")
        assert await cache.set("k", "written")
    else:
        stop_once_in(scan, "remove_area")
        assert await cache.clear() == 1
    await cache.close()

asyncio.run(main())
"""


def make_round(directory: Path, now: float) -> None:
    backend = FileBackend(directory)
    run_round(backend, now)
    asyncio.run(backend.close())


def list_remains(directory: Path) -> list[str]:
    remains = [*directory.glob("*/??/.tmp-*"), *directory.glob(".trash-*")]
    return [path.name for path in remains]


@pytest.mark.parametrize("operation", ["set", "clear"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGCONT])
def test_a_round_removes_the_remains_of_a_killed_writer_only(
    cache_dir: Path, operation: str, end: signal.Signals
) -> None:
    command = [sys.executable, "-c", WRITER, str(cache_dir), operation]
    with subprocess.Popen(command, env=make_environment()) as writer:
        try:
            check_remains(cache_dir, writer, operation, end)
        finally:
            writer.kill()


def check_remains(
    cache_dir: Path, writer: subprocess.Popen[bytes], operation: str, end: signal.Signals
) -> None:
    status = os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert status is not None
    assert status.si_code == os.CLD_STOPPED
    [name] = list_remains(cache_dir)

    now = time.time()
    make_round(cache_dir, now)
    assert list_remains(cache_dir) == [name]  # its writer may continue
    make_round(cache_dir, now + 7200)
    assert (list_remains(cache_dir) == [name]) is (operation == "set")
    writer.send_signal(end)
    assert writer.wait(60) == (0 if end is signal.SIGCONT else -signal.SIGKILL)
    make_round(cache_dir, now + 14_400)
    assert list_remains(cache_dir) == []
    if end is signal.SIGCONT and operation == "set":
        assert "k" in list_entry_names(cache_dir)
