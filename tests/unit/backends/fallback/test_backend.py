"""Fallback store: no errors during an outage, and no outdated value after it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from aiocache_pe import CacheManager, cached
from aiocache_pe.backends.base import Condition, ReadResult
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.fallback.journal import Journal
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.memory import MemoryBackend
from aiocache_pe.record import Head
from tests.support.file_store import make_record
from tests.support.internals import get_backend
from tests.support.polling import poll
from tests.support.servers.deployments import Proxy
from tests.support.servers.redis_server import Server

CHANGE_AND_CRASH = """
import asyncio, os, signal, sys
from aiocache_pe import CacheManager

async def main():
    cache = CacheManager("redis", redis_url=sys.argv[1], directory=sys.argv[2])
    await cache.delete("deleted")
    await cache.set("overwritten", "new")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def get_store(cache: CacheManager) -> FallbackBackend:
    backend = get_backend(cache)
    assert isinstance(backend, FallbackBackend)
    return backend


async def wait_until_back(cache: CacheManager) -> None:
    """Wait until the first store serves again."""
    await poll(lambda: not get_store(cache).is_away, deadline=60)


async def run_and_crash(url: str, directory: Path) -> None:
    """Change entries in another process, which is killed after that."""
    command = [sys.executable, "-c", CHANGE_AND_CRASH, url, str(directory)]
    process = await asyncio.to_thread(subprocess.run, command, check=False)
    assert process.returncode == -signal.SIGKILL


@pytest.fixture
async def cache(own_redis: Server, cache_dir: Path) -> AsyncIterator[CacheManager]:
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as manager:
        yield manager


def crash(server: Server) -> None:
    """Kill a server; when it starts again, it has its present data."""
    server.save()
    server.kill()


async def test_no_value_that_was_changed_during_an_outage_returns(
    own_redis: Server, cache: CacheManager
) -> None:
    names = ["deleted", "overwritten", "tagged", "touched", "counted", "untouched"]
    for name in names:
        await cache.set(name, 1, tags=["t"] if name == "tagged" else [])
    crash(own_redis)
    assert await cache.get("untouched") is None
    assert await cache.delete("deleted") is False  # the second store does not have it
    await cache.set("overwritten", 2)
    assert await cache.get("overwritten") == 2
    assert await cache.delete_by_tag("t")
    assert await cache.incr("counted") == 1
    own_redis.start()
    await wait_until_back(cache)
    assert await cache.get("untouched") == 1
    for name in ("deleted", "tagged"):
        assert await cache.get(name) is None
    assert await cache.get("overwritten") == 2
    assert await cache.get("counted") is None


async def test_the_next_cache_settles_the_changes_of_a_closed_one(
    own_redis: Server, cache_dir: Path
) -> None:
    def open_cache() -> CacheManager:
        return CacheManager("redis", redis_url=own_redis.url, directory=cache_dir)

    async with open_cache() as cache:
        await cache.set("deleted", "old")
        await cache.set("kept", 1)
    crash(own_redis)
    async with open_cache() as cache:
        await cache.delete("deleted")
    own_redis.start()
    async with open_cache() as cache:
        assert await cache.get("deleted") is None
        assert not get_store(cache).is_away  # the changes are settled before the first read
        assert await cache.get("kept") == 1
    assert list(cache_dir.rglob("journal-*")) == []


