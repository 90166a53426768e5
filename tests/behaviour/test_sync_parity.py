"""Blocking counterparts of all async functions: the same names and signatures."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import aiocache_pe
from aiocache_pe import sync

DIFFERS = {"keys": "Iterator[str]"}
"""Return types that differ from the awaited result: an iterator instead of an async iterator."""


def list_methods(kind: type) -> list[str]:
    """Return the names of the public methods of a class."""
    return sorted(
        name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")
    )


METHODS = list_methods(aiocache_pe.CacheManager)


def list_parameters(function: Callable[..., Any]) -> list[tuple[str, object, object, object]]:
    return [
        (one.name, one.kind, one.default, one.annotation)
        for one in inspect.signature(function).parameters.values()
    ]


def test_the_blocking_manager_has_the_same_methods() -> None:
    # `of` makes the counterpart of a manager.
    assert list_methods(sync.CacheManager) == sorted([*METHODS, "of"])
    assert len(METHODS) >= 23


@pytest.mark.parametrize("method", [*METHODS, "__init__"])
def test_a_method_takes_the_same_arguments(method: str) -> None:
    theirs = list_parameters(getattr(aiocache_pe.CacheManager, method))
    ours = list_parameters(getattr(sync.CacheManager, method))
    if method == "get_or_set":  # has its own signature, because it computes in the caller's thread
        assert [one[:3] for one in ours] == [one[:3] for one in theirs]
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", METHODS)
def test_a_blocking_method_is_no_coroutine_function_and_has_a_docstring(name: str) -> None:
    method = getattr(sync.CacheManager, name)
    assert not inspect.iscoroutinefunction(method)
    assert not inspect.isasyncgenfunction(method)
    assert method.__name__ == name
    assert (inspect.getdoc(method) or "").splitlines()[0].rstrip(":;").endswith((".", ":", ";"))


@pytest.mark.parametrize(
    "name",
    ["get_cache", "make_cache_key", "cached", "warm_cache", "most_hit", "file_digest", "keep_warm"],
)
def test_a_function_takes_the_same_arguments(name: str) -> None:
    assert list_parameters(getattr(sync, name)) == list_parameters(getattr(aiocache_pe, name))


def test_every_public_async_function_has_a_blocking_counterpart() -> None:
    awaited = {
        name
        for name in aiocache_pe.__all__
        if inspect.iscoroutinefunction(getattr(aiocache_pe, name))
    }
    assert awaited == {"file_digest", "warm_cache", "most_hit"}
    assert awaited <= set(sync.__all__)
    assert not any(inspect.iscoroutinefunction(getattr(sync, name)) for name in awaited)


def test_the_blocking_module_has_the_names_of_the_package() -> None:
    assert set(sync.__all__) == {*aiocache_pe.__all__, "FileBackend", "RedisBackend"}
    assert all(getattr(sync, name).__module__.startswith("aiocache_pe.") for name in sync.__all__)
    with pytest.raises(
        AttributeError, match=r"module .aiocache_pe\.sync. has no attribute .nothing."
    ):
        sync.nothing  # type: ignore[attr-defined] # noqa: B018 - must raise


def test_importing_the_blocking_module_imports_no_client_of_redis() -> None:
    code = "import sys, aiocache_pe.sync; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
