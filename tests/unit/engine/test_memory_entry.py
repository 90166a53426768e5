"""The memory tier's slots hold what a hit needs, and no more."""

from __future__ import annotations

import math

import pytest

from aiocache_pe.engine import memory_entry as room
from aiocache_pe.engine.memory_entry import OVERHEAD, EncodedValue, MemoryEntry
from aiocache_pe.record import Head, Record, Savings
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING


def slot(head: Head, payload: bytes = b"1") -> MemoryEntry:
    return MemoryEntry(Record(head, payload, "stamp"))


def test_a_slot_knows_all_that_a_hit_asks() -> None:
    head = Head(1, "default:k", "json", 1.0, 5, expires_at=9.0, tags={"t": "1"}, cost=0.5)
    made = slot(head, b"[1,2]")
    assert isinstance(made.held, EncodedValue)
    assert (made.key, made.held.codec, made.held.payload) == ("default:k", "json", b"[1,2]")
    assert (made.stamp, made.expires_at, made.tags, made.cost) == ("stamp", 9.0, {"t": "1"}, 0.5)
    assert (made.hits, made.counted, made.admitted_at, made.used_at) == (0, 0, False, 0.0)


@pytest.mark.parametrize(
    ("expires_at", "stale_until", "told"),
    [(None, None, math.inf), (9.0, None, 9.0), (9.0, 20.0, 20.0), (9.0, 5.0, 9.0)],
)
def test_a_slot_is_never_stale_before_it_expires(
    expires_at: float | None, stale_until: float | None, told: float
) -> None:
    made = slot(Head(1, "default:k", "json", 1.0, 1, expires_at, stale_until=stale_until))
    assert made.expires_at == (math.inf if expires_at is None else expires_at)
    assert made.stale_until == told


def test_what_most_entries_have_none_of_is_none() -> None:
    plain = slot(Head(1, "default:k", "json", 1.0, 1))
    assert (plain.rare, plain.tags, plain.saves) == (None, None, None)
    saving = slot(Head(1, "default:k", "json", 1.0, 1, saves=Savings(1, 2, 3.0)))
    assert (saving.tags, saving.saves) == (None, Savings(1, 2, 3.0))


def test_what_was_written_together_shares_its_end() -> None:
    ends = [float(text) for text in ["1763877600.5"] * 200 + ["1763877660.25"]]
    made = [slot(Head(1, "default:k", "json", 1.0, 1, end)) for end in ends]
    assert [each.expires_at for each in made] == ends
    assert len({id(each.expires_at) for each in made}) <= 3


def test_ends_that_nobody_shares_take_no_room_for_long() -> None:
    for n in range(1000):
        assert slot(Head(1, "default:k", "json", 1.0, 1, 1000.5 + n)).expires_at == 1000.5 + n
    assert len(room._moments) <= 64


@pytest.mark.parametrize("size", [0, 1, 15, 16, 5000, 1 << 20])
def test_a_slot_weighs_its_value_and_key_and_what_it_takes_itself(size: int) -> None:
    exact = OVERHEAD + len("default:k") + size
    made = slot(Head(1, "default:k", "json", 1.0, size))
    assert exact <= made.size < exact + 16
    assert made.size % 16 == 0


def test_markers_are_false_and_say_what_they_are() -> None:
    assert [repr(marker) for marker in (MISSING, PENDING, DEFAULT)] == [
        "<missing>",
        "<pending>",
        "<default>",
    ]
    assert not any((MISSING, PENDING, DEFAULT))
