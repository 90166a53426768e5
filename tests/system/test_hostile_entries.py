"""Hostile entries in a store: each is a miss and costs no other entry, little time and memory.

The entries are written into a real directory and a real Redis server, around the library, with
valid checksums.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from aiocache_pe import CacheManager
from aiocache_pe.backends.redis.key_names import make_entry_name
from tests.support.hostile import BOMBS, COLLIDING, HEADS, make_record
from tests.support.polling import make_environment
from tests.support.scale import report
from tests.support.servers.redis_server import Server

ROOT = Path(__file__).parents[2]
MISS = object()
GOOD = {f"good{n}": [n] for n in range(5)}
DEEP = b"[" * 100_000 + b"]" * 100_000
PAYLOADS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "dicts without compression": BOMBS["dicts without compression"],
    "deep json": lambda: ("json", DEEP),
    "deep tagged json": lambda: ("tagged", b'{"$tuple":[' * 5000 + b"]}" * 5000),
    "deep compressed json": lambda: ("json+gzip", gzip.compress(DEEP)),
    "long number": lambda: ("json", b"9" * 100_000),
    "colliding ints": lambda: ("tagged", COLLIDING["ints"]),
    "lists, gzip": BOMBS["lists, gzip"],
}


def _make_hostile(key: str, *, extra: bytes = b"", make: Callable[[], tuple[str, bytes]]) -> bytes:
    return make_record(key, *make(), extra=extra)


RECORDS: dict[str, Callable[[str], bytes]] = {
    **{
        f"head: {name}": partial(_make_hostile, extra=extra, make=lambda: ("json", b"1"))
        for name, extra in HEADS.items()
    },
    **{f"payload: {name}": partial(_make_hostile, make=make) for name, make in PAYLOADS.items()},
}
Plant = Callable[[str, bytes], object]


@pytest.fixture(params=["file", "file without tier", "redis"])
async def store(
    request: pytest.FixtureRequest, cache_dir: Path
) -> AsyncIterator[tuple[CacheManager, Plant]]:
    """Yield a cache over a store, and a function that writes bytes in the place of an entry."""
    if request.param == "redis":
        server: Server = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as admin:
            admin.flushall()
            async with CacheManager("redis", redis_url=server.url, directory=cache_dir) as cache:
                yield cache, lambda key, blob: admin.set(make_entry_name(key), blob)
        return
    size = 0 if "without" in request.param else 64 * 1024 * 1024
    async with CacheManager(directory=cache_dir, memory_max_bytes=size) as cache:
        yield cache, partial(plant_file, cache_dir)


def plant_file(directory: Path, key: str, blob: bytes) -> None:
    area, _, name = key.partition(":")
    [file] = directory.glob(f"{area}/*/*-{name}")
    file.write_bytes(blob)


@pytest.mark.parametrize("name", RECORDS)
async def test_a_hostile_entry_costs_no_other_entry(
    store: tuple[CacheManager, Plant], name: str
) -> None:
    cache, plant = store

    async def plant_bad() -> None:
        assert await cache.set("bad", 1)
        plant("default:bad", RECORDS[name]("default:bad"))

    await cache.set_many(GOOD)
    await plant_bad()
    assert await cache.get_many(["bad", *GOOD]) == GOOD
    await plant_bad()
    assert await cache.get("bad", MISS) is MISS
    await plant_bad()
    assert await cache.entry("bad") is None
    await plant_bad()
    assert set(GOOD) <= {key async for key in cache.keys("*")} <= {*GOOD, "bad"}
    assert (await cache.get_stats()).total_entries >= len(GOOD)
    await cache.cleanup_expired()
    assert await cache.pop("bad", MISS) is MISS
    await plant_bad()
    assert await cache.invalidate("good*") == len(GOOD)
    assert await cache.set("bad", 2)
    assert await cache.get("bad") == 2
    await cache.set_many(GOOD)
    await plant_bad()
    await cache.delete_many(["bad", "good0"])
    assert {key async for key in cache.keys("*")} == GOOD.keys() - {"good0"}
    await plant_bad()
    assert await cache.clear() >= len(GOOD) - 1
    assert {key async for key in cache.keys("*")} == set()


@pytest.mark.parametrize("name", RECORDS)
async def test_a_hostile_tag_costs_only_the_entries_with_the_tag(
    store: tuple[CacheManager, Plant], name: str
) -> None:
    cache, plant = store
    await cache.set("tagged", 1, tags=["t"])
    await cache.set_many(GOOD)
    plant("default+tags:t", RECORDS[name]("default+tags:t"))
    assert await cache.get_many(["tagged", *GOOD]) == GOOD
    assert {key async for key in cache.keys("*")} == set(GOOD)
    assert await cache.set("tagged", 2, tags=["t"])
    assert await cache.get("tagged") == 2
    assert await cache.delete_by_tag("t")
    assert await cache.get("tagged", MISS) is MISS


@pytest.mark.parametrize(
    "counters",
    [b"null", b"[]", b'{"hits":null,"misses":"1"}', b'{"hits":[1],"misses":{}}', b'{"hits":-1}',
     b'{"hits":1e308,"seconds_saved":1e308}', b"7", b'"text"', DEEP],
)  # fmt: skip
async def test_hostile_counters_count_from_zero(
    store: tuple[CacheManager, Plant], counters: bytes
) -> None:
    cache, plant = store
    await cache.set_many(GOOD)
    assert (await cache.get_stats()).sets == len(GOOD)
    plant("default+stats:counters", make_record("default+stats:counters", "json", counters))
    stats = await cache.get_stats()
    assert (stats.hits, stats.misses, stats.seconds_saved) == (0, 0, 0.0)
    assert await cache.get_many(list(GOOD)) == GOOD
    assert (await cache.get_stats()).hits == len(GOOD)


def test_hostile_entries_take_little_memory_and_time_of_the_loop(cache_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.processes.read_hostile_entries", str(cache_dir)],
        cwd=ROOT,
        env=make_environment(),  # the time and memory of coverage would be measured too
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    measured: dict[str, dict[str, float]] = json.loads(done.stdout)
    for name, numbers in measured.items():
        report(f"{name}: {numbers}")
    assert measured.keys() >= {*BOMBS, *COLLIDING}
    assert max(numbers["megabytes"] for numbers in measured.values()) < 64
    # The time in which no other callback of the loop ran, less that of other processes.
    assert max(numbers["loop_seconds"] for numbers in measured.values()) < 0.15
