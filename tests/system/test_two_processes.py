"""Of two processes over one directory, each sees what the other did at its very next read.

The value is read before each change, so it is in the reader's memory tier when it
changes; every value has the same size, and hundreds are written within one second. How
hard it tries: see `tests.support.scale`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiocache_pe import CacheManager
from tests.support.processes.obey_orders import Here, Partner
from tests.support.scale import report, scale_size

ALTERNATIONS = 500
Side = Here | Partner
Change = Callable[[Side, Side, int], tuple[object, object]]


@pytest.fixture
def sides(cache_dir: Path) -> Iterator[tuple[Here, Partner]]:
    with asyncio.Runner() as runner, Partner(cache_dir) as partner:
        cache = CacheManager(directory=cache_dir)
        here = Here(runner, cache)
        for side in (here, partner):  # the first calls make the loop, the threads, the folders
            side.do("set", "warm", "up")
        yield here, partner
        assert runner.run(cache.get_stats()).errors == 0
        runner.run(cache.close())


def overwritten(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    value = f"{number:08d}"
    assert writer.do("set", "key", value)
    return value, reader.do("get", "key")


def overwritten_as_a_list(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    value = [f"{number:08d}"]
    assert writer.do("set_many", {"key": value, "other": value})
    return [value, value], list(reader.do("get_many", ["key", "other"]).values())


def deleted(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    assert reader.do("set", "key", number)
    assert reader.do("get", "key") == number
    assert writer.do("delete", "key")
    return "none", reader.do("get", "key", "none")


def counted(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    return writer.do("incr", "key"), reader.do("get", "key")


def cleared(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    assert reader.do("set_many", {"key": number, "other": number})
    assert reader.do("get", "key") == number
    writer.do("clear")
    return {}, reader.do("get_many", ["key", "other"])


def tag_deleted(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    assert reader.do("set", "key", number, tags=["red", "blue"])
    assert reader.do("get", "key") == number
    assert writer.do("delete_by_tag", "blue")
    return "none", reader.do("get", "key", "none")


def touched(writer: Side, reader: Side, number: int) -> tuple[object, object]:
    assert reader.do("set", "key", number, ttl=50)
    assert reader.do("get_ttl", "key") <= 50
    assert writer.do("touch", "key", 1000)
    return True, reader.do("get_ttl", "key") > 900


CHANGES: tuple[tuple[Change, float], ...] = (
    (overwritten, 1.0),
    (overwritten_as_a_list, 0.5),
    (deleted, 0.5),
    (counted, 0.5),
    (cleared, 0.3),
    (tag_deleted, 0.5),
    (touched, 0.3),
)


@pytest.mark.parametrize(
    ("change", "share"), CHANGES, ids=[change.__name__ for change, _ in CHANGES]
)
def test_the_very_next_read_in_another_process_sees_it(
    sides: tuple[Here, Partner], change: Change, share: float
) -> None:
    here, partner = sides
    alternations = round(scale_size(ALTERNATIONS) * share)
    stale: list[tuple[int, object, object]] = []
    began = time.perf_counter()
    for number in range(alternations):
        writer, reader = (here, partner) if number % 2 else (partner, here)
        wanted, seen = change(writer, reader, number)
        if seen != wanted:
            stale.append((number, wanted, seen))
    seconds = time.perf_counter() - began
    report(
        f"two processes, {change.__name__}: {alternations} alternations, "
        f"{alternations / seconds:.0f}/s, {len(stale)} stale reads"
    )
    assert not stale
