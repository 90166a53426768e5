"""Order of the primaries in a scan, the slots that they gain, and limits of redirected calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import NodesManager
from redis.exceptions import AskError

from aiocache_pe.backends import RedisBackend
from aiocache_pe.backends.redis import cluster
from aiocache_pe.backends.redis.cluster import (
    Primary,
    Router,
    find_gained_slots,
    order_primaries,
)
from aiocache_pe.exceptions import StoreUnavailableError

ONE, TWO, THREE = ("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)


def make_primary(node_id: str, *slots: int, **sources: int) -> Primary:
    """Return a primary that imports a slot from each of some nodes, by their ids."""
    imported = {slot: source for source, slot in sources.items()}
    return Primary(node_id, frozenset(slots), imported)


def test_the_owner_of_a_moving_slot_is_scanned_before_the_node_that_imports_it() -> None:
    primaries = {
        ONE: make_primary("one", 1, two=2),
        TWO: make_primary("two", 2, three=3),
        THREE: make_primary("three", 3),
    }
    assert order_primaries(primaries) == [THREE, TWO, ONE]


def test_a_node_of_a_cycle_is_scanned_after_both_owners() -> None:
    primaries = {ONE: make_primary("one", 1, two=2), TWO: make_primary("two", 2, one=1)}
    order = order_primaries(primaries)
    assert order in ([ONE, TWO, ONE], [TWO, ONE, TWO])


def test_a_slot_from_an_unknown_node_changes_no_order() -> None:
    primaries = {ONE: make_primary("one", 1, absent=2)}
    assert order_primaries(primaries) == [ONE]


def test_gained_slots_are_those_owned_or_imported_now_and_not_before() -> None:
    before = {ONE: make_primary("one", 1, 2), TWO: make_primary("two", 3)}
    now = {
        ONE: make_primary("one", 1),
        TWO: make_primary("two", 3, one=2),
        THREE: make_primary("3"),
    }
    assert find_gained_slots(before, now) == {TWO: {2}}
    assert find_gained_slots({}, before) == {ONE: {1, 2}, TWO: {3}}


async def test_callers_do_not_wait_for_each_other_while_no_node_answers() -> None:
    connections = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()  # until the client gives up, without an answer
        await reader.read()
        writer.close()

    async def read() -> None:
        with pytest.raises(StoreUnavailableError):
            await backend.read(["default:key"])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = "?socket_timeout=0.3&socket_connect_timeout=0.3"
    backend = RedisBackend(f"redis+cluster://127.0.0.1:{port}{limits}", tracking=False)
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(read() for _ in range(12)))
    finally:
        await backend.close()
        server.close()
    assert 0 < connections < 12


@pytest.mark.parametrize(("seconds", "rounds"), [(-1.0, 2), (1e9, 18)])
async def test_a_call_that_every_node_redirects_ends(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int
) -> None:
    done = 0

    async def redirect(
        self: Router, commands: Sequence[Any], routes: dict[int, Any], answers: list[Any]
    ) -> None:
        nonlocal done
        done += 1
        answers[0] = AskError("1 127.0.0.1:1")

    async def do_nothing(self: object) -> None:
        pass

    monkeypatch.setattr(cluster, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Router, "_execute_round", redirect)
    monkeypatch.setattr(RedisCluster, "initialize", do_nothing)
    monkeypatch.setattr(NodesManager, "initialize", do_nothing)
    router = Router(RedisCluster(host="127.0.0.1", port=1), lambda _: None)
    router._seconds = seconds
    [answer] = await router.execute([("GET", b"key")])
    assert isinstance(answer, AskError)
    assert done == rounds
