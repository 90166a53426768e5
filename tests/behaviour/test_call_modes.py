"""`bypass`, `refresh` and `read_only`: what they make each kind of call do, and whose calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, bypass, cached, read_only, refresh
from tests.support.function_kinds import KINDS, CallCounter, Kind, each_kind


async def stored(cache: CacheManager) -> int:
    return (await cache.get_stats()).total_entries


@each_kind
async def test_bypassed_calls_read_nothing_and_store_nothing(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    with bypass():
        assert [await kind.get_result(count()) for _ in range(2)] == [1, 2]
    assert await stored(cache) == 0
    assert await kind.get_result(count()) == 3
    with bypass():
        assert await kind.get_result(count()) == 4
    assert await kind.get_result(count()) == 3
    assert count.cache_info() == (1, 1)


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
    assert count.cache_info() == (1, 3)


@each_kind
async def test_reading_calls_use_what_is_stored_and_store_nothing(
    kind: Kind, cache: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=cache)
    with read_only():
        assert [await kind.get_result(count()) for _ in range(2)] == [1, 2]
        assert await stored(cache) == 0
    assert await kind.get_result(count()) == 3
    with read_only():
        assert await kind.get_result(count()) == 3
    assert count.cache_info() == (1, 3)


@each_kind
async def test_the_innermost_block_counts(kind: Kind, memory: CacheManager) -> None:
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
async def test_an_exception_ends_the_block_as_well(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    with pytest.raises(ValueError, match="of the block"), bypass():
        raise ValueError("of the block")
    assert [await kind.get_result(count()) for _ in range(2)] == [1, 1]


@each_kind
async def test_of_two_tasks_at_once_only_one_is_steered(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    inside, done = asyncio.Event(), asyncio.Event()

    async def steered() -> int:
        with bypass():
            inside.set()
            await done.wait()
            return int(await kind.get_result(count()))

    async def free() -> int:
        await inside.wait()
        result = await kind.get_result(count())
        done.set()
        return int(result)

    assert list(await asyncio.gather(steered(), free())) == [2, 1]


@each_kind
async def test_tasks_begun_in_the_block_are_steered_to_their_end(
    kind: Kind, memory: CacheManager
) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)
    assert await kind.get_result(count()) == 1
    with bypass():
        task = asyncio.ensure_future(
            kind.get_result(count()) if kind.is_stream else later(kind, count)
        )
    assert await task == 2
    assert await kind.get_result(count()) == 1


async def later(kind: Kind, count: Callable[..., Any]) -> Any:
    await asyncio.sleep(0)
    return await kind.get_result(count())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "async" not in kind.name])
async def test_the_block_holds_in_its_threads(kind: Kind, memory: CacheManager) -> None:
    count = kind.decorate(CallCounter().make_body(), cache=memory)

    def call() -> Any:
        made = count()
        return next(made) if kind.is_stream else made

    with bypass():
        assert [await asyncio.to_thread(call) for _ in range(2)] == [1, 2]
    assert await asyncio.to_thread(lambda: list(count()) if kind.is_stream else count())
    assert await stored(memory) == 1


async def test_a_function_called_by_a_steered_one_is_steered(memory: CacheManager) -> None:
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


async def test_a_stream_is_steered_by_where_it_was_called_not_by_where_it_is_read(
    memory: CacheManager,
) -> None:
    count = KINDS[1].decorate(CallCounter().make_body(), cache=memory)
    with bypass():
        stream = count()
    assert await KINDS[1].get_result(stream) == 1
    assert await stored(memory) == 0


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
