"""Clusters whose topology changes: nodes join and leave, and slots move or stop halfway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot

from aiocache_pe import CacheManager
from aiocache_pe.backends import RedisBackend
from aiocache_pe.backends.redis.key_names import make_entry_name
from tests.support.internals import set_cluster_pauses
from tests.support.polling import poll
from tests.support.servers.deployments import (
    Cluster,
    SlotMove,
    execute,
    get_node_id,
    move_slots,
)
from tests.support.servers.redis_server import Server

KEYS = [f"k{n}" for n in range(60)]
MOVED_KEYS = [f"{{moved}}{n}" for n in range(12)]
MOVED_SLOT = key_slot(make_entry_name("default:" + MOVED_KEYS[0]))


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a Cluster of three primaries and one without slots, which each test restores."""
    deployment = Cluster(tmp_path_factory.mktemp("topology"), 0)
    try:
        deployment.start()
        deployment.add_primary()
        yield deployment
    finally:
        deployment.kill()


@pytest.fixture
async def cache(topology: Cluster) -> AsyncIterator[CacheManager]:
    """Yield a connected cache without a fallback, over an empty Cluster."""
    for node in topology.nodes:
        with Redis(port=node.port) as admin:
            admin.flushall()
    async with CacheManager("redis", redis_url=topology.url, fallback=None) as manager:
        await manager.set_many(dict.fromkeys(KEYS + MOVED_KEYS, 1), tags=["all"])
        yield manager


def get_owner(cluster: Cluster, slot: int) -> Server:
    """Return the primary of a slot, by the default distribution."""
    return cluster.nodes[0 if slot < 5461 else 1 if slot < 10923 else 2]


@asynccontextmanager
async def moved_to_newcomer(cluster: Cluster, keys: list[str]) -> AsyncGenerator[Server]:
    """Move the slots of keys to the primary without slots, and back at the end."""
    newcomer = cluster.nodes[3]
    slots = {key_slot(make_entry_name(f"default:{key}")) for key in keys}

    def move(*, is_back: bool) -> None:
        for slot in slots:
            owner = get_owner(cluster, slot)
            move_slots([slot], *((newcomer, owner) if is_back else (owner, newcomer)))

    await asyncio.to_thread(move, is_back=False)
    try:
        yield newcomer
    finally:
        await asyncio.to_thread(move, is_back=True)


async def list_keys(cache: CacheManager) -> list[str]:
    return sorted([key async for key in cache.keys("*")])


async def count_errors(cache: CacheManager) -> int:
    return (await cache.get_stats()).errors


@pytest.mark.parametrize("operation", ["invalidate", "clear"])
async def test_entries_on_a_primary_that_joined_later_are_reached(
    operation: str, topology: Cluster, cache: CacheManager
) -> None:
    async with moved_to_newcomer(topology, KEYS[:5]) as node:
        with Redis(port=node.port) as admin:
            assert admin.dbsize()
        assert await list_keys(cache) == sorted(KEYS + MOVED_KEYS)
        if operation == "invalidate":
            assert await cache.invalidate("k*") == len(KEYS)
            assert await list_keys(cache) == sorted(MOVED_KEYS)
            assert await cache.delete_by_tag("all")
        else:
            assert await cache.clear() == len(KEYS + MOVED_KEYS)
        assert await cache.get_many(KEYS + MOVED_KEYS) == {}
        assert await list_keys(cache) == []
    # The client still knows the node, which has no slots any more.
    assert await cache.set_many(dict.fromkeys(KEYS, 2))
    assert await cache.get_many(KEYS) == dict.fromkeys(KEYS, 2)
    assert await cache.invalidate("k*") == len(KEYS)
    assert await count_errors(cache) == 0


@pytest.fixture
def target(request: pytest.FixtureRequest, topology: Cluster) -> Server:
    """Return a node that imports the slot: one without slots, or a primary with some."""
    if getattr(request, "param", "joined") == "joined":
        return topology.nodes[3]
    return next(node for node in topology.nodes if node is not get_owner(topology, MOVED_SLOT))


