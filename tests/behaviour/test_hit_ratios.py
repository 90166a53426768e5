"""What each policy is for, shown on requests of that kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice

import pytest

from aiocache_pe.eviction.adaptive import Adaptive
from aiocache_pe.eviction.bounded_map import BoundedMap
from aiocache_pe.eviction.frequency_sketch import FrequencySketch
from aiocache_pe.eviction.ghost_entries import NUMBER_BITS, GhostEntries, compute_age
from tests.support.nodes import POLICIES, Node


def hit_ratio(cache: BoundedMap[Node], requests: Sequence[str]) -> float:
    hits = 0
    for key in requests:
        node = cache.nodes.get(key)
        if node is None:
            cache.put(Node(key))
            continue
        hits += 1
        node.hits += 1
        if cache.on_hit is not None:
            cache.on_hit(node)
    return hits / len(requests)


def played(policy: str, requests: Sequence[str], entries: int) -> float:
    return hit_ratio(BoundedMap(POLICIES[policy](), max_entries=entries), requests)


def loop(length: int, rounds: int) -> list[str]:
    return [f"loop {n}" for n in range(length)] * rounds


def recent(count: int) -> list[str]:
    """Each key is asked for a few times in a short while, and never again."""
    chance = random.Random(7)
    return [f"recent {max(0, n - int(chance.expovariate(1 / 40)))}" for n in range(count)]


def popular(count: int) -> list[str]:
    chance = random.Random(8)
    return [f"popular {int(chance.paretovariate(0.7))}" for _ in range(count)]


@pytest.mark.parametrize("policy", ["adaptive", "lirs", "tinylfu"])
def test_a_loop_longer_than_the_cache_keeps_a_part_of_itself(policy: str) -> None:
    requests = loop(300, 40)
    assert played("lru", requests, 200) == 0
    assert played(policy, requests, 200) > 0.5


@pytest.mark.parametrize("policy", ["adaptive", "lfu", "lirs", "s3fifo", "tinylfu"])
def test_what_is_popular_stays(policy: str) -> None:
    requests = popular(20_000)
    assert played(policy, requests, 100) > played("fifo", requests, 100) + 0.02


def test_the_default_is_near_the_best_whatever_is_asked() -> None:
    for requests in (loop(300, 40), recent(20_000), popular(20_000)):
        best = max(played(name, requests, 100) for name in ("lru", "lfu", "s3fifo", "tinylfu"))
        assert played("adaptive", requests, 100) > best - 0.03


def test_the_default_changes_when_the_requests_do() -> None:
    cache = BoundedMap[Node](Adaptive(), max_entries=100)
    hit_ratio(cache, loop(300, 40))
    requests = recent(20_000)
    hit_ratio(cache, requests[:4000])
    later = requests[4000:]
    assert (
        hit_ratio(cache, later)
        > hit_ratio(BoundedMap(POLICIES["lru"](), max_entries=100), later) - 0.03
    )


def test_the_default_knows_who_is_best_before_anything_has_to_go() -> None:
    requests = recent(1500)
    best = max(played(name, requests, 250) for name in ("s3fifo", "lru"))
    assert played("lirs", requests, 250) < best - 0.02  # with which it begins
    assert played("adaptive", requests, 250) > best - 0.01


def test_the_default_begins_anew_when_a_cache_that_was_never_full_is_emptied() -> None:
    cache = BoundedMap[Node](Adaptive(), max_entries=2000)
    hit_ratio(cache, recent(1900))
    cache.clear()
    assert hit_ratio(cache, recent(200)) > 0.3
    assert hit_ratio(cache, loop(3000, 12)) > 0.4


def test_the_default_learns_a_large_cache_from_a_sample() -> None:
    requests = loop(3000, 12)
    assert played("adaptive", requests, 2000) > 0.4


def test_the_default_follows_when_room_gets_scarce() -> None:
    cache = BoundedMap[Node](Adaptive(), max_bytes=2000)
    hit_ratio(cache, loop(3000, 3))
    for n in range(300):
        heavy = Node(f"heavy {n}", 100)
        assert cache.put(heavy)
        assert heavy.key in cache.nodes
        assert cache.total_size <= 2000


def test_more_hits_than_are_remembered_do_no_harm() -> None:
    cache = BoundedMap[Node](Adaptive(), max_entries=10)
    hit_ratio(cache, [f"{n % 5}" for n in range(5000)])
    assert hit_ratio(cache, [f"{n}" for n in range(100)]) > 0


@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_just_written_is_never_what_goes(policy: str) -> None:
    cache = BoundedMap(POLICIES[policy](), max_entries=5)
    for key in islice(popular(3000), 3000):
        node = Node(key)
        cache.put(node)
        assert cache.nodes[key] is node


def test_ghosts_are_known_once_and_by_when_they_went() -> None:
    ghosts = GhostEntries()
    for n in range(1000):
        ghosts.add(str(n), n, 100)
    took = [ghosts.take(str(n)) for n in range(1000)]
    assert sum(gone not in (None, n) for n, gone in enumerate(took)) < 25  # 4, on average
    assert sum(gone is not None for gone in took[900:]) > 80
    assert sum(ghosts.take(str(n)) is not None for n in range(1000)) < 25


def test_a_ghosts_number_is_not_too_old_when_its_bits_are_used_up() -> None:
    ghosts, now = GhostEntries(), (1 << NUMBER_BITS) + 5
    ghosts.add("a", now - 10, 1)
    then = ghosts.take("a")
    assert then is not None
    assert compute_age(then, now) == 10


def test_a_sketch_counts_what_is_asked_and_forgets_it() -> None:
    sketch = FrequencySketch()
    for _ in range(8):
        sketch.increment("often", 1000)
    sketch.increment("once", 1000)
    assert [sketch.estimate(key) for key in ("often", "once", "never")] == [8, 1, 0]
    for n in range(10_000):
        sketch.increment(f"other {n}", 1000)
    assert sketch.estimate("often") < 8


def test_a_sketch_keeps_its_counts_when_it_grows() -> None:
    sketch = FrequencySketch()
    for _ in range(8):
        sketch.increment("often", 10)
    sketch.increment("other", 100_000)
    sketch.increment("other", 100_000)
    assert sketch.estimate("often") >= 4
