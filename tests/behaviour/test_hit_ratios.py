"""Hit ratios: every policy is compared on requests of the kind that it suits."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from aiocache_pe.eviction.adaptive import Adaptive
from aiocache_pe.eviction.bounded_map import BoundedMap
from tests.support.nodes import POLICIES, Node


def play(cache: BoundedMap[Node], requests: Sequence[str]) -> float:
    """Send requests to a cache and return its hit ratio."""
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


def play_on(policy: str, requests: Sequence[str], entries: int) -> float:
    return play(BoundedMap(POLICIES[policy](), max_entries=entries), requests)


def make_loop(length: int, rounds: int) -> list[str]:
    return [f"loop {n}" for n in range(length)] * rounds


def make_recent(count: int) -> list[str]:
    """Make requests in which each key occurs a few times within a short time, and never again."""
    rng = random.Random(7)
    return [f"recent {max(0, n - int(rng.expovariate(1 / 40)))}" for n in range(count)]


def make_popular(count: int) -> list[str]:
    """Make requests in which some keys are far more frequent than others."""
    rng = random.Random(8)
    return [f"popular {int(rng.paretovariate(0.7))}" for _ in range(count)]


@pytest.mark.parametrize("policy", ["adaptive", "lirs", "tinylfu"])
def test_a_loop_over_more_keys_than_the_cache_holds_gets_hits(policy: str) -> None:
    requests = make_loop(300, 40)
    assert play_on("lru", requests, 200) == 0
    assert play_on(policy, requests, 200) > 0.5


@pytest.mark.parametrize("policy", ["adaptive", "lfu", "lirs", "s3fifo", "tinylfu"])
def test_popular_entries_stay(policy: str) -> None:
    requests = make_popular(20_000)
    assert play_on(policy, requests, 100) > play_on("fifo", requests, 100) + 0.02


def test_adaptive_is_near_the_best_policy_on_every_kind_of_requests() -> None:
    for requests in (make_loop(300, 40), make_recent(20_000), make_popular(20_000)):
        best = max(play_on(name, requests, 100) for name in ("lru", "lfu", "s3fifo", "tinylfu"))
        assert play_on("adaptive", requests, 100) > best - 0.03


def test_adaptive_changes_its_policy_with_the_requests() -> None:
    cache = BoundedMap[Node](Adaptive(), max_entries=100)
    play(cache, make_loop(300, 40))
    requests = make_recent(20_000)
    play(cache, requests[:4000])
    later = requests[4000:]
    assert play(cache, later) > play_on("lru", later, 100) - 0.03


def test_adaptive_knows_the_best_policy_before_the_first_eviction() -> None:
    requests = make_recent(1500)
    best = max(play_on(name, requests, 250) for name in ("s3fifo", "lru"))
    assert play_on("lirs", requests, 250) < best - 0.02, "the first policy must not be the best"
    assert play_on("adaptive", requests, 250) > best - 0.01


def test_adaptive_starts_afresh_after_a_cache_that_was_never_full_is_cleared() -> None:
    cache = BoundedMap[Node](Adaptive(), max_entries=2000)
    play(cache, make_recent(1900))
    cache.clear()
    assert play(cache, make_recent(200)) > 0.3
    assert play(cache, make_loop(3000, 12)) > 0.4


def test_adaptive_learns_a_large_cache_from_a_sample() -> None:
    requests = make_loop(3000, 12)
    assert play_on("adaptive", requests, 2000) > 0.4


def test_adaptive_follows_when_larger_entries_leave_less_room() -> None:
    cache = BoundedMap[Node](Adaptive(), max_bytes=2000)
    play(cache, make_loop(3000, 3))
    for n in range(300):
        large = Node(f"large {n}", 100)
        assert cache.put(large)
        assert large.key in cache.nodes
        assert cache.total_size <= 2000


def test_more_hits_than_the_buffer_holds_do_no_harm() -> None:
    cache = BoundedMap[Node](Adaptive(), max_entries=10)
    play(cache, [f"{n % 5}" for n in range(5000)])
    assert play(cache, [f"{n}" for n in range(100)]) > 0


@pytest.mark.parametrize("policy", POLICIES)
def test_a_new_entry_is_never_evicted_by_its_own_write(policy: str) -> None:
    cache = BoundedMap(POLICIES[policy](), max_entries=5)
    for key in make_popular(3000):
        node = Node(key)
        cache.put(node)
        assert cache.nodes[key] is node