class HalfMove:
    """A move of the slot of `MOVED_KEYS` that stops after some names, and is undone at the end."""

    def __init__(self, cluster: Cluster, target: Server, moved: int) -> None:
        self._source, self._target, self._moved = get_owner(cluster, MOVED_SLOT), target, moved

    async def __aenter__(self) -> SlotMove:
        move = SlotMove(MOVED_SLOT, self._source, self._target)
        await asyncio.to_thread(move.begin)
        assert await asyncio.to_thread(move.move_names, self._moved) == self._moved
        return move

    async def __aexit__(self, *error: object) -> None:
        move = SlotMove(MOVED_SLOT, self._source, self._target)
        await asyncio.to_thread(move.end)
        await asyncio.to_thread(move_slots, [MOVED_SLOT], self._target, self._source)


async def change_with_every_operation(cache: CacheManager) -> dict[str, int]:
    """Change the moved keys with every operation, and return the values that they must have."""
    keys = MOVED_KEYS
    assert await cache.set(keys[0], 2)
    assert await cache.set_many({keys[1]: 3, "{moved}new": 4})
    assert await cache.delete(keys[2])
    assert not await cache.delete(keys[2])
    assert await cache.delete_many([keys[3], "{moved}absent"]) == 1
    assert not await cache.add(keys[4], 9)
    assert await cache.add(keys[3], 5)
    assert await cache.incr(keys[5]) == 2
    assert await cache.incr("{moved}counter") == 1
    assert await cache.incr("{moved}counter") == 2
    assert await cache.touch(keys[6], 60)
    assert await cache.pop(keys[7]) == 1
    assert await cache.pop(keys[7]) is None
    assert await cache.exists(keys[8])
    changed = {keys[0]: 2, keys[1]: 3, "{moved}new": 4, keys[3]: 5, keys[5]: 2}
    kept = dict.fromkeys([keys[4], keys[6], *keys[8:]], 1)
    return {**kept, **changed, "{moved}counter": 2}


@pytest.mark.parametrize(
    ("moved", "target"),
    [(0, "joined"), (5, "joined"), (5, "known"), (12, "joined")],
    indirect=["target"],
)
async def test_every_operation_works_while_a_slot_is_on_two_nodes(
    moved: int, target: Server, topology: Cluster, cache: CacheManager
) -> None:
    async with HalfMove(topology, target, moved):
        expected = await change_with_every_operation(cache)
        values = await cache.get_many([*MOVED_KEYS, "{moved}new", "{moved}counter"])
        assert values == expected
        keys = [key for key in await list_keys(cache) if key not in KEYS]
        assert keys == sorted(expected)
        assert await count_errors(cache) == 0
    assert await cache.get_many([*MOVED_KEYS, "{moved}new", "{moved}counter"]) == expected


@pytest.mark.parametrize("operation", ["invalidate", "clear"])
async def test_a_move_that_stopped_halfway_hides_no_entry(
    operation: str, target: Server, topology: Cluster, cache: CacheManager
) -> None:
    async with HalfMove(topology, target, 7):
        if operation == "invalidate":
            assert await cache.invalidate("{moved}*") == len(MOVED_KEYS)
            assert await list_keys(cache) == sorted(KEYS)
        else:
            assert await cache.clear() == len(KEYS + MOVED_KEYS)
            assert await list_keys(cache) == []
        assert await cache.get_many(MOVED_KEYS) == {}
        assert await count_errors(cache) == 0
    assert await cache.get_many(MOVED_KEYS) == {}


async def test_a_computed_value_is_returned_while_its_slot_is_on_two_nodes(
    target: Server, topology: Cluster, cache: CacheManager
) -> None:
    async with HalfMove(topology, target, 5):
        for n in range(4):
            assert await cache.get_or_set(f"{{moved}}computed{n}", lambda: 5) == 5
    assert await cache.get_or_set("{moved}computed0", lambda: 7) in (5, 7)


