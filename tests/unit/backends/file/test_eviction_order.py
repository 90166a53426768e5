"""Each eviction order sorts a sample of the entries by its own measure."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiocache_pe.backends.file import eviction_order
from aiocache_pe.backends.file.disk import Disk
from aiocache_pe.backends.file.eviction_order import ORDERS, Candidate
from aiocache_pe.backends.file.layout import Layout
from tests.support.file_store import make_record

NOW = time.time_ns()


def make_candidate(name: str, *, written: float, used: float = 0.0, hits: int = 0) -> Candidate:
    """Return a candidate that was written and used so many seconds ago."""
    written_at = int(NOW - written * 1e9)
    used_at = max(written_at, int(NOW - (used or written) * 1e9))
    return Candidate(name, 1, written_at, used_at, hits)


CANDIDATES = (
    make_candidate("old", written=100),
    make_candidate("popular once", written=90, used=80, hits=1000),
    make_candidate("popular", written=95, used=40, hits=1000),
    make_candidate("read once", written=50, used=12, hits=1),
    make_candidate("new", written=15),
    make_candidate("newest", written=10),
)
FIRST_EVICTED = {
    "adaptive": ["old", "popular once", "new"],
    "lfu": ["old", "new", "newest"],
    "lru": ["old", "popular once", "popular"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_sorts_by_its_own_measure(order: str) -> None:
    assert [one.path for one in ORDERS[order](CANDIDATES)][:3] == FIRST_EVICTED[order]


def test_adaptive_evicts_a_popular_entry_that_is_no_longer_read() -> None:
    flood = [make_candidate(f"f{n}", written=n / 10) for n in range(100)]
    assert ORDERS["adaptive"]([*flood, CANDIDATES[1]])[0].path == "popular once"
    recent = make_candidate("recent", written=90, used=11, hits=1000)  # the others last for 10 s
    assert ORDERS["adaptive"]([*flood, recent])[-1].path == "recent"


def test_adaptive_sorts_by_use_if_all_entries_were_read() -> None:
    candidates = [
        make_candidate("a", written=9, used=3, hits=5),
        make_candidate("b", written=9, used=4, hits=5),
    ]
    assert [one.path for one in ORDERS["adaptive"](candidates)] == ["b", "a"]
    assert ORDERS["adaptive"]([]) == []


def test_a_sample_is_all_of_a_small_directory_and_a_part_of_a_large_one(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(Layout(str(cache_dir)))
    assert eviction_order.sample(disk.layout) == []
    disk.write([make_record(str(n)) for n in range(200)])
    assert len(eviction_order.sample(disk.layout)) == 200
    monkeypatch.setattr(eviction_order, "_SAMPLE_SIZE", 20)
    assert 20 <= len(eviction_order.sample(disk.layout)) < 200
    monkeypatch.setattr(eviction_order, "_MAX_PER_FOLDER", 1)
    assert len({Path(one.path).parent for one in eviction_order.sample(disk.layout)}) >= 20
