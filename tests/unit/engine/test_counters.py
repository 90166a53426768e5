"""Counting: exact, also when many threads hit at once."""

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


def slot(key: str = "default:k", cost: float = 0.0, *, kept: bool = True) -> MemoryEntry:
    made = MemoryEntry(Record(Head(1, key, "json", 0.0, 1, cost=cost), b"1"))
    if kept:
        Fifo[MemoryEntry]().add(made)
    return made


def hit(tally: Counters, slot: MemoryEntry, at: float = 1000.0) -> None:
    """What a hit does, as in `Space.lookup`."""
    slot.used_at = at
    slot.hits += 1
    if slot.hits - slot.counted == 1:
        tally.note_use(slot)


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_hits_are_added_up_per_key_with_what_they_saved() -> None:
    tally, one, two = (
        Counters(lambda: None),
        slot("default:a", cost=0.5),
        slot("default:b", cost=2.0),
    )
    for at in (1.0, 2.0, 3.0):
        hit(tally, one, at)
    hit(tally, two, 9.0)
    report, usage = tally.take_changes()
    assert report == {"hits": 4, "seconds_saved": 3.5}
    assert usage == {"default:a": (3, 3.0), "default:b": (1, 9.0)}


def test_slots_share_the_time_that_was_reported() -> None:
    tally, slots = Counters(lambda: None), [slot(f"default:{n}") for n in range(40)]
    times = [1000.0 + n / 10 for n in range(40)]
    for each, at in zip(slots, times, strict=True):
        hit(tally, each, at)
    _, usage = tally.take_changes()
    assert [last for _, last in usage.values()] == times
    assert len({id(each.used_at) for each in slots}) <= 5
    assert all(0.0 <= at - each.used_at < 1.0 for each, at in zip(slots, times, strict=True))


def test_many_hits_are_added_up_in_steps_and_reported_once() -> None:
    tally, slots = Counters(lambda: None), [slot(f"default:{n}") for n in range(1000)]
    for each in slots:
        hit(tally, each)
    steps = len(tally.read_parts())
    assert steps == 4
    for _ in tally.read_parts():
        tally.settle()
        hit(tally, slots[0])  # again, after it was added up
    report, usage = tally.take_changes()
    assert report == {"hits": 1000 + steps}
    assert usage == {each.key: (1, 1000.0) for each in slots} | {"default:0": (steps + 1, 1000.0)}


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_not_added_up_before_is_when_it_is_taken(kept: bool) -> None:
    tally = Counters(lambda: None)
    for n in range(1000):
        hit(tally, slot(f"default:{n}", kept=kept))
    report, usage = tally.take_changes()
    assert report == {"hits": 1000}
    assert len(usage) == 1000
    assert tally.take_changes() == ({}, {})


def test_what_was_taken_is_not_counted_twice() -> None:
    tally, one = Counters(lambda: None), slot()
    hit(tally, one)
    tally.add("misses", 2)
    assert tally.take_changes()[0] == {"hits": 1, "misses": 2}
    assert tally.take_changes() == ({}, {})
    hit(tally, one)
    assert tally.take_changes() == ({"hits": 1}, {"default:k": (1, 1000.0)})


@pytest.mark.parametrize("kept", [True, False])
def test_slots_of_the_same_key_are_one_entry_to_the_store(kept: bool) -> None:
    tally = Counters(lambda: None)
    for at in (1.0, 2.0, 3.0):
        hit(tally, slot(cost=2.0, kept=kept), at)
    assert tally.take_changes() == ({"hits": 3, "seconds_saved": 6.0}, {"default:k": (3, 3.0)})
    assert tally.take_changes() == ({}, {})


@pytest.mark.parametrize("first_kept", [True, False])
def test_the_last_use_counts_in_whatever_order_they_are_added_up(first_kept: bool) -> None:
    tally = Counters(lambda: None)
    hit(tally, slot(kept=first_kept), 1.0)
    hit(tally, slot(kept=not first_kept), 2.0)
    assert tally.take_changes()[1] == {"default:k": (2, 2.0)}


def test_a_slot_that_is_not_kept_is_not_held_by_the_counting() -> None:
    tally, one = Counters(lambda: None), slot(kept=False)
    before = sys.getrefcount(one)
    hit(tally, one)
    assert sys.getrefcount(one) == before


def test_slots_that_left_the_tier_are_not_held_until_the_next_report() -> None:
    tally, queue = Counters(lambda: None), Fifo[MemoryEntry]()
    slots = [slot(f"default:{n}", kept=False) for n in range(1000)]
    before = [sys.getrefcount(made) for made in slots]
    for made in slots:
        queue.add(made)
        hit(tally, made)
        if len(queue) > 100:
            queue.evict()
    after = [sys.getrefcount(made) for made in slots]
    assert sum(now > then for now, then in zip(after, before, strict=True)) <= 400
    assert after[0] == before[0]
    assert tally.take_changes()[0] == {"hits": 1000}


def test_what_could_not_be_reported_is_counted_again() -> None:
    tally = Counters(lambda: None)
    tally.add("misses")
    report, _ = tally.take_changes()
    tally.add("misses")
    tally.restore_changes(report)
    assert tally.take_changes()[0] == {"misses": 2}


def test_the_first_hit_after_a_report_calls_for_the_next() -> None:
    calls, one = list[str](), slot()
    tally = Counters(lambda: calls.append("report"))
    for _ in range(3):
        hit(tally, one)
    assert len(calls) == 1
    tally.take_changes()
    hit(tally, one)
    assert len(calls) == 2
    tally.add("errors")
    assert len(calls) == 3


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("kept", [True, False], ids=["in the tier", "past the tier"])
def test_nothing_is_lost_among_thirty_two_threads(kept: bool) -> None:
    tally, shared = Counters(lambda: None), [slot(f"default:{n}") for n in range(5)]
    totals, per_key, rounds = Counter[str](), Counter[str](), 2000

    def work(number: int) -> None:
        for n in range(rounds):
            which = (n + number) % len(shared)
            hit(tally, shared[which] if kept else slot(f"default:{which}", kept=False))
            tally.add("misses")

    def collect() -> None:
        report, usage = tally.take_changes()
        totals.update({name: int(count) for name, count in report.items()})
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
