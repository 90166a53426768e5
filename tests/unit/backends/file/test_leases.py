"""A lease of a directory has one holder among all processes, and is released with it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe.backends.file import leases as module
from aiocache_pe.backends.file.backend import FileBackend
from tests.support.polling import list_open_files

HOLDER = """
import asyncio, sys, time
from aiocache_pe.backends.file.backend import FileBackend
from tests.support.polling import list_open_files
assert asyncio.run(FileBackend(sys.argv[1]).try_lease("default:a")) is not None
print("held", flush=True)
time.sleep(3600)
"""


async def is_free(backend: FileBackend, key: str = "default:a") -> bool:
    """Return whether a lease can be acquired; release it again."""
    lease = await backend.try_lease(key)
    if lease is not None:
        await lease.release()
    return lease is not None


def test_a_killed_process_holds_no_lease(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    command = [sys.executable, "-c", HOLDER, str(cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert not asyncio.run(is_free(backend))
            assert asyncio.run(is_free(backend, "default:b"))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert asyncio.run(is_free(backend))


async def test_two_stores_of_a_process_exclude_each_other(cache_dir: Path) -> None:
    one, other = FileBackend(cache_dir), FileBackend(cache_dir)
    lease = await one.try_lease("default:a")
    assert lease is not None
    assert not await is_free(other)
    await lease.release()
    assert await is_free(other)


async def test_a_lease_outlives_the_close_of_its_store(cache_dir: Path) -> None:
    backend, other = FileBackend(cache_dir), FileBackend(cache_dir)
    lease = await backend.try_lease("default:a")
    assert lease is not None
    await backend.close()
    assert not await is_free(backend)
    assert not await is_free(other)
    await lease.release()
    assert await is_free(other)


async def test_a_released_lease_leaves_nothing_behind(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    for number in range(100):
        assert await is_free(backend, f"default:{number}")
    assert (cache_dir / ".leases").stat().st_size == 0
    assert sorted(path.name for path in cache_dir.iterdir()) == [
        ".generations",
        ".gitignore",
        ".leases",
        "CACHEDIR.TAG",
    ]


async def test_many_leases_take_one_descriptor(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    assert await is_free(backend)
    leases = [await backend.try_lease(f"default:{number}") for number in range(2000)]
    assert sorted(list_open_files(cache_dir)) == [
        f"{cache_dir}/.generations",
        f"{cache_dir}/.leases",
    ]
    for lease in leases:
        assert lease is not None
        await lease.release()


async def test_a_removed_directory_ends_its_leases(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    lease = await backend.try_lease("default:a")
    assert lease is not None
    shutil.rmtree(cache_dir)
    new_lease = await backend.try_lease("default:a")
    assert new_lease is not None
    await lease.release()
    assert not await is_free(backend)
    await new_lease.release()


def test_a_forked_child_neither_holds_nor_releases_its_parents_leases(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    lease = asyncio.run(backend.try_lease("default:a"))
    assert lease is not None
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # it keeps running while the parent releases its lease
        status = 1
        try:
            with pytest.raises(StopIteration):
                lease.release().send(None)
            status = 0
            os.write(ready[1], b"x")
            os.read(go[0], 1)
        finally:
            os._exit(status)
    try:
        os.read(ready[0], 1)
        assert not asyncio.run(is_free(FileBackend(cache_dir)))
        asyncio.run(lease.release())
        assert asyncio.run(is_free(FileBackend(cache_dir)))
    finally:
        os.write(go[1], b"x")
        status = os.waitpid(child, 0)[1]
        for fd in (*ready, *go):
            os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 0


async def test_an_error_of_the_lock_reaches_the_caller_and_leaves_no_lease(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    backend = FileBackend(cache_dir)
    assert await is_free(backend)
    with monkeypatch.context() as patch:
        patch.setattr(module, "set_lock", refuse)
        with pytest.raises(OSError, match="no locks"):
            await backend.try_lease("default:a")
    assert await is_free(backend)
