"""Two processes over one directory: each read sees the latest change of the other process.

The value is read before each change, so that the memory tier of the reader holds it. All values
have the same size, and hundreds are written within a second. `tests.support.scale` describes
the sizes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from tests.support.processes.call_manager import LocalManager, RemoteManager
from tests.support.scale import report, scale_size

ALTERNATIONS = 500
Manager = LocalManager | RemoteManager
Change = Callable[[Manager, Manager, int], tuple[object, object]]


@pytest.fixture
def managers(cache_dir: Path) -> Iterator[tuple[LocalManager, RemoteManager]]:
    with asyncio.Runner() as runner, RemoteManager(cache_dir) as remote:
        cache = CacheManager(directory=cache_dir)
        local = LocalManager(runner, cache)
        for manager in (local, remote):  # the first calls create the loop, threads and folders
            manager.call("set", "warm", "up")
        yield local, remote
        assert runner.run(cache.get_stats()).errors == 0
        runner.run(cache.close())


def overwrite(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    value = f"{number:08d}"
    assert writer.call("set", "key", value)
    return value, reader.call("get", "key")


def overwrite_list(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    value = [f"{number:08d}"]
    assert writer.call("set_many", {"key": value, "other": value})
    return [value, value], list(reader.call("get_many", ["key", "other"]).values())


def delete(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    assert reader.call("set", "key", number)
    assert reader.call("get", "key") == number
    assert writer.call("delete", "key")
    return "none", reader.call("get", "key", "none")


def count(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    return writer.call("incr", "key"), reader.call("get", "key")


def clear(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    assert reader.call("set_many", {"key": number, "other": number})
    assert reader.call("get", "key") == number
    writer.call("clear")
    return {}, reader.call("get_many", ["key", "other"])


def delete_tag(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    assert reader.call("set", "key", number, tags=["red", "blue"])
    assert reader.call("get", "key") == number
    assert writer.call("delete_by_tag", "blue")
    return "none", reader.call("get", "key", "none")


def touch(writer: Manager, reader: Manager, number: int) -> tuple[object, object]:
    assert reader.call("set", "key", number, ttl=50)
    assert reader.call("get_ttl", "key") <= 50
    assert writer.call("touch", "key", 1000)
    return True, reader.call("get_ttl", "key") > 900


CHANGES: tuple[tuple[Change, float], ...] = (
    (overwrite, 1.0),
    (overwrite_list, 0.5),
    (delete, 0.5),
    (count, 0.5),
    (clear, 0.3),
    (delete_tag, 0.5),
    (touch, 0.3),
)


@pytest.mark.parametrize(
    ("change", "share"), CHANGES, ids=[change.__name__ for change, _ in CHANGES]
)
def test_the_next_read_in_another_process_sees_the_change(
    managers: tuple[LocalManager, RemoteManager], change: Change, share: float
) -> None:
    local, remote = managers
    alternations = round(scale_size(ALTERNATIONS) * share)
    stale: list[tuple[int, object, object]] = []
    began = time.perf_counter()
    for number in range(alternations):
        writer, reader = (local, remote) if number % 2 else (remote, local)
        expected, seen = change(writer, reader, number)
        if seen != expected:
            stale.append((number, expected, seen))
    seconds = time.perf_counter() - began
    report(
        f"two processes, {change.__name__}: {alternations} alternations, "
        f"{alternations / seconds:.0f}/s, {len(stale)} stale reads"
    )
    assert not stale
