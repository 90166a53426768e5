"""Histories of random calls by many callers: nothing stale, nothing lost, nothing hung.

`tests.support.history_log` describes the promises. A test runs for seconds, and ``make stress``
for minutes::

    AIOCACHE_STRESS=30 pytest tests/system/test_histories.py -s
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot

from tests.support.histories import Recorders, record_histories
from tests.support.history import ABSENT, Operation, is_linearizable
from tests.support.history_log import HistoryWriter, check_logs
from tests.support.scale import is_full_run, report, scale_size
from tests.support.servers.deployments import Cluster, SlotMove, list_slots, move_slots
from tests.support.servers.redis_server import Server

Disturbance = Callable[[Recorders], None]
SECONDS = 2
TRACKING_DELAY = 4.0 if is_full_run() else 1.0
"""Seconds in which a message of a Redis server reaches another process; 4 are documented."""
FAILOVER_DELAY = 4.0
"""Seconds after which no copy of a replaced primary is served, on the slowest machine."""
RACE: dict[str, Any] = {
    "tasks": 5,
    "threads": 4,
    "register_share": 0.0,
    "change_share": 0.03,
    "durations": [0.02],
}
"""Options of processes with ten callers each, which read while computations and changes race."""
PROCESSES: dict[str, tuple[Sequence[Disturbance], dict[str, Any]]] = {
    "undisturbed": ((), {}),
    "killed and stopped": ((Recorders.kill, Recorders.stop), {"is_cancelling": True}),
    "forking, with compression": ((), {"is_forking": True, "is_padded": True}),
    "killed, with short lifetimes": ((Recorders.kill,), {"lifetimes": True, "is_lossy": True}),
}
"""Disturbances of the processes, and further options."""


def check_history(
    name: str,
    folder: Path,
    cache: Mapping[str, Any],
    disturbances: Sequence[Disturbance] = (),
    *,
    lossy: Collection[str] = (),
    **options: Any,
) -> None:
    """Record histories, report the figures and check the promises.

    Args:
        name: the name of the history, for the report.
        folder: the folder of the logs and stores.
        cache: the arguments of the managers.
        disturbances: functions that disturb the processes.
        lossy: disturbances that may each lose an acknowledged change, by the names of their counts.
        options: options of `record_histories`.
    """
    seed = secrets.token_hex(4)
    options = {"slots": 3, "seconds": scale_size(SECONDS), "seed": seed, **options}
    recorders, findings = record_histories(folder / "logs", cache, disturbances, **options)
    counts = {
        "calls": sum(findings.operations.values()),
        "changes of sources": findings.operations["change"],
        "reads of sources": findings.operations["read"],
        **recorders.counts,
        "calls without an answer": findings.failed,
        "errors": recorders.errors,
        "stale reads": len(findings.stale_reads),
        "disorders": len(findings.disorders),
    }
    figures = ", ".join(f"{n:,} {what}" for what, n in counts.items())
    report(f"history, {name}: {figures}, longest lag {findings.longest_lag * 1000:.1f} ms")
    violations = findings.stale_reads + findings.disorders
    losses = sum(recorders.counts[each] for each in lossy)
    assert len(violations) <= losses, "\n".join([f"seed {seed}", *violations[:5]])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("backend", "tier"), [("memory", 1 << 26), ("file", 1 << 26), ("file", 0)])
def test_threads_and_loops_of_one_process(tmp_path: Path, backend: str, tier: int) -> None:
    cache: dict[str, Any] = {"backend": backend, "memory_max_bytes": tier}
    if backend == "file":
        cache["directory"] = str(tmp_path / "cache")
    options: dict[str, Any] = {"slots": 1, "loops": 3, "threads": 8, "is_cancelling": True}
    check_history(f"{backend}, one process, tier {tier}", tmp_path, cache, **options)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("store", "settings"),
    [
        ("memory", {}),
        ("file", {}),
        ("redis", {"fallback": None}),
        ("redis", {"fallback": None, "memory_max_bytes": 0}),
        ("redis", {"fallback": "file"}),
    ],
    ids=["memory", "files", "Redis", "Redis without tier", "Redis with fallback"],
)
def test_no_read_is_older_than_a_change_beside_computations(
    tmp_path: Path, request: pytest.FixtureRequest, store: str, settings: dict[str, Any]
) -> None:
    cache = {"backend": store, **settings}
    slots = 1 if store == "memory" else 3
    options = dict[str, Any](RACE, seconds=scale_size(1), slots=slots)
    if store == "redis":
        cache["backend"] = request.getfixturevalue("own_redis").url
        options["delay"] = 0.0 if settings.get("memory_max_bytes") == 0 else TRACKING_DELAY
    if store != "memory":
        cache["directory"] = str(tmp_path / "cache")
    check_history(f"race over {request.node.callspec.id}", tmp_path, cache, **options)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", PROCESSES)
def test_processes_over_files(tmp_path: Path, kind: str) -> None:
    disturbances, options = PROCESSES[kind]
    cache = {"backend": "file", "directory": str(tmp_path / "cache"), "compression": "gzip"}
    check_history(f"files, {kind}", tmp_path, cache, disturbances, **options)


@pytest.mark.timeout(1800)
def test_processes_over_bounded_files(tmp_path: Path) -> None:
    cache = {"backend": "file", "directory": str(tmp_path / "cache"), "max_entries": 12}
    check_history("bounded files", tmp_path, cache, (Recorders.kill,), is_lossy=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", PROCESSES)
def test_processes_over_redis(tmp_path: Path, own_redis: Server, kind: str) -> None:
    disturbances, options = PROCESSES[kind]
    cache = {"backend": own_redis.url, "fallback": None, "compression": "gzip"}
    options = dict[str, Any](delay=TRACKING_DELAY) | options
    check_history(f"Redis, {kind}", tmp_path, cache, disturbances, **options)


@pytest.mark.timeout(1800)
def test_processes_over_a_redis_server_that_cuts_connections(
    tmp_path: Path, own_redis: Server
) -> None:
    cache = {"backend": own_redis.url, "fallback": None}

    def cut(recorders: Recorders) -> None:
        with Redis.from_url(own_redis.url) as admin:
            admin.execute_command("CLIENT", "KILL", "SKIPME", "yes")
        recorders.counts["cuts"] += 1

    # A removal on a cut connection is repeated, and may also remove a value that was stored since.
    options: dict[str, Any] = {"delay": TRACKING_DELAY, "is_lossy": True}
    check_history("Redis, cut connections", tmp_path, cache, (cut,), **options)


@pytest.mark.timeout(1800)
def test_processes_over_a_redis_server_that_restarts(tmp_path: Path, own_redis: Server) -> None:
    cache = {"backend": own_redis.url, "fallback": None}
    disturbances = (make_restart(own_redis),)
    options: dict[str, Any] = {"delay": TRACKING_DELAY, "is_lossy": True}
    check_history("Redis, restarts", tmp_path, cache, disturbances, **options)


@pytest.mark.timeout(1800)
def test_a_process_over_redis_with_a_fallback_that_flaps(tmp_path: Path, own_redis: Server) -> None:
    cache = {"backend": own_redis.default_url, "directory": str(tmp_path / "cache")}

    def freeze(recorders: Recorders) -> None:
        own_redis.freeze()
        time.sleep(recorders.chance.uniform(0.5, 2.0))
        own_redis.thaw()
        recorders.counts["freezes"] += 1

    disturbances = (make_restart(own_redis), freeze)
    options: dict[str, Any] = {"slots": 1, "loops": 2, "threads": 4, "is_lossy": True}
    options["seconds"] = scale_size(2 * SECONDS)
    check_history("Redis with fallback", tmp_path, cache, disturbances, **options)


@pytest.fixture
def changing_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a Cluster of three primaries, a replica of the first one, and a node without slots."""
    deployment = Cluster(tmp_path / "cluster", 1)
    try:
        deployment.start()
        deployment.add_primary()
        yield deployment
    finally:
        deployment.kill()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tier", [0, 1 << 26] if is_full_run() else [0])
