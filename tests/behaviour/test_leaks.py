"""Managers that nobody closes: they hold nothing once they and their loops are gone."""

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


async def use(cache: CacheManager) -> None:
    await cache.set("a", [1])
    assert await cache.get("a") == [1]
    assert await cache.get_or_set("b", lambda: 1) == 1


def held_below(directory: Path) -> list[str]:
    gc.collect()
    return list_open_files(directory)


def disk_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("aiocache_pe-disk")}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at descriptors in /proc")
def test_managers_that_are_dropped_give_back_files_and_threads(tmp_path: Path) -> None:
    before = disk_threads()
    cache = CacheManager("file", directory=tmp_path / "held")
    asyncio.run(use(cache))
    assert held_below(tmp_path)
    assert disk_threads() - before
    for number in range(10):
        asyncio.run(use(CacheManager("file", directory=tmp_path / str(number))))
    del cache
    poll_blocking(lambda: not held_below(tmp_path))
    poll_blocking(lambda: not disk_threads() - before)


@pytest.mark.parametrize(
    "settings", [{"backend": "memory"}, {"backend": "file"}, {"backend": "null"}]
)
def test_a_manager_that_stays_keeps_no_loop_that_ended(
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