@pytest.mark.usefixtures("lasting_leases")
@pytest.mark.parametrize("version", ["", "version"], ids=["no tags", "tags"])
async def test_a_lease_is_acquired_and_released_while_its_slot_is_on_two_nodes(
    version: str, target: Server, topology: Cluster, cache: CacheManager
) -> None:
    store, key = RedisBackend(topology.url), "default:{moved}leased"
    async with HalfMove(topology, target, 5):
        for _ in range(2):
            lease = await store.try_lease(key, version)
            assert lease is not None
            assert await store.try_lease(key, version) is None
            await lease.release()
    await store.close()


async def test_a_command_waits_while_two_nodes_redirect_to_each_other(
    topology: Cluster, cache: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner has given an empty slot away, and its new owner does not know that yet."""
    set_cluster_pauses(monkeypatch, [0.01] * 1000)
    slot = key_slot(make_entry_name("default:{circle}"))
    owner, newcomer = get_owner(topology, slot), topology.nodes[3]
    name = f"CLUSTER SETSLOT {slot} NODE"
    ids = {node: get_node_id(node) for node in (owner, newcomer)}
    with Redis(port=owner.port) as here, Redis(port=newcomer.port) as there:

        def count_redirections() -> int:
            errors: Any = here.info("errorstats")
            return int(errors.get("errorstat_MOVED", {"count": 0})["count"])

        before = count_redirections()
        execute(here, name, ids[newcomer])
        setting = asyncio.create_task(cache.set("{circle}", 1))
        try:
            await poll(lambda: count_redirections() > before + 16, deadline=60)
        finally:
            execute(there, name, ids[newcomer])
        assert await setting
        assert await count_errors(cache) == 0
        await cache.delete("{circle}")
        await asyncio.to_thread(move_slots, [slot], newcomer, owner)


async def test_a_change_on_two_nodes_wins_over_a_computation_that_began_before_it(
    target: Server, topology: Cluster, cache: CacheManager
) -> None:
    key, has_begun, may_end = "{moved}raced", asyncio.Event(), asyncio.Event()

    async def compute() -> str:
        has_begun.set()
        await may_end.wait()
        return "old"

    async with HalfMove(topology, target, 5):
        computing = asyncio.ensure_future(cache.get_or_set(key, compute))
        await has_begun.wait()
        assert await cache.set(key, "new")
    may_end.set()
    await computing
    assert await cache.get(key) == "new"


async def test_a_computation_that_begins_within_a_change_on_two_nodes_is_not_stored(
    topology: Cluster, cache: CacheManager
) -> None:
    """The mark of a change in progress, which its parts leave when the process is killed."""
    owner = get_owner(topology, MOVED_SLOT)
    with Redis(port=owner.port) as admin:
        names = list(admin.keys("aiocache_pe~generation:*"))
        for name in names:
            execute(admin, "SET", name, "!1")
    key = MOVED_KEYS[0]
    with Redis(port=owner.port) as admin:
        admin.delete(make_entry_name(f"default:{key}"))
    async with CacheManager("redis", redis_url=topology.url, fallback=None) as other:
        assert await other.get_or_set(key, lambda: "computed") == "computed"
        assert await other.get(key) is None
        assert await other.set(key, 1)  # a later change makes an end to it
        assert await other.delete(key)
        assert await other.get_or_set(key, lambda: "computed") == "computed"
        assert await other.get(key) == "computed"


async def test_an_operation_that_a_lost_primary_prevents_is_an_error(
    topology: Cluster, cache: CacheManager
) -> None:
    node = topology.nodes[2]
    node.freeze()
    try:
        async with CacheManager(
            "redis",
            redis_url=topology.url.partition("?")[0] + "?socket_timeout=0.2",
            fallback=None,
        ) as impatient:
            assert await impatient.invalidate("k*") < len(KEYS)
            assert not await impatient.set_many(dict.fromkeys(KEYS, 2))
            assert await count_errors(impatient) >= 2
    finally:
        node.thaw()
    assert len(await list_keys(cache)) > len(MOVED_KEYS)
