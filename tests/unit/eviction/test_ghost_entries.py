"""Ghost entries: a small memory of evicted keys, which forgets some and confuses few."""

from __future__ import annotations

from aiocache_pe.eviction.ghost_entries import NUMBER_BITS, GhostEntries, compute_age


def test_ghosts_are_returned_once_with_their_number() -> None:
    ghosts = GhostEntries()
    for n in range(1000):
        ghosts.add(str(n), n, 100)
    numbers = [ghosts.take(str(n)) for n in range(1000)]
    assert sum(number not in (None, n) for n, number in enumerate(numbers)) < 25  # 4 on average
    assert sum(number is not None for number in numbers[900:]) > 80
    assert sum(ghosts.take(str(n)) is not None for n in range(1000)) < 25


def test_the_age_of_a_ghost_is_right_after_an_overflow_of_its_number() -> None:
    ghosts, now = GhostEntries(), (1 << NUMBER_BITS) + 5
    ghosts.add("a", now - 10, 1)
    then = ghosts.take("a")
    assert then is not None
    assert compute_age(then, now) == 10
