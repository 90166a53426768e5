"""Memory entries hold the facts that a hit needs, and little else."""

from __future__ import annotations

import math

import pytest

from aiocache_pe.engine import memory_entry
from aiocache_pe.engine.memory_entry import ENTRY_OVERHEAD, EncodedValue, MemoryEntry
from aiocache_pe.record import Head, Record, Savings


def make_entry(head: Head, payload: bytes = b"1") -> MemoryEntry:
    return MemoryEntry(Record(head, payload, "stamp"))


def test_an_entry_has_all_facts_of_a_hit() -> None:
    head = Head(1, "default:k", "json", 1.0, 5, expires_at=9.0, tags={"t": "1"}, cost=0.5)
    entry = make_entry(head, b"[1,2]")
    content = entry.content
    assert isinstance(content, EncodedValue)
    assert (entry.key, content.codec, content.payload) == ("default:k", "json", b"[1,2]")
    assert (entry.stamp, entry.expires_at, entry.cost) == ("stamp", 9.0, 0.5)
    assert entry.extras is not None
    assert entry.extras.tags == {"t": "1"}
    assert (entry.hits, entry.counted_hits, entry.last_access) == (0, 0, 0.0)
    assert not entry.is_in_tier


@pytest.mark.parametrize(
    ("expires_at", "stale_until", "expected"),
    [(None, None, math.inf), (9.0, None, 9.0), (9.0, 20.0, 20.0), (9.0, 5.0, 9.0)],
)
def test_stale_serving_never_ends_before_expiry(
    expires_at: float | None, stale_until: float | None, expected: float
) -> None:
    entry = make_entry(Head(1, "default:k", "json", 1.0, 1, expires_at, stale_until=stale_until))
    assert entry.expires_at == (math.inf if expires_at is None else expires_at)
    assert entry.stale_until == expected


def test_rare_facts_take_no_memory_in_entries_without_them() -> None:
    plain = make_entry(Head(1, "default:k", "json", 1.0, 1))
    assert (plain.extras, plain.saves) == (None, None)
    saving = make_entry(Head(1, "default:k", "json", 1.0, 1, saves=Savings(1, 2, 3.0)))
    assert saving.saves == Savings(1, 2, 3.0)


def test_entries_written_together_share_the_object_of_their_expiry() -> None:
    times = [float(text) for text in ["1763877600.5"] * 200 + ["1763877660.25"]]
    entries = [make_entry(Head(1, "default:k", "json", 1.0, 1, time)) for time in times]
    assert [entry.expires_at for entry in entries] == times
    assert len({id(entry.expires_at) for entry in entries}) <= 3


def test_entries_share_the_name_of_their_codec() -> None:
    codecs = [b"pickle+hmac".decode() for _ in range(2)]  # two objects, as of two records
    contents = [make_entry(Head(1, "default:k", codec, 1.0, 1)).content for codec in codecs]
    assert contents[0].codec is contents[1].codec
    for n in range(1000):
        make_entry(Head(1, "default:k", f"codec {n}", 1.0, 1))
    assert len(memory_entry._shared_codecs) <= 64


def test_times_without_a_second_user_are_not_kept() -> None:
    for n in range(1000):
        entry = make_entry(Head(1, "default:k", "json", 1.0, 1, 1000.5 + n))
        assert entry.expires_at == 1000.5 + n
    assert len(memory_entry._shared_times) <= 64


@pytest.mark.parametrize("size", [0, 1, 15, 16, 5000, 1 << 20])
def test_the_size_covers_payload_key_and_overhead(size: int) -> None:
    exact = ENTRY_OVERHEAD + len("default:k") + size
    entry = make_entry(Head(1, "default:k", "json", 1.0, size))
    assert exact <= entry.size < exact + 16
    assert entry.size % 16 == 0
