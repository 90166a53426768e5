"""Who wants what is being computed waits for it, and does not look into the store first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, cached
from aiocache_pe.engine.engine import Engine
from tests.support.factories import Factory, get_outcome
from tests.support.polling import poll

CALLERS = 50


@pytest.fixture
def factory() -> Factory:
    factory = Factory(lambda number: [number])
    factory.hold()
    return factory


def engine_of(cache: CacheManager) -> Engine:
    return cache._shared.engine


async def test_of_many_callers_only_the_one_who_computes_looks_into_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    before: list[int] = []
    async with CacheManager(directory=tmp_path) as cache:
        engine = engine_of(cache)
        peek = engine._peek

        def counted(key: str) -> Any:
            looks.append(key)
            return peek(key)

        monkeypatch.setattr(engine, "_peek", counted)

        @cached(cache=cache, ttl=60)
        async def ask(prompt: str) -> list[str]:
            await asyncio.sleep(0)
            before.append(len(looks))
            return [prompt]

        answers = await asyncio.gather(*(ask("why") for _ in range(CALLERS)))
        assert answers == [["why"]] * CALLERS
        assert len({id(answer) for answer in answers}) == CALLERS
        # Of all of them one looked, before it asked for the lease and with it in hand.
        assert before[0] <= 2
        assert len(before) == 1
        assert not engine.in_flight


async def test_a_read_meanwhile_finds_nothing_and_does_not_wait(
    tmp_path: Path, factory: Factory
) -> None:
    async with CacheManager(directory=tmp_path) as cache:
        call = asyncio.create_task(cache.get_or_set("k", factory))
        await poll(lambda: factory.running)
        assert await cache.get("k", "nothing") == "nothing"
        assert not await cache.exists("k")
        await cache.set("other", 1)
        assert await cache.get("other") == 1
        factory.release()
        assert await call == [1]
        assert await cache.get("k") == [1]


async def test_what_another_wrote_meanwhile_is_read_by_get(
    tmp_path: Path, factory: Factory
) -> None:
    async with CacheManager(directory=tmp_path) as cache, CacheManager(directory=tmp_path) as other:
        call = asyncio.create_task(cache.get_or_set("k", factory))
        await poll(lambda: factory.running)
        await other.set("k", "theirs")
        assert await cache.get("k") == "theirs"
        factory.release()
        await call


@pytest.mark.parametrize("end", ["fails", "is cancelled"])
async def test_a_computation_that_comes_to_nothing_leaves_no_mark(
    tmp_path: Path, factory: Factory, end: str
) -> None:
    async with CacheManager(directory=tmp_path) as cache:
        call = asyncio.create_task(cache.get_or_set("k", factory))
        await poll(lambda: factory.running)
        assert engine_of(cache).in_flight == {"default:k"}
        if end == "fails":
            factory.error = RuntimeError("no answer")
            factory.release()
        else:
            call.cancel()
        await get_outcome(call)
        await poll(lambda: not engine_of(cache).in_flight)


async def test_one_cancelled_before_it_began_leaves_no_mark(tmp_path: Path) -> None:
    async with CacheManager(directory=tmp_path) as cache:
        call = asyncio.create_task(cache.get_or_set("k", lambda: 1))
        await asyncio.sleep(0)  # it has asked, and its work has had no turn
        call.cancel()
        await get_outcome(call)
        await poll(lambda: not engine_of(cache).in_flight)
        assert await cache.get_or_set("k", lambda: 2) == 2
