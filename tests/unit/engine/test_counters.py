"""Counters are exact, also when many threads hit at the same time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocache_pe.engine.counters import Counters
from aiocache_pe.engine.memory_entry import MemoryEntry
from aiocache_pe.eviction.fifo import Fifo
from aiocache_pe.record import Head, Record


def make_entry(key: str = "default:k", cost: float = 0.0, *, in_tier: bool = True) -> MemoryEntry:
    entry = MemoryEntry(Record(Head(1, key, "json", 0.0, 1, cost=cost), b"1"))
    if in_tier:
        Fifo[MemoryEntry]().add(entry)
    return entry


def make_counters() -> Counters:
    return Counters(lambda: None)


def hit(counters: Counters, entry: MemoryEntry, time: float = 1000.0) -> None:
    """Count a hit in the way of `Namespace.peek`."""
    entry.last_access = time
    entry.hits += 1
    if entry.hits - entry.counted_hits == 1:
        counters.note_first_hit(entry)


@pytest.fixture
def frequent_thread_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_hits_are_summed_up_per_key_with_their_savings() -> None:
    counters = make_counters()
    first, second = make_entry("default:a", cost=0.5), make_entry("default:b", cost=2.0)
    for time in (1.0, 2.0, 3.0):
        hit(counters, first, time)
    hit(counters, second, 9.0)
    counts, usage = counters.take_changes()
    assert counts == {"hits": 4, "seconds_saved": 3.5}
    assert usage == {"default:a": (3, 3.0), "default:b": (1, 9.0)}


def test_entries_share_the_rounded_time_of_a_reported_access() -> None:
    counters, entries = make_counters(), [make_entry(f"default:{n}") for n in range(40)]
    times = [1000.0 + n / 10 for n in range(40)]
    for entry, time in zip(entries, times, strict=True):
        hit(counters, entry, time)
    _, usage = counters.take_changes()
    assert [last_access for _, last_access in usage.values()] == times
    assert len({id(entry.last_access) for entry in entries}) <= 5
    for entry, time in zip(entries, times, strict=True):
        assert 0.0 <= time - entry.last_access < 1.0


def test_hits_summed_up_in_chunks_are_reported_once() -> None:
    counters, entries = make_counters(), [make_entry(f"default:{n}") for n in range(1000)]
    for entry in entries:
        hit(counters, entry)
    chunks = counters.count_chunks()
    assert chunks == 4
    for _ in range(chunks):
        counters.sum_up_chunk()
        hit(counters, entries[0])  # once more, after it was summed up
    counts, usage = counters.take_changes()
    assert counts == {"hits": 1000 + chunks}
    assert usage == {entry.key: (1, 1000.0) for entry in entries} | {
        "default:0": (chunks + 1, 1000.0)
    }


@pytest.mark.parametrize("in_tier", [True, False])
def test_taking_the_changes_sums_up_the_rest(in_tier: bool) -> None:
    counters = make_counters()
    for n in range(1000):
        hit(counters, make_entry(f"default:{n}", in_tier=in_tier))
    counts, usage = counters.take_changes()
    assert counts == {"hits": 1000}
    assert len(usage) == 1000
    assert counters.take_changes() == ({}, {})


def test_changes_are_taken_only_once() -> None:
    counters, entry = make_counters(), make_entry()
    hit(counters, entry)
    counters.add("misses", 2)
    assert counters.take_changes()[0] == {"hits": 1, "misses": 2}
    assert counters.take_changes() == ({}, {})
    hit(counters, entry)
    assert counters.take_changes() == ({"hits": 1}, {"default:k": (1, 1000.0)})


@pytest.mark.parametrize("in_tier", [True, False])
def test_entries_of_equal_keys_are_reported_together(in_tier: bool) -> None:
    counters = make_counters()
    for time in (1.0, 2.0, 3.0):
        hit(counters, make_entry(cost=2.0, in_tier=in_tier), time)
    assert counters.take_changes() == ({"hits": 3, "seconds_saved": 6.0}, {"default:k": (3, 3.0)})
    assert counters.take_changes() == ({}, {})


@pytest.mark.parametrize("first_in_tier", [True, False])
def test_the_last_access_does_not_depend_on_the_order_of_summing_up(first_in_tier: bool) -> None:
    counters = make_counters()
    hit(counters, make_entry(in_tier=first_in_tier), 1.0)
    hit(counters, make_entry(in_tier=not first_in_tier), 2.0)
    assert counters.take_changes()[1] == {"default:k": (2, 2.0)}


def test_counting_keeps_no_entry_outside_the_tier_alive() -> None:
    counters, entry = make_counters(), make_entry(in_tier=False)
    before = sys.getrefcount(entry)
    hit(counters, entry)
    assert sys.getrefcount(entry) == before


def test_counting_releases_evicted_entries_before_the_next_report() -> None:
    counters, queue = make_counters(), Fifo[MemoryEntry]()
    entries = [make_entry(f"default:{n}", in_tier=False) for n in range(1000)]
    before = [sys.getrefcount(entry) for entry in entries]
    for entry in entries:
        queue.add(entry)
        hit(counters, entry)
        if len(queue) > 100:
            queue.evict()
    after = [sys.getrefcount(entry) for entry in entries]
    assert sum(now > then for now, then in zip(after, before, strict=True)) <= 400
    assert after[0] == before[0]
    assert counters.take_changes()[0] == {"hits": 1000}


def test_restored_changes_are_reported_next_time() -> None:
    counters = make_counters()
    counters.add("misses")
    counts, _ = counters.take_changes()
    counters.add("misses")
    counters.restore_changes(counts)
    assert counters.take_changes()[0] == {"misses": 2}


def test_the_first_hit_after_a_report_requests_the_next() -> None:
    calls, entry = list[str](), make_entry()
    counters = Counters(lambda: calls.append("report"))
    for _ in range(3):
        hit(counters, entry)
    assert len(calls) == 1
    counters.take_changes()
    hit(counters, entry)
    assert len(calls) == 2
    counters.add("errors")
    assert len(calls) == 3


@pytest.mark.usefixtures("frequent_thread_switches")
@pytest.mark.parametrize("in_tier", [True, False], ids=["in the tier", "outside the tier"])
def test_hits_of_thirty_two_threads_are_all_counted(in_tier: bool) -> None:
    counters, shared = make_counters(), [make_entry(f"default:{n}") for n in range(5)]
    totals, per_key, rounds = Counter[str](), Counter[str](), 2000

    def work(number: int) -> None:
        for n in range(rounds):
            index = (n + number) % len(shared)
            entry = shared[index] if in_tier else make_entry(f"default:{index}", in_tier=False)
            hit(counters, entry)
            counters.add("misses")

    def collect() -> None:
        counts, usage = counters.take_changes()
        totals.update({name: int(count) for name, count in counts.items()})
        per_key.update({key: hits for key, (hits, _) in usage.items()})

    with ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(work, number) for number in range(32)]
        while not all(future.done() for future in futures):
            collect()
    for future in futures:
        future.result()
    collect()
    assert totals == {"hits": 32 * rounds, "misses": 32 * rounds}
    assert per_key == {f"default:{n}": 32 * rounds // 5 for n in range(5)}


@pytest.mark.parametrize("in_tier", [False, True])
def test_the_statistics_of_evicted_entries_take_a_bounded_part_of_memory(
    in_tier: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiocache_pe.engine.counters._MAX_KEYS", 10)
    counters = make_counters()
    for number in range(3000):
        entry = make_entry(f"default:{number}", cost=0.5, in_tier=in_tier)
        hit(counters, entry)
        if in_tier:
            entry.queue.discard(entry)  # evicted
    counts, usage = counters.take_changes()
    assert counts == {"hits": 3000, "seconds_saved": 1500.0}
    assert len(usage) < 1000


def test_large_evicted_entries_are_released_by_the_next_hits() -> None:
    counters = make_counters()
    entries = [make_entry(f"default:{number}") for number in range(5)]
    for entry in entries:
        entry.size = 1_000_000
        hit(counters, entry)
        entry.queue.discard(entry)
    assert len(counters._hit_entries) == 1
    assert counters.take_changes()[0] == {"hits": 5}
