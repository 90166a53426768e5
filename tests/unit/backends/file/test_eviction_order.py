"""Who goes first: each order by its own measure."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiocache_pe.backends.file import eviction_order
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.eviction_order import ORDERS, Candidate
from aiocache_pe.backends.file.layout import Layout
from tests.support.file_records import record

NOW = time.time_ns()


def seen(name: str, *, written: float, used: float = 0.0, hits: int = 0) -> Candidate:
    """An entry written and used so many seconds ago."""
    at = int(NOW - written * 1e9)
    return Candidate(name, 1, at, max(at, int(NOW - (used or written) * 1e9)), hits)


STORE = (
    seen("old", written=100),
    seen("popular once", written=90, used=80, hits=1000),
    seen("popular", written=95, used=40, hits=1000),
    seen("read once", written=50, used=12, hits=1),
    seen("new", written=15),
    seen("newest", written=10),
)
GO = {
    "fifo": ["old", "popular", "popular once"],
    "lru": ["old", "popular once", "popular"],
    "lfu": ["old", "new", "newest"],
    "s3fifo": ["old", "new", "newest"],
    "adaptive": ["old", "popular once", "new"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_has_its_own_first(order: str) -> None:
    assert [one.path for one in ORDERS[order](STORE)][:3] == GO[order]


def test_trial_is_over_when_little_is_new() -> None:
    read = [seen(f"r{n}", written=200, used=n + 1, hits=1) for n in range(20)]
    assert ORDERS["s3fifo"]([*read, seen("new", written=1)])[0].path == "r19"


def test_what_was_popular_goes_when_it_is_not_read_any_more() -> None:
    flood = [seen(f"f{n}", written=n / 10) for n in range(100)]
    assert ORDERS["adaptive"]([*flood, STORE[1]])[0].path == "popular once"
    lately = seen("lately", written=90, used=11, hits=1000)  # a life of the others is 10 s
    assert ORDERS["adaptive"]([*flood, lately])[-1].path == "lately"


def test_where_everything_was_read_the_default_is_by_use_and_hits() -> None:
    entries = [seen("a", written=9, used=3, hits=5), seen("b", written=9, used=4, hits=5)]
    assert [one.path for one in ORDERS["adaptive"](entries)] == ["b", "a"]
    assert ORDERS["adaptive"]([]) == []


def test_a_small_directory_is_looked_at_whole_and_a_large_one_in_part(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(Layout(str(cache_dir)))
    assert eviction_order.sample(disk.layout) == []
    disk.write([record(str(n)) for n in range(200)])
    assert len(eviction_order.sample(disk.layout)) == 200
    monkeypatch.setattr(eviction_order, "_SAMPLE", 20)
    assert 20 <= len(eviction_order.sample(disk.layout)) < 200
    monkeypatch.setattr(eviction_order, "_PER_FOLDER", 1)
    assert len({Path(one.path).parent for one in eviction_order.sample(disk.layout)}) >= 20