async def test_a_change_that_cannot_be_recorded_fails(own_redis: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    async with CacheManager("redis", redis_url=own_redis.url, directory=tmp_path / "file") as cache:
        assert await cache.set("k", 1)
        crash(own_redis)
        for _ in range(2):
            assert not await cache.set("k", 2)
            assert not await cache.delete("k")
        own_redis.start()
        await wait_until_back(cache)
        assert await cache.get("k") == 1  # no change was reported as successful


class SlowBackend(MemoryBackend):
    """A store in which a delete takes effect, and returns when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False
        self.deleted = 0

    async def read(self, keys: Sequence[str]) -> Mapping[str, ReadResult]:
        if self.is_away:
            raise OSError("away")
        return await super().read(keys)

    async def delete(self, keys: Sequence[str], only: Condition | None = None) -> Sequence[Head]:
        removed = await super().delete(keys, only)
        self.deleted += 1
        await self.gate.wait()
        return removed


async def test_a_change_during_a_long_settlement_is_settled_too(tmp_path: Path) -> None:
    first, second = SlowBackend(), SlowBackend()
    backend = FallbackBackend(first, second, str(tmp_path), pauses=(0.01, 0.01))
    first.is_away = True
    await backend.read(["default:0"])
    assert backend.is_away
    for n in range(101):  # so many that new changes do not wait for the settlement
        await backend.write([make_record(str(n))])
    second.gate.clear()
    before = second.deleted
    first.is_away = False
    await poll(lambda: second.deleted > before, deadline=30)
    await backend.write([make_record("7")])
    second.gate.set()
    await poll(lambda: not backend.is_away, deadline=30)
    assert await second.read(["default:7"]) == {}
    await backend.close()


async def test_a_cleared_namespace_stays_cleared(own_redis: Server, cache: CacheManager) -> None:
    await cache.set("a", 1)
    await cache.namespace("other").set("a", 1)
    crash(own_redis)
    await cache.clear()
    own_redis.start()
    await wait_until_back(cache)
    assert await cache.get("a") is None
    assert await cache.namespace("other").get("a") == 1


async def test_a_hanging_server_ends_all_calls_at_once(own_redis: Server, cache_dir: Path) -> None:
    calls = 0
    async with CacheManager("redis", redis_url=own_redis.default_url, directory=cache_dir) as cache:

        @cached(cache=cache)
        async def function(number: int) -> int:
            nonlocal calls
            calls += 1
            return number

        assert await function(0) == 0
        own_redis.freeze()
        try:
            assert await asyncio.gather(*map(function, range(200))) == list(range(200))
            assert get_store(cache).is_away
            assert await asyncio.gather(*map(function, range(200))) == list(range(200))
            assert calls <= 201
        finally:
            own_redis.thaw()
        await wait_until_back(cache)
        assert await function(5) == 5


async def test_a_server_that_starts_later_is_used(own_redis: Server, cache_dir: Path) -> None:
    own_redis.kill()
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
        own_redis.start()
        await wait_until_back(cache)
        assert await cache.set("k", 2)
        with Redis.from_url(own_redis.url) as admin:
            blob: Any = admin.get("aiocache_pe:default:k")
        assert blob.endswith(b"2")


async def test_counters_are_written_to_the_first_store_after_an_outage(
    own_redis: Server, cache: CacheManager
) -> None:
    await cache.set("k", 1)
    crash(own_redis)
    for _ in range(5):
        await cache.set("k", 1)
        await cache.get("k")
    own_redis.start()
    await wait_until_back(cache)
    stats = await cache.get_stats()
    assert (stats.sets, stats.hits) == (6, 5)


async def test_the_next_process_settles_the_changes_of_a_killed_one(
    own_redis: Server, cache_dir: Path
) -> None:
    url = own_redis.url
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        await cache.set("deleted", "old")
        await cache.set("overwritten", "old")
    crash(own_redis)
    await run_and_crash(url, cache_dir)
    own_redis.start()
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        assert await cache.get("deleted") is None
        assert not get_store(cache).is_away
        assert await cache.get("overwritten") == "new"
        assert list(cache_dir.rglob("journal-*")) == []


async def test_a_running_process_settles_the_changes_of_a_killed_one(
    own_redis: Server, cache_dir: Path
) -> None:
    # The running process does not notice the outage itself: it sends no command during it.
    url = own_redis.url
    async with (
        CacheManager("redis", redis_url=url, directory=cache_dir, memory_max_bytes=0) as one,
        CacheManager("redis", redis_url=url, directory=cache_dir, memory_max_bytes=0) as two,
    ):
        await one.set("deleted", "old")
        await one.set("overwritten", "old")
        assert await two.get("deleted") == "old"
        crash(own_redis)
        await run_and_crash(url, cache_dir)
        assert list(cache_dir.rglob("journal-*")) != []
        own_redis.start()
        await poll(lambda: list(cache_dir.rglob("journal-*")) == [], deadline=60)
        await wait_until_back(one)
        await wait_until_back(two)
        for cache in (one, two):
            assert await cache.get("deleted") is None
            assert await cache.get("overwritten") == "new"
        assert await one.set("overwritten", "newer")
        assert await two.get("overwritten") == "newer"


async def test_a_cancelled_change_leaves_no_entry_behind(
    own_redis: Server, cache: CacheManager
) -> None:
    await cache.set("k", 1)
    own_redis.kill()
    for _ in range(50):
        task = asyncio.ensure_future(cache.set("k", 2))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    own_redis.start()
    await wait_until_back(cache)
    # A change that was cancelled late, when the second store served, is made and settled.
    assert await cache.get("k") in (None, 2)
    second = get_store(cache)._second
    assert [head async for heads in second.scan("default:") for head in heads] == []


async def test_without_a_fallback_every_call_of_an_outage_is_a_miss(own_redis: Server) -> None:
    async with CacheManager("redis", redis_url=own_redis.url, fallback=None) as cache:
        own_redis.kill()
        assert await cache.set("k", 1) is False
        assert await cache.get("k") is None
        own_redis.start()
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1


def test_a_module_level_cache_outlives_its_event_loops_and_an_outage(
    own_redis: Server, cache_dir: Path
) -> None:
    cache = CacheManager("redis", redis_url=own_redis.url, directory=cache_dir)

    async def use() -> object:
        await cache.set("k", 1)
        return await cache.get("k")

    assert asyncio.run(use()) == 1
    own_redis.kill()
    assert asyncio.run(use()) == 1
    own_redis.start()
    end = time.monotonic() + 60
    while get_store(cache).is_away:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert asyncio.run(use()) == 1
    asyncio.run(cache.close())


async def test_a_forked_child_has_a_journal_and_probes_of_its_own(
    own_redis: Server, cache: CacheManager
) -> None:
    own_redis.kill()
    await cache.set("k", 1)

    def use_in_child() -> int:
        async def use() -> bool:
            await cache.set("k", 2)
            return bool(await cache.get("k") == 2)

        return 0 if asyncio.run(use()) else 1

    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = use_in_child()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert await asyncio.to_thread(fork) == 0


READ_AT_ONCE = """
import asyncio, sys
from aiocache_pe import CacheManager

async def main():
    cache = CacheManager("redis", redis_url=sys.argv[1], directory=sys.argv[2])
    print(await cache.get_many(["deleted", "overwritten", "kept"]))

asyncio.run(main())
"""


async def test_a_script_settles_before_its_first_read(own_redis: Server, cache_dir: Path) -> None:
    url = own_redis.url
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        await cache.set_many({"deleted": "old", "overwritten": "old", "kept": 1})
    crash(own_redis)
    await run_and_crash(url, cache_dir)
    own_redis.start()
    command = [sys.executable, "-c", READ_AT_ONCE, url, str(cache_dir)]
    for _ in range(3):
        output = await asyncio.to_thread(subprocess.check_output, command, text=True)
        assert output == "{'overwritten': 'new', 'kept': 1}\n"
        assert list(cache_dir.rglob("journal-*")) == []


async def test_a_script_reads_redis_beside_a_journal_of_a_running_process(
    own_redis: Server, cache_dir: Path
) -> None:
    url = own_redis.url
    async with CacheManager("redis", redis_url=url, directory=cache_dir, fallback=None) as cache:
        await cache.set("kept", 1)
    running = Journal(str(next_folder(cache_dir, url) / ".journals"))
    await running.record(time.time(), time.time(), ["default:other"])
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        assert await cache.get("kept") == 1
        assert not get_store(cache).is_away
    running.close()


def next_folder(directory: Path, url: str) -> Path:
    """Return the folder of the fallback store for a server."""
    cache = CacheManager("redis", redis_url=url, directory=directory)
    second = get_store(cache)._second
    assert isinstance(second, FileBackend)
    return Path(second.directory)


async def test_a_start_without_a_server_does_not_wait_long(
    own_redis: Server, cache_dir: Path
) -> None:
    own_redis.freeze()
    journal = Journal(str(next_folder(cache_dir, own_redis.default_url) / ".journals"))
    await journal.record(time.time(), time.time(), ["default:other"])
    journal.close()
    try:
        began = time.monotonic()
        url = own_redis.default_url
        async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
            assert await asyncio.gather(*(cache.get(f"k{n}") for n in range(20))) == [None] * 20
            assert await cache.set("k", 1)
            assert await cache.get("k") == 1
            assert get_store(cache).is_away
        assert time.monotonic() - began < 5
    finally:
        own_redis.thaw()


Change = Callable[[CacheManager], Awaitable[object]]
REMOVALS: dict[str, Change] = {
    "invalidate": lambda cache: cache.invalidate("v:*"),
    "clear": lambda cache: cache.clear(),
    "delete_by_tag": lambda cache: cache.delete_by_tag("t"),
}


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("moment", ["away", "noticed", "crashed"])
async def test_a_removal_during_an_outage_reaches_the_first_store(
    removal: str, moment: str, own_redis: Server, cache_dir: Path
) -> None:
    def open_cache() -> CacheManager:
        return CacheManager("redis", redis_url=own_redis.url, directory=cache_dir)

    cache = open_cache()
    old = {f"v:{n}": "old" for n in range(600)}
    await cache.set_many(old, tags=["t"])
    await cache.set_many({"v:new": "old", "v:counted": 1})
    await cache.set("other", "old")
    crash(own_redis)
    if moment == "noticed":
        await cache.get("other")
    await REMOVALS[removal](cache)
    await cache.set("v:new", "new")
    assert await cache.get("v:new") == "new"
    if moment == "crashed":
        await cache.close()
        cache = open_cache()
    own_redis.start()
    await poll_value(cache, "v:new", "new")
    await wait_until_back(cache)
    assert await cache.get_many(old) == {}
    assert await cache.get("v:new") == "new"
    assert await cache.get("v:counted") == (1 if removal == "delete_by_tag" else None)
    assert await cache.get("other") == (None if removal == "clear" else "old")
    await cache.close()


async def poll_value(cache: CacheManager, key: str, value: object) -> None:
    end = time.monotonic() + 30
    while await cache.get(key) != value:
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


async def test_a_value_written_by_another_process_meanwhile_is_not_overwritten(
    own_redis: Server, cache_dir: Path
) -> None:
    proxy = Proxy(own_redis.port)
    proxy.start()
    url = f"redis://127.0.0.1:{proxy.port}?socket_timeout=0.5"
    try:
        async with (
            CacheManager("redis", redis_url=url, directory=cache_dir) as cache,
            CacheManager("redis", redis_url=own_redis.url, fallback=None) as other,
        ):
            await cache.set_many({"both": "old", "deleted": "old", "mine": "old"})
            proxy.silence()
            assert await cache.set_many({"both": "mine", "deleted": "mine", "mine": "mine"})
            assert get_store(cache).is_away
            await other.set("both", "other's")
            await other.delete("deleted")
            await wait_until_back(cache)
            assert await cache.get("both") in ("other's", None)
            assert await cache.get("deleted") is None
            assert await cache.get("mine") == "mine"
    finally:
        proxy.stop()


async def test_a_damaged_journal_clears_all_namespaces(own_redis: Server, cache_dir: Path) -> None:
    url = own_redis.url
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        await cache.set("k", "old", tags=["t"])
        await cache.namespace("other").set("k", "old")
        await get_store(cache)._second.write([make_record("k")])
    folder = next_folder(cache_dir, url) / ".journals"
    folder.mkdir(parents=True)
    (folder / "journal-1-a").write_bytes(b"garbage")
    async with CacheManager("redis", redis_url=url, directory=cache_dir) as cache:
        assert await cache.get("k") is None
        assert await cache.namespace("other").get("k") is None
        assert not get_store(cache).is_away
        assert await get_store(cache)._second.read(["default:k"]) == {}
        assert await cache.set("k", "new")
        assert await cache.get("k") == "new"


async def test_the_settlement_of_a_clear_does_not_delay_changes(
    own_redis: Server, cache: CacheManager
) -> None:
    with Redis.from_url(own_redis.url) as admin:
        admin.eval("for n = 1, 300000 do redis.call('SET', 'foreign' .. n, n) end", 0)
    await cache.set("a", 1)
    crash(own_redis)
    await cache.clear()
    own_redis.start()
    slowest = 0.0
    while get_store(cache).is_away:
        began = time.monotonic()
        assert await cache.set("b", 2)
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.001)
    assert slowest < 1  # it took 3 seconds when changes waited for the scan
    assert await cache.get("a") is None


async def test_everything_is_private_when_the_first_change_is_made_during_an_outage(
    own_redis: Server, cache_dir: Path
) -> None:
    own_redis.kill()
    async with CacheManager("redis", redis_url=own_redis.url, directory=cache_dir) as cache:

        @cached(cache=cache)
        async def compute() -> int:
            return 1

        assert await compute() == 1
        assert await cache.set("k", 1)
    paths = [cache_dir, *cache_dir.rglob("*")]
    assert len(paths) > 5
    assert [path for path in paths if path.stat().st_mode & 0o077] == []
    assert (cache_dir / ".gitignore").read_text() == "*\n"


async def test_a_full_default_executor_delays_no_call(own_redis: Server, cache_dir: Path) -> None:
    released = threading.Event()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        loop.set_default_executor(pool)
        blocker = loop.run_in_executor(None, released.wait)
        try:
            url = own_redis.default_url.replace("127.0.0.1", "localhost")
            cache = CacheManager("redis", redis_url=url, directory=cache_dir)
            began = time.monotonic()
            assert await cache.set("k", 1)
            own_redis.kill()
            assert await cache.set("k", 2)
            assert await cache.get("k") == 2
            await cache.close()
            assert time.monotonic() - began < 2
        finally:
            released.set()
            await blocker
