"""A Cluster whose slots move, and one whose primary is killed, under readers and writers.

The figures of the full run::

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
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.crc import key_slot
from redis.exceptions import RedisError

from aiocache_pe import CacheManager
from aiocache_pe.backends.fallback.backend import FallbackBackend
from aiocache_pe.backends.redis.key_names import make_entry_name
from aiocache_pe.engine.memory_entry import MemoryEntry
from tests.support.polling import poll
from tests.support.scale import make_random, report, scale_size
from tests.support.servers.deployments import Cluster, asked
from tests.support.servers.redis_server import Server

KEYS, WRITERS, READERS = 200, 4, 4
LATE = 0.05  # seconds after which what was acknowledged must be seen
TICK = 0.005


class Load:
    """Tasks that write numbers that only grow, and tasks that read them elsewhere."""

    def __init__(
        self, cluster: Cluster, writing: CacheManager, reading: CacheManager, prefix: str
    ) -> None:
        self._ports = [node.port for node in cluster.nodes]
        self.writing, self.reading, self.prefix = writing, reading, prefix
        self.acknowledged: dict[str, tuple[int, float]] = {}
        self.counts: Counter[str] = Counter()
        self.stale: list[str] = []
        self.trusted = True  # whether what is acknowledged must be seen
        self._version = self._epoch = 0
        self._heard = 0.0
        self._stopped = False

    async def __aenter__(self) -> Self:
        tasks = [self._write(n) for n in range(WRITERS)] + [self._read(n) for n in range(READERS)]
        tasks.append(self._hear())
        self._tasks = [asyncio.ensure_future(task) for task in tasks]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    def forget(self) -> None:
        """Demand only what is sent, and acknowledged, from now on."""
        self._epoch += 1
        self.acknowledged.clear()

    async def _hear(self) -> None:
        """Count the seconds in which news could be told and heard: in which nobody stood still.

        A node that is moving keys, or has no processor, answers no ping and tells no news.
        """
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(AsyncRedis(port=port, socket_timeout=60))
                for port in self._ports
            ]
            while not self._stopped:
                await asyncio.sleep(TICK)
                for node in nodes:
                    with suppress(RedisError):  # it is dead
                        await node.ping()
                self._heard += TICK

    async def _write(self, number: int) -> None:
        chance = make_random(f"writer {number}")
        while not self._stopped:
            key = f"{self.prefix}{chance.randrange(KEYS // WRITERS) * WRITERS + number}"
            self._version += 1
            version, epoch = self._version, self._epoch
            if await self.writing.set(key, version):
                if epoch == self._epoch:
                    self.acknowledged[key] = version, self._heard
                self.counts["acknowledged"] += 1
            else:
                self.counts["refused"] += 1
            await asyncio.sleep(0.002)

    async def _read(self, number: int) -> None:
        chance = make_random(f"reader {number}")
        while not self._stopped:
            key = f"{self.prefix}{chance.randrange(KEYS)}"
            version, when = self.acknowledged.get(key, (0, 0.0))
            due, trusted = self._heard - when > LATE, self.trusted
            value = await self.reading.get(key)
            self.counts["reads" if value is not None else "misses"] += 1
            # Trusted before and after: what is read while a primary dies may be anything.
            if trusted and self.trusted and due and value is not None and value < version:
                self.stale.append(f"{key}: {value} after {version}")
            await asyncio.sleep(0.001)


@pytest.fixture
def own_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """One with as many replicas as the test says."""
    deployment = Cluster(tmp_path / "cluster", request.param)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture
async def managers(own_cluster: Cluster, cache_dir: Path) -> AsyncIterator[list[CacheManager]]:
    """Two without fallback, then one with it."""
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


async def truth(cluster: Cluster, keys: list[str]) -> dict[str, Any]:
    """What the Cluster holds, asked past all memory."""
    async with CacheManager(
        "redis", redis_url=cluster.url, memory_max_bytes=0, fallback=None
    ) as past:
        return await past.get_many(keys)


async def settled(load: Load, cluster: Cluster) -> tuple[int, int]:
    """How many acknowledged writes were lost, and how many reads are stale in the end."""
    await load.stop()
    await asyncio.sleep(LATE)
    last = {key: version for key, (version, _) in load.acknowledged.items()}
    there = await truth(cluster, list(last))
    seen = await load.reading.get_many(list(last))
    lost = sum(there.get(key, 0) < version for key, version in last.items())
    return lost, sum(seen.get(key) != there.get(key) for key in last) + len(load.stale)


def move(cluster: Cluster, slots: set[int], source: Server, target: Server) -> None:
    """Move slots as ``redis-cli --cluster reshard`` does."""
    with Redis(port=source.port) as here, Redis(port=target.port) as there:
        ids = [asked(client, "CLUSTER MYID").decode() for client in (here, there)]
        for slot in slots:
            asked(there, "CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
            asked(here, "CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
            while names := asked(here, "CLUSTER GETKEYSINSLOT", slot, 100):
                moved = ("127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *names)
                asked(here, "MIGRATE", *moved)
            for node in (there, here):
                asked(node, "CLUSTER SETSLOT", slot, "NODE", ids[1])


@pytest.mark.parametrize("own_cluster", [0], indirect=True, ids=["no replica"])
async def test_slots_that_move_lose_no_write_and_leave_nothing_old(
    own_cluster: Cluster, managers: list[CacheManager]
) -> None:
    for_all = [f"moved{n}" for n in range(KEYS)]
    slots = {key_slot(make_entry_name(f"default:{key}")) for key in for_all}
    mine = {slot for slot in slots if slot < 5461}  # of the first node
    one, two = own_cluster.nodes[:2]
    begun, moves = time.monotonic(), 0
    async with Load(own_cluster, managers[0], managers[1], "moved") as load:
        await poll(lambda: load.counts["reads"] > 100, deadline=30)
        for _ in range(scale_size(1)):
            await asyncio.to_thread(move, own_cluster, mine, one, two)
            await asyncio.to_thread(move, own_cluster, mine, two, one)
            moves += 2 * len(mine)
        lost, stale = await settled(load, own_cluster)
    report(
        f"{moves} slots moved in {time.monotonic() - begun:.1f} s under load: "
        f"{dict(load.counts)}, lost acknowledged writes {lost}, stale reads {stale}"
    )
    assert load.stale == []
    assert (lost, stale) == (0, 0)


def is_written_again(load: Load) -> bool:
    """Whether a key of the killed primary was."""
    return any(key_slot(make_entry_name(f"default:{key}")) < 5461 for key in load.acknowledged)


async def keeps_again(manager: CacheManager) -> None:
    """Wait until what is read may be kept in memory: the new primary is listened to."""
    engine, end = manager._shared.engine, time.monotonic() + 60
    assert engine.tier is not None
    slot: MemoryEntry | None = None
    while slot is None or not engine._is_current(slot.stamp):
        assert time.monotonic() < end
        assert await manager.set("kept", 1)
        assert await manager.get("kept") == 1
        await asyncio.sleep(0.01)
        slot = engine.tier.nodes.get("default:kept")


def is_away(manager: CacheManager) -> bool:
    backend = manager._shared.engine.backend
    return isinstance(backend, FallbackBackend) and backend.is_away


async def back_to_stay(managers: list[CacheManager]) -> float:
    """When all came back; a breaker that opens again had met the dead primary once more."""
    end, since = time.monotonic() + 60, 0.0
    while not since or time.monotonic() < since + 0.5:
        assert time.monotonic() < end
        if any(map(is_away, managers)):
            since = 0.0
        elif not since:
            since = time.monotonic()
        await asyncio.sleep(0.01)
    return since


@pytest.mark.parametrize("own_cluster", [1], indirect=True, ids=["one replica"])
async def test_a_killed_primary_is_replaced_and_nothing_old_is_read_after_that(
    own_cluster: Cluster, managers: list[CacheManager]
) -> None:
    async with (
        Load(own_cluster, managers[0], managers[1], "plain") as plain,
        Load(own_cluster, managers[2], managers[2], "default") as fallen,
    ):
        loads = (plain, fallen)
        await poll(lambda: all(load.counts["reads"] > 100 for load in loads), deadline=30)
        own_cluster.give_up_after(1)
        killed = time.monotonic()
        own_cluster.nodes[0].kill()
        before = {key: version for key, (version, _) in plain.acknowledged.items()}
        for load in loads:
            load.trusted = False
            load.forget()
        await poll(lambda: is_written_again(plain), deadline=60)
        written = time.monotonic() - killed
        trusted = await back_to_stay(managers) - killed
        there = await truth(own_cluster, list(before))
        lost = sum(there.get(key, 0) < version for key, version in before.items())
        for load in loads:
            load.forget()
            load.trusted = True
        await asyncio.sleep(scale_size(1) / 4)
        await fallen.stop()
        lost_after, stale = await settled(plain, own_cluster)
    report(
        f"primary killed under load: written again after {written:.2f} s, by all that fell back "
        f"after {trusted:.2f} s; acknowledged before and lost {lost} of {len(before)}; after that "
        f"lost {lost_after}, stale {stale + len(fallen.stale)}; {dict(plain.counts)}; "
        f"with fallback {dict(fallen.counts)}"
    )
    assert [load.stale for load in loads] == [[], []]
    assert (lost_after, stale) == (0, 0)
    for load in loads:
        await keeps_again(load.reading)
