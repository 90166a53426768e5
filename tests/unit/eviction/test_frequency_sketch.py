"""The frequency sketch: estimates that rise with requests and fade later."""

from __future__ import annotations

from aiocache_pe.eviction.frequency_sketch import FrequencySketch


def test_estimates_follow_requests_and_fade() -> None:
    sketch = FrequencySketch()
    for _ in range(8):
        sketch.increment("often", 1000)
    sketch.increment("once", 1000)
    assert [sketch.estimate(key) for key in ("often", "once", "never")] == [8, 1, 0]
    for n in range(10_000):
        sketch.increment(f"other {n}", 1000)
    assert sketch.estimate("often") < 8


def test_estimates_survive_the_growth_of_the_sketch() -> None:
    sketch = FrequencySketch()
    for _ in range(8):
        sketch.increment("often", 10)
    sketch.increment("other", 100_000)
    sketch.increment("other", 100_000)
    assert sketch.estimate("often") >= 4
