"""A process that is suspended within an operation delays no operation on another key.

The other process runs one operation of the file store in a loop, and is stopped by SIGSTOP at the
beginning of a chosen step. Operations on other keys must then take less than a second, operations
on the same key must return, and all of them must work once the process continues or is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from tests.support.internals import limit_lock_wait
from tests.support.polling import make_environment

LIMIT = 1.0  # seconds that an operation on another key may take
TASKS = 12  # more than the store has threads

STOPPED = """
import asyncio, importlib, signal, sys, threading
from aiocache_pe import CacheManager

directory, place, operation = sys.argv[1:]
module, _, name = place.rpartition(".")
if ":" in module:
    module, _, owner = module.partition(":")
    holder = getattr(importlib.import_module(module), owner)
else:
    holder = importlib.import_module(module)
call = getattr(holder, name)

def stop(*args, **kwargs):
    setattr(holder, name, call)
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    return call(*args, **kwargs)

async def main():
    cache = CacheManager(directory=directory)
    await cache.set("held", 1)
    setattr(holder, name, stop)
    if operation == "clear":
        await cache.clear()
    elif operation == "delete":
        await cache.delete("held")
    else:
        await getattr(cache, operation)("held", 2)

asyncio.run(main())
"""
FILE = "aiocache_pe.backends.file"
PLACES = [
    (f"{FILE}.atomic_write:AtomicWrite.fill", "set"),
    (f"{FILE}.atomic_write:AtomicWrite.publish", "incr"),
    (f"{FILE}.atomic_write._replace", "set"),
    (f"{FILE}.expiry_index:ExpiryIndex.add", "touch"),
    (f"{FILE}.disk.read_head", "delete"),
    (f"{FILE}.size_ledger:SizeLedger.add", "set"),
    (f"{FILE}.scan.remove_area", "clear"),
]


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[1]} in {place[0].rpartition('.')[2]}")
def suspended(request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that is stopped within an operation on the key ``held``."""
    command = [sys.executable, "-c", STOPPED, str(cache_dir), *request.param]
    process = subprocess.Popen(command, env=make_environment())
    status = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert status is not None
    assert status.si_code == os.CLD_STOPPED
    yield process
    process.kill()
    process.wait()


async def measure(call: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    await call()
    return time.monotonic() - began


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
async def test_a_suspended_process_delays_no_other_key(
    cache_dir: Path,
    suspended: subprocess.Popen[bytes],
    end: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_lock_wait(monkeypatch, 2.0)
    cache = CacheManager(directory=cache_dir, memory_max_bytes=0)
    blocked = [
        asyncio.ensure_future(call)
        for number in range(TASKS)
        for call in (
            cache.set("held", number),
            cache.delete("held"),
            cache.touch("held", 60),
            cache.get_or_set("held", lambda: 1),
            cache.set_many({"held": number, f"beside {number}": number}),
        )
    ]
    for number in range(20):
        key = f"other {number}"
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda key=key: cache.set(key, "x" * 100_000, ttl=60),  # type: ignore[misc]  # bound
            lambda key=key: cache.get(key),  # type: ignore[misc]  # now
            lambda key=key: cache.incr(f"{key} count"),  # type: ignore[misc]  # not
            lambda key=key: cache.delete(key),  # type: ignore[misc]  # later
        ]
        for call in calls:
            assert await measure(call) < LIMIT
    await asyncio.gather(*blocked)

    suspended.send_signal(end)
    suspended.wait()
    assert await cache.set("held", "after")
    assert await cache.get("held") == "after"
    await cache.close()
