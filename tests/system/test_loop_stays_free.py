"""System calls in the thread of the event loop: none waits for the disk.

64 tasks read and write a megabyte each. The test records every system call of the library with
its thread. The thread of the loop may make only calls that cannot wait: ``lstat`` of a path just
used, ``openat2`` with ``RESOLVE_CACHED``, ``fstat`` and ``close`` of the file that it opened, and
``preadv`` with ``RWF_NOWAIT``. The duration of each callback is measured too and shown with
``-s``. The full run, on an otherwise idle machine, limits the duration::

    AIOCACHE_STRESS=3 pytest -p no:xdist tests/system/test_loop_stays_free.py -s
"""

from __future__ import annotations

import asyncio
import builtins
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.sentinels import PENDING
from tests.support.internals import wrap_atomic_renames
from tests.support.polling import poll
from tests.support.scale import is_full_run, report, scale_size

TASKS = 64
MEGABYTE = 1_000_000
ROWS = 8000 if is_full_run() else 2000  # a megabyte; reading every part of it takes long
ALLOWED = {"lstat", "fstat", "preadv", "close"}
WATCHED = (
    *("open", "read", "write", "writev", "preadv", "stat", "lstat", "fstat", "close", "rename"),
    *("unlink", "mkdir", "makedirs", "listdir", "scandir", "utime", "link", "setxattr"),
    *("getxattr", "replace", "rmdir", "access"),
)
CPU_LIMIT = 0.25  # seconds of computing in one callback of the full run


class Watch:
    """A recorder of the system calls of each thread and of the duration of each callback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[tuple[str, bool]] = Counter()
        self.longest_call = (0.0, "none")
        self.waiting: list[str] = []
        self.callbacks: list[tuple[float, float, str]] = []
        self._loop_thread = threading.get_ident()
        for name in WATCHED:
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._record(name, getattr(os, name)))
        monkeypatch.setattr(builtins, "open", self._record("builtin open", builtins.open))
        wrap_atomic_renames(monkeypatch, lambda call: self._record("renameat2", call))
        monkeypatch.setattr(asyncio.Handle, "_run", self._measure(asyncio.Handle._run))

    def _record(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def record(*args: Any, **kwargs: Any) -> Any:
            here = threading.get_ident() == self._loop_thread
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - began
                self.calls[name, here] += 1
                if here:
                    self.longest_call = max(self.longest_call, (seconds, name))
                    if name not in ALLOWED or (name == "preadv" and args[-1] != os.RWF_NOWAIT):
                        self.waiting.append(f"{name}{args!r:.100}")

        return record

    def _measure(self, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def measure(handle: Any) -> Any:
            wall, computing = time.perf_counter(), time.thread_time()
            try:
                return run(handle)
            finally:
                computing = time.thread_time() - computing
                owner = getattr(handle._callback, "__self__", None)
                coroutine = owner.get_coro() if isinstance(owner, asyncio.Task) else None
                name = getattr(
                    coroutine, "__qualname__", getattr(handle._callback, "__name__", "?")
                )
                self.callbacks.append((time.perf_counter() - wall, computing, name))

        return measure


def make_text(task: int, number: int) -> str:
    return f"{task:04d}{number:04d}" * (MEGABYTE // 8)


def make_bytes(task: int, number: int) -> bytes:
    return make_text(task, number).encode()


def make_rows(task: int, number: int) -> list[dict[str, Any]]:
    row = {"id": number, "task": task, "text": "some words in a row", "scores": [0.5, 1.5, 2.5]}
    return [{**row, "row": n, "more": {"tags": ["a", "b"], "none": None}} for n in range(ROWS)]


@pytest.mark.timeout(600)  # the computation takes long on a busy machine with coverage
@pytest.mark.parametrize("value", [make_text, make_bytes, make_rows])
async def test_the_loop_does_not_wait_for_the_disk(
    cache_dir: Path, value: Callable[[int, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = scale_size(1 if value is make_rows else 3)
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set("warm", "up")
        shared = [value(0, number) for number in range(rounds)]  # not part of the measurement
        watch = Watch(monkeypatch)

        async def task(number: int) -> None:
            for turn in range(rounds):
                assert await cache.set(f"large {number}", shared[turn])
                assert await cache.set(f"small {number}", number)
                assert await cache.get(f"small {number}") == number
                await asyncio.sleep(0)  # one callback decodes one large value
                assert await cache.get(f"large {number}") == shared[turn]
                await asyncio.sleep(0)
                assert await cache.get(f"large {(number + 1) % TASKS}") is not shared
                await asyncio.sleep(0)

        await asyncio.gather(*map(task, range(TASKS)))
        monkeypatch.undo()
        assert (await cache.get_stats()).errors == 0
    callbacks = sorted(watch.callbacks, reverse=True)
    by_cpu = sorted(watch.callbacks, key=lambda one: one[1], reverse=True)
    long = Counter(name for wall, _, name in callbacks if wall > 0.02)
    report(
        f"{value.__name__}: {len(callbacks)} callbacks; longest {_ms(callbacks[0])}; "
        f"most computing {_ms(by_cpu[0])}; over 20 ms: {dict(long)}; longest disk call in the "
        f"loop {watch.longest_call[0] * 1e3:.2f} ms ({watch.longest_call[1]}); in the loop "
        f"{ {name: n for (name, here), n in sorted(watch.calls.items()) if here} }"
    )
    assert not watch.waiting
    assert watch.calls["writev", False] >= 2 * TASKS * rounds, "no system call was recorded"
    if is_full_run() and value is not make_rows:
        assert by_cpu[0][1] < CPU_LIMIT


def _ms(callback: tuple[float, float, str]) -> str:
    wall, computing, name = callback
    return f"{wall * 1e3:.1f} ms (computing {computing * 1e3:.1f} ms) in {name}"


def drop_from_memory(directory: Path) -> None:
    os.sync()  # unwritten pages cannot be dropped
    for file in directory.glob("default/*/*"):
        fd = os.open(file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    names = Path("/proc/sys/vm/drop_caches")
    if is_full_run() and os.access(names, os.W_OK):
        names.write_text("2")  # the names of files too; it affects the whole machine


@pytest.mark.skipif(sys.platform != "linux", reason="uses system calls of Linux")
async def test_a_read_of_a_file_outside_the_page_cache_does_not_wait(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir, memory_max_bytes=0) as cache:
        await cache.set_many({f"key {n}": "x" * 20_000 for n in range(50)})
        backend = FileBackend(cache_dir)
        keys = [f"default:key {n}" for n in range(50)]
        if not all(backend.peek(key) for key in keys):
            pytest.skip("this file system does not support reads without waiting")

        def is_cold() -> bool:  # a page in use is not dropped at once
            drop_from_memory(cache_dir)
            began = time.perf_counter()
            pending = [backend.peek(key) for key in keys].count(PENDING)
            seconds = time.perf_counter() - began
            report(f"cold: {pending} of 50 answers PENDING, {seconds / 50 * 1e6:.0f} us each")
            return pending > 40

        await poll(is_cold, deadline=60)
        assert all(record.head.key == key for key, record in (await backend.read(keys)).items())  # type: ignore[union-attr]
        assert await cache.get("key 7") == "x" * 20_000
        await backend.close()
