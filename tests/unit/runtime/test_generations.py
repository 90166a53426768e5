"""Generations: a change raises those of its keys, and of no others."""

from __future__ import annotations

import gc
import threading

from aiocache_pe.keys.glob import compile_glob
from aiocache_pe.runtime.generations import Generations


def test_a_change_raises_the_generations_of_its_key_only() -> None:
    generations = Generations()
    one, again, other = (generations.begin(f"default:{name}") for name in "aab")
    generations.raise_keys(["default:a", "default:absent"])
    assert (one.is_raised, again.is_raised, other.is_raised) == (True, True, False)
    assert not generations.begin("default:a").is_raised


def test_a_pattern_raises_matching_keys_of_one_area_only() -> None:
    generations = Generations()
    keys = ["default:v:1", "default:w:1", "other:v:1"]
    begun = [generations.begin(key) for key in keys]
    generations.raise_matching("default:", compile_glob("v:*"))
    assert [each.is_raised for each in begun] == [True, False, False]
    generations.raise_matching("default:", None)
    assert [each.is_raised for each in begun] == [True, True, False]


def test_a_tag_raises_the_keys_that_carry_it() -> None:
    generations = Generations()
    tagged = generations.begin("default:a", ("red", "blue"))
    others = [generations.begin("default:b", ("red",)), generations.begin("other:c", ("blue",))]
    generations.raise_tagged("default:", ["blue", "green"])
    assert tagged.is_raised
    assert not any(each.is_raised for each in others)


def test_a_generation_disappears_with_its_computation() -> None:
    generations = Generations()
    kept = [generations.begin(f"default:{number}") for number in range(1000)]
    assert sum(map(len, generations._buckets)) == 1000
    del kept[10:]
    gc.collect()
    assert sum(map(len, generations._buckets)) == 10


def test_no_change_is_missed_beside_other_threads() -> None:
    generations = Generations()
    is_done = threading.Event()

    def begin_and_forget() -> None:
        while not is_done.is_set():
            generations.begin("default:a")

    threads = [threading.Thread(target=begin_and_forget) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        generation = generations.begin("default:a")
        generations.raise_keys(["default:a"])
        assert generation.is_raised
    is_done.set()
    for thread in threads:
        thread.join()
