"""Order of the primaries in a scan, and the slots that they gain."""

from __future__ import annotations

from aiocache_pe.backends.redis.cluster import Primary, find_gained_slots, order_primaries

ONE, TWO, THREE = ("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)


def make_primary(node_id: str, *slots: int, **sources: int) -> Primary:
    """Return a primary that imports a slot from each of some nodes, by their ids."""
    imported = {slot: source for source, slot in sources.items()}
    return Primary(node_id, frozenset(slots), imported)


def test_the_owner_of_a_moving_slot_is_scanned_before_the_node_that_imports_it() -> None:
    primaries = {
        ONE: make_primary("one", 1, two=2),
        TWO: make_primary("two", 2, three=3),
        THREE: make_primary("three", 3),
    }
    assert order_primaries(primaries) == [THREE, TWO, ONE]


def test_a_node_of_a_cycle_is_scanned_after_both_owners() -> None:
    primaries = {ONE: make_primary("one", 1, two=2), TWO: make_primary("two", 2, one=1)}
    order = order_primaries(primaries)
    assert order in ([ONE, TWO, ONE], [TWO, ONE, TWO])


def test_a_slot_from_an_unknown_node_changes_no_order() -> None:
    primaries = {ONE: make_primary("one", 1, absent=2)}
    assert order_primaries(primaries) == [ONE]


def test_gained_slots_are_those_owned_or_imported_now_and_not_before() -> None:
    before = {ONE: make_primary("one", 1, 2), TWO: make_primary("two", 3)}
    now = {
        ONE: make_primary("one", 1),
        TWO: make_primary("two", 3, one=2),
        THREE: make_primary("3"),
    }
    assert find_gained_slots(before, now) == {TWO: {2}}
    assert find_gained_slots({}, before) == {ONE: {1, 2}, TWO: {3}}