@pytest.mark.parametrize("losses", ["none", "primaries"] if is_full_run() else ["none"])
def test_processes_over_a_cluster_that_changes(
    tmp_path: Path, changing_cluster: Cluster, losses: str, tier: int
) -> None:
    """Slots move, also to a primary without any before, and a replica takes over.

    In a full run, primaries are lost as well: they are killed, frozen or deposed. Each time, a
    change of the last moment may be lost, because replication is asynchronous.
    """
    cluster = changing_cluster
    cache = {"backend": cluster.url, "fallback": None, "memory_max_bytes": tier}

    def count(name: str, number: int, change: Callable[[random.Random], object]) -> Disturbance:
        def disturb(recorders: Recorders) -> None:
            change(recorders.chance)
            recorders.counts[name] += number

        return disturb

    move = count("moved slots", _SLOTS_OF_A_MOVE, partial(move_random_slots, cluster))
    disturbances = [move] * 3 + [count("failovers", 1, lambda chance: cluster.fail_over())]
    if losses == "primaries":
        disturbances += [
            count("forced failovers", 1, lambda chance: cluster.fail_over("FORCE")),
            count("kills", 1, lambda chance: cluster.replace_primary(Server.kill, Server.start)),
            count("freezes", 1, lambda chance: cluster.replace_primary(Server.freeze, Server.thaw)),
        ]
    options: dict[str, Any] = {"slots": 2, "delay": FAILOVER_DELAY if tier else 0.05}
    name, lossy = (
        f"Cluster, losses of {losses}, tier {tier}",
        ("forced failovers", "kills", "freezes"),
    )
    check_history(name, tmp_path, cache, disturbances, lossy=lossy, **options)


