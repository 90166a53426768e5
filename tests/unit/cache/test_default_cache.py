"""All code of a process shares one manager for each store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiocache_pe import ConfigurationError, cached, get_cache
from aiocache_pe.cache import default_cache


@pytest.fixture(autouse=True)
def _forget_managers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = dict(default_cache._managers)
    default_cache._managers.clear()
    yield
    default_cache._managers.clear()
    default_cache._managers.update(before)


def test_equal_arguments_give_the_same_manager() -> None:
    assert get_cache() is get_cache()
    assert get_cache() is get_cache("file") is get_cache(backend="file")
    assert get_cache("memory") is not get_cache()
    assert "data/cache" in repr(get_cache())


def test_the_environment_selects_the_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOCACHE_PE_BACKEND", "memory")
    assert get_cache() is get_cache("memory")
    assert "MemoryBackend" in repr(get_cache())


def test_all_threads_share_one_manager() -> None:
    with ThreadPoolExecutor(16) as pool:
        managers = list(pool.map(lambda _: get_cache("memory"), range(200)))
    assert len({id(manager) for manager in managers}) == 1


@pytest.mark.parametrize("has_manager", [False, True])
def test_an_invalid_name_raises_with_and_without_a_manager(has_manager: bool) -> None:
    if has_manager:
        get_cache()
    for name in ("", "disk"):
        with pytest.raises(ConfigurationError, match=f"backend must be one of .*; got '{name}'$"):
            get_cache(name)
    with pytest.raises(ConfigurationError, match="the scheme of a Redis URL must be one of"):
        get_cache(redis_url="host:6379")


async def test_decorated_functions_use_the_shared_manager() -> None:
    @cached(backend="memory")
    async def function() -> int:
        return 1

    await function()
    assert [key async for key in get_cache("memory").keys("*")] != []
    assert os.listdir() == []  # noqa: PTH208 - the working directory stays empty
