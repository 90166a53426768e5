"""Redis Clusters under load: slots move, or a primary is killed.

The full run::

    AIOCACHE_STRESS=10 pytest tests/system/test_redis_cluster.py -s
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from redis.asyncio import Redis as AsyncRedis
from redis.crc import key_slot
from redis.exceptions import RedisError

from aiocache_pe import CacheManager
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.redis.key_names import make_entry_name
from tests.support.internals import get_backend, is_entry_current
from tests.support.polling import poll
from tests.support.scale import make_random, report, scale_size
from tests.support.servers.deployments import Cluster, move_slots

KEYS, WRITERS, READERS = 200, 4, 4
MAX_DELAY = 0.05  # seconds after which an acknowledged write must be visible
PING_SECONDS = 0.005  # between two pings to all nodes


class Load:
    """Tasks that write increasing numbers, and tasks that read them through another cache."""

    def __init__(
        self, cluster: Cluster, writing: CacheManager, reading: CacheManager, prefix: str
    ) -> None:
        self._ports = [node.port for node in cluster.nodes]
        self.writing, self.reading, self.prefix = writing, reading, prefix
        self.acknowledged: dict[str, tuple[int, float]] = {}
        self.counts: Counter[str] = Counter()
        self.stale: list[str] = []
        self.is_checked = True  # whether acknowledged writes must be visible
        self._version = self._epoch = 0
        self._responsive_seconds = 0.0
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        tasks = [self._write(n) for n in range(WRITERS)] + [self._read(n) for n in range(READERS)]
        tasks.append(self._measure_responsive_time())
        self._tasks = [asyncio.ensure_future(task) for task in tasks]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._is_stopped = True
        await asyncio.gather(*self._tasks)

    def forget(self) -> None:
        """Forget all acknowledged writes: only those sent from now on must be visible."""
        self._epoch += 1
        self.acknowledged.clear()

    async def _measure_responsive_time(self) -> None:
        """Add up the time in which this process and all nodes are able to exchange messages.

        A node that is moving keys, or has no processor, answers no ping and sends no invalidation.
        """
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(AsyncRedis(port=port, socket_timeout=60))
                for port in self._ports
            ]
            while not self._is_stopped:
                await asyncio.sleep(PING_SECONDS)
                for node in nodes:
                    with suppress(RedisError):  # the node was killed
                        await node.ping()
                self._responsive_seconds += PING_SECONDS

    async def _write(self, number: int) -> None:
        random_numbers = make_random(f"writer {number}")
        while not self._is_stopped:
            key = f"{self.prefix}{random_numbers.randrange(KEYS // WRITERS) * WRITERS + number}"
            self._version += 1
            version, epoch = self._version, self._epoch
            if await self.writing.set(key, version):
                if epoch == self._epoch:
                    self.acknowledged[key] = version, self._responsive_seconds
                self.counts["acknowledged"] += 1
            else:
                self.counts["refused"] += 1
            await asyncio.sleep(0.002)

    async def _read(self, number: int) -> None:
        random_numbers = make_random(f"reader {number}")
        while not self._is_stopped:
            key = f"{self.prefix}{random_numbers.randrange(KEYS)}"
            version, when = self.acknowledged.get(key, (0, 0.0))
            is_due = self._responsive_seconds - when > MAX_DELAY
            is_checked = self.is_checked
            value = await self.reading.get(key)
            self.counts["reads" if value is not None else "misses"] += 1
            # A value that is read while a primary is being replaced is not checked.
            is_checked = is_checked and self.is_checked
            if is_checked and is_due and value is not None and value < version:
                self.stale.append(f"{key}: {value} after {version}")
            await asyncio.sleep(0.001)


@pytest.fixture
def own_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Yield a Cluster with as many replicas as the test requests."""
    deployment = Cluster(tmp_path / "cluster", request.param)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture
async def managers(own_cluster: Cluster, cache_dir: Path) -> AsyncIterator[list[CacheManager]]:
    """Yield two caches without a fallback, then one with it."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                CacheManager(
                    "redis",
                    redis_url=own_cluster.url,
                    directory=cache_dir / str(n),
                    fallback=None if n < 2 else "file",
                )
            )
            for n in range(3)
        ]


async def get_stored(cluster: Cluster, keys: list[str]) -> dict[str, Any]:
    """Return the values in the Cluster, without any memory tier."""
    async with CacheManager(
        "redis", redis_url=cluster.url, memory_max_bytes=0, fallback=None
    ) as cache:
        return await cache.get_many(keys)


async def count_losses(load: Load, cluster: Cluster) -> tuple[int, int]:
    """Stop the load, and return the number of lost acknowledged writes and of stale reads."""
    await load.stop()
    await asyncio.sleep(MAX_DELAY)
    last = {key: version for key, (version, _) in load.acknowledged.items()}
    stored = await get_stored(cluster, list(last))
    seen = await load.reading.get_many(list(last))
    lost = sum(stored.get(key, 0) < version for key, version in last.items())
    return lost, sum(seen.get(key) != stored.get(key) for key in last) + len(load.stale)


@pytest.mark.parametrize("own_cluster", [0], indirect=True, ids=["no replica"])
async def test_moving_slots_loses_no_write_and_leaves_no_stale_copy(
    own_cluster: Cluster, managers: list[CacheManager]
) -> None:
    slots = {key_slot(make_entry_name(f"default:moved{n}")) for n in range(KEYS)}
    first_node_slots = {slot for slot in slots if slot < 5461}
    one, two = own_cluster.nodes[:2]
    began, moves = time.monotonic(), 0
    async with Load(own_cluster, managers[0], managers[1], "moved") as load:
        await poll(lambda: load.counts["reads"] > 100, deadline=30)
        for _ in range(scale_size(1)):
            await asyncio.to_thread(move_slots, first_node_slots, one, two)
            await asyncio.to_thread(move_slots, first_node_slots, two, one)
            moves += 2 * len(first_node_slots)
        lost, stale = await count_losses(load, own_cluster)
    report(
        f"{moves} slots moved in {time.monotonic() - began:.1f} s under load: "
        f"{dict(load.counts)}, lost acknowledged writes {lost}, stale reads {stale}"
    )
    assert load.stale == []
    assert (lost, stale) == (0, 0)


def has_new_writes(load: Load) -> bool:
    """Return whether a key of the killed primary has been written."""
    return any(key_slot(make_entry_name(f"default:{key}")) < 5461 for key in load.acknowledged)


async def wait_until_tracked(manager: CacheManager) -> None:
    """Wait until entries are kept in memory, so that the new primary is tracked."""
    end = time.monotonic() + 60
    while not is_entry_current(manager, "default:kept"):
        assert time.monotonic() < end
        assert await manager.set("kept", 1)
        assert await manager.get("kept") == 1
        await asyncio.sleep(0.01)


def is_away(manager: CacheManager) -> bool:
    backend = get_backend(manager)
    return isinstance(backend, FallbackBackend) and backend.is_away


async def wait_until_back(managers: list[CacheManager]) -> float:
    """Wait until no cache has used its fallback for half a second; return when that began.

    A circuit breaker may open again, if a call meets the killed primary once more.
    """
    end, back_since = time.monotonic() + 60, 0.0
    while not back_since or time.monotonic() < back_since + 0.5:
        assert time.monotonic() < end
        if any(map(is_away, managers)):
            back_since = 0.0
        elif not back_since:
            back_since = time.monotonic()
        await asyncio.sleep(0.01)
    return back_since


@pytest.mark.parametrize("own_cluster", [1], indirect=True, ids=["one replica"])
async def test_no_stale_value_is_read_after_a_killed_primary_is_replaced(
    own_cluster: Cluster, managers: list[CacheManager]
) -> None:
    async with (
        Load(own_cluster, managers[0], managers[1], "plain") as plain,
        Load(own_cluster, managers[2], managers[2], "default") as with_fallback,
    ):
        loads = (plain, with_fallback)
        await poll(lambda: all(load.counts["reads"] > 100 for load in loads), deadline=30)
        own_cluster.set_node_timeout(1)
        killed = time.monotonic()
        own_cluster.nodes[0].kill()
        before = {key: version for key, (version, _) in plain.acknowledged.items()}
        for load in loads:
            load.is_checked = False
            load.forget()
        await poll(lambda: has_new_writes(plain), deadline=60)
        write_seconds = time.monotonic() - killed
        back_seconds = await wait_until_back(managers) - killed
        stored = await get_stored(own_cluster, list(before))
        lost = sum(stored.get(key, 0) < version for key, version in before.items())
        for load in loads:
            load.forget()
            load.is_checked = True
        await asyncio.sleep(scale_size(1) / 4)
        await with_fallback.stop()
        lost_after, stale = await count_losses(plain, own_cluster)
    report(
        f"primary killed under load: next write after {write_seconds:.2f} s, no fallback in use "
        f"after {back_seconds:.2f} s; lost {lost} of {len(before)} acknowledged before; after that "
        f"lost {lost_after}, stale {stale + len(with_fallback.stale)}; {dict(plain.counts)}; "
        f"with fallback {dict(with_fallback.counts)}"
    )
    assert [load.stale for load in loads] == [[], []]
    assert (lost_after, stale) == (0, 0)
    for load in loads:
        await wait_until_tracked(load.reading)