_SLOTS_OF_A_MOVE = 15 if is_full_run() else 1


def move_random_slots(cluster: Cluster, chance: random.Random) -> None:
    """Move the slot of a random entry to another primary, with a break in the middle, and others.

    The other slots mostly have no entries.
    """
    primaries = cluster.list_primaries()
    source, target = chance.sample(primaries, 2)
    with Redis(port=source.port) as client:
        names = sorted(client.scan_iter("aiocache_pe:*", count=1000))
    if not names:
        return
    move = SlotMove(key_slot(chance.choice(names)), source, target)
    move.begin()
    move.move_names(chance.randrange(3))
    time.sleep(chance.uniform(0, 0.3))
    move.end()
    others = chance.sample(list_slots(source), _SLOTS_OF_A_MOVE - 1)
    move_slots(others, source, target)


def make_restart(server: Server) -> Disturbance:
    """Return a disturbance that kills a server, and starts an empty one after a moment."""

    def restart(recorders: Recorders) -> None:
        server.kill()
        time.sleep(recorders.chance.uniform(0, 0.5))
        server.start()
        recorders.counts["restarts"] += 1

    return restart


def test_the_checker_rejects_impossible_histories() -> None:
    first = Operation("set", 1, answer=True, called=0, returned=1)
    second = Operation("set", 2, answer=True, called=2, returned=5)
    unknown = Operation("set", 3, None, 2)
    for answer, right in ((1, True), (2, True), (3, True), (ABSENT, False)):
        read = Operation("get", 0, answer, 3, 4)
        assert is_linearizable([first, second, unknown, read]) == right
    stale = Operation("get", 0, 1, 6, 7)
    assert not is_linearizable([first, second, stale])
    twice = [Operation("pop", 0, 1, 3, 4), Operation("pop", 0, 1, 3, 4)]
    assert not is_linearizable([first, *twice])
    counts = [Operation("incr", 1, 1, 0, 9), Operation("incr", 1, 1, 0, 9)]
    assert not is_linearizable(counts)
    removed = Operation("remove", 0, answer=True, called=2, returned=5)
    assert not is_linearizable([first, removed, stale])
    winners = [Operation("add", value, True, 0, 9) for value in (1, 2)]
    assert not is_linearizable(winners)
    lost = Operation("get", 0, ABSENT, 2, 3)
    assert not is_linearizable([first, lost])
    assert is_linearizable([first, lost], is_lossy=True)
    assert not is_linearizable([first, lost, stale], is_lossy=True)


def test_the_checker_finds_stale_reads_of_a_source(tmp_path: Path) -> None:
    log = HistoryWriter(tmp_path, "process")
    for version in (7, 8):
        log.end(log.begin("change", "s0", version), 1)
    log.begin("change", "s0", 9)  # without an end, as in a killed process
    for version in (ABSENT, 7, 8, 9):
        log.end(log.begin("read", "s0"), version)
    [stale] = check_logs(tmp_path, is_lossy=False).stale_reads
    assert "answer=7" in stale
