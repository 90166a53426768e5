"""Every verb has its blocking twin, under the same name and with the same signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import aiocache_pe
from aiocache_pe import sync

DIFFERS = {"keys": "Iterator[str]"}
"""What a verb returns where it is not simply the awaited result: an iterator, not an async one."""


def verbs(kind: type) -> list[str]:
    """The public methods of a class."""
    return sorted(
        name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")
    )


VERBS = verbs(aiocache_pe.CacheManager)


def parameters(function: Callable[..., Any]) -> list[tuple[str, object, object, object]]:
    return [
        (one.name, one.kind, one.default, one.annotation)
        for one in inspect.signature(function).parameters.values()
    ]


def test_the_twin_has_the_same_verbs_and_no_others() -> None:
    assert verbs(sync.CacheManager) == sorted([*VERBS, "of"])  # the twin of a manager
    assert len(VERBS) >= 23


@pytest.mark.parametrize("verb", [*VERBS, "__init__"])
def test_a_verb_takes_the_same_arguments(verb: str) -> None:
    theirs = parameters(getattr(aiocache_pe.CacheManager, verb))
    ours = parameters(getattr(sync.CacheManager, verb))
    if verb == "get_or_set":  # written out, as it computes in the caller's thread
        assert [one[:3] for one in ours] == [one[:3] for one in theirs]
    else:
        assert ours == theirs


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_blocks_and_says_so(verb: str) -> None:
    method = getattr(sync.CacheManager, verb)
    assert not inspect.iscoroutinefunction(method)
    assert not inspect.isasyncgenfunction(method)
    assert method.__name__ == verb
    assert (inspect.getdoc(method) or "").splitlines()[0].rstrip(":;").endswith((".", ":", ";"))


@pytest.mark.parametrize(
    "name",
    ["get_cache", "make_cache_key", "cached", "warm_cache", "most_hit", "file_digest", "keep_warm"],
)
def test_a_function_takes_the_same_arguments(name: str) -> None:
    assert parameters(getattr(sync, name)) == parameters(getattr(aiocache_pe, name))


def test_every_public_function_that_is_awaited_has_a_twin() -> None:
    awaited = {
        name
        for name in aiocache_pe.__all__
        if inspect.iscoroutinefunction(getattr(aiocache_pe, name))
    }
    assert awaited == {"file_digest", "warm_cache", "most_hit"}
    assert awaited <= set(sync.__all__)
    assert not any(inspect.iscoroutinefunction(getattr(sync, name)) for name in awaited)


def test_what_blocks_has_the_names_of_what_is_awaited() -> None:
    assert list(sync.__all__) == sorted(sync.__all__, key=lambda name: (name.islower(), name))
    assert set(sync.__all__) <= set(aiocache_pe.__all__)
