"""Managers that are never closed: they release files, threads and loops when they are deleted."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager
from tests.support.polling import list_open_files, poll_blocking


async def call_cache(cache: CacheManager) -> None:
    await cache.set("a", [1])
    assert await cache.get("a") == [1]
    assert await cache.get_or_set("b", lambda: 1) == 1


def list_held_files(directory: Path) -> list[str]:
    gc.collect()
    return list_open_files(directory)


def list_disk_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("aiocache_pe-disk")}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc/self/fd")
def test_deleted_managers_release_files_and_threads(tmp_path: Path) -> None:
    before = list_disk_threads()
    cache = CacheManager("file", directory=tmp_path / "held")
    asyncio.run(call_cache(cache))
    assert list_held_files(tmp_path)
    assert list_disk_threads() - before
    for number in range(10):
        asyncio.run(call_cache(CacheManager("file", directory=tmp_path / str(number))))
    del cache
    poll_blocking(lambda: not list_held_files(tmp_path))
    poll_blocking(lambda: not list_disk_threads() - before)


@pytest.mark.parametrize(
    "settings", [{"backend": "memory"}, {"backend": "file"}, {"backend": "null"}]
)
def test_a_manager_holds_no_reference_to_a_closed_loop(
    settings: dict[str, Any], cache_dir: Path
) -> None:
    if settings["backend"] == "file":
        settings = settings | {"directory": cache_dir}
    cache, loops = CacheManager(**settings), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await cache.set("a", [1])
        await cache.get_or_set("b", lambda: 1)

    for _ in range(10):
        asyncio.run(main())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1
