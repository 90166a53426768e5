"""`bypass`, `refresh` and `read_only`: their effect on each kind of call, and their scope."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, cached, read_only, refresh
from tests.support.function_kinds import KINDS, CallCounter, Kind, each_kind


async def count_stored(cache: CacheManager) -> int:
    return (await cache.get_stats()).total_entries


@each_kind
async def test_bypassed_calls_read_nothing_and_store_nothing(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    with bypass():
        assert [await kind.get_result(count()) for _ in range(2)] == [1, 2]
    assert await count_stored(cache) == 0
    assert await kind.get_result(count()) == 3
    with bypass():
        assert await kind.get_result(count()) == 4
    assert await kind.get_result(count()) == 3
    assert count.cache_info()[:2] == (1, 1)


@each_kind
async def test_bypassed_calls_take_arguments_that_have_no_key(
    kind: Kind, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    with bypass():
        assert await kind.get_result(count(object())) == 1


@each_kind
async def test_refreshed_calls_compute_and_store(kind: Kind, cache: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    assert await kind.get_result(count()) == 1
    with refresh():
        assert [await kind.get_result(count()) for _ in range(2)] == [2, 3]
    assert await kind.get_result(count()) == 3
    assert count.cache_info()[:2] == (1, 3)


@each_kind
async def test_read_only_calls_use_stored_values_and_store_nothing(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    with read_only():
        assert [await kind.get_result(count()) for _ in range(2)] == [1, 2]
        assert await count_stored(cache) == 0
    assert await kind.get_result(count()) == 3
    with read_only():
        assert await kind.get_result(count()) == 3
    assert count.cache_info()[:2] == (1, 3)


@each_kind
async def test_the_innermost_block_decides(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    with refresh():
        with bypass():
            assert await kind.get_result(count()) == 2
            with read_only():
                assert await kind.get_result(count()) == 1
            assert await kind.get_result(count()) == 3
        assert await kind.get_result(count()) == 4
    assert await kind.get_result(count()) == 4


@each_kind
async def test_an_exception_ends_the_block(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    with pytest.raises(ValueError, match="of the block"), bypass():
        raise ValueError("of the block")
    assert [await kind.get_result(count()) for _ in range(2)] == [1, 1]


@each_kind
async def test_a_block_in_one_task_does_not_affect_another_task(
    kind: Kind, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    inside, done = asyncio.Event(), asyncio.Event()

    async def call_in_block() -> int:
        with bypass():
            inside.set()
            await done.wait()
            return int(await kind.get_result(count()))

    async def call_outside() -> int:
        await inside.wait()
        result = await kind.get_result(count())
        done.set()
        return int(result)

    assert list(await asyncio.gather(call_in_block(), call_outside())) == [2, 1]


@each_kind
async def test_a_task_created_in_the_block_keeps_the_mode_to_its_end(
    kind: Kind, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    with bypass():
        task = asyncio.ensure_future(
            kind.get_result(count()) if kind.is_stream else call_later(kind, count)
        )
    assert await task == 2
    assert await kind.get_result(count()) == 1


async def call_later(kind: Kind, count: Callable[..., Any]) -> Any:
    await asyncio.sleep(0)
    return await kind.get_result(count())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "async" not in kind.name])
async def test_the_block_applies_to_its_threads(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)

    def call() -> Any:
        result = count()
        return next(result) if kind.is_stream else result

    with bypass():
        assert [await asyncio.to_thread(call) for _ in range(2)] == [1, 2]
    assert await asyncio.to_thread(lambda: list(count()) if kind.is_stream else count())
    assert await count_stored(memory) == 1


async def test_the_mode_applies_to_functions_called_by_the_function(memory: CacheManager) -> None:
    calls = list[str]()

    @cached(cache=memory)
    def inner() -> str:
        calls.append("inner")
        return "inner"

    @cached(cache=memory)
    def outer() -> str:
        calls.append("outer")
        return inner()

    outer()
    with refresh():
        outer()
    assert calls == ["outer", "inner"] * 2


async def test_a_stream_has_the_mode_of_its_call_and_not_of_its_reading(
    memory: CacheManager,
) -> None:
    count = KINDS[1].decorate(CallCounter().make_body(), cache=memory)
    with bypass():
        stream = count()
    assert await KINDS[1].get_result(stream) == 1
    assert await count_stored(memory) == 0


@each_kind
@pytest.mark.parametrize("value", ["1", "true"])
async def test_the_environment_turns_all_caching_off(
    kind: Kind, value: str, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOCACHE_PE_DISABLE", value)
    async with CacheManager(directory=cache_dir) as cache:
        count = kind.decorate(CallCounter().make_body(), cache=cache)
        assert [await kind.get_result(count()) for _ in range(3)] == [1, 2, 3]
        assert await kind.get_result(count.invalidate()) is False
    assert not cache_dir.exists()
