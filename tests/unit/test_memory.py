"""The memory tier's slots hold what a hit needs, and no more."""

from __future__ import annotations

import math

from aiocache_pe.memory import OVERHEAD, Slot
from aiocache_pe.record import Head, Record
from aiocache_pe.sentinels import DEFAULT, MISSING, PENDING


def test_a_slot_knows_all_that_a_hit_asks() -> None:
    head = Head(1, "default:k", "json", 1.0, 5, expires_at=9.0, tags={"t": "1"}, cost=0.5)
    slot = Slot(Record(head, b"[1,2]", "stamp"))
    assert (slot.key, slot.codec, slot.payload) == ("default:k", "json", b"[1,2]")
    assert (slot.stamp, slot.expires_at, slot.tags, slot.cost) == ("stamp", 9.0, {"t": "1"}, 0.5)
    assert (slot.value, slot.uses, slot.counted) == (MISSING, 0, 0)
    assert slot.size == OVERHEAD + len("default:k") + 5


def test_for_ever_is_later_than_any_time_and_no_tags_are_none() -> None:
    slot = Slot(Record(Head(1, "default:k", "json", 1.0, 1), b"1"))
    assert slot.expires_at == math.inf
    assert slot.tags is None


def test_a_shared_value_takes_the_place_of_its_payload() -> None:
    slot = Slot(Record(Head(1, "default:k", "json", 1.0, 1), b"1"))
    slot.share(1)
    assert (slot.value, slot.payload) == (1, b"")


def test_markers_are_false_and_say_what_they_are() -> None:
    assert [repr(marker) for marker in (MISSING, PENDING, DEFAULT)] == [
        "<missing>",
        "<pending>",
        "<default>",
    ]
    assert not any((MISSING, PENDING, DEFAULT))
