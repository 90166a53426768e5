"""Warming: what is stored, what is left alone, and what happens to calls that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import (
    CacheManager,
    ConfigurationError,
    WarmReport,
    cached,
    keep_warm,
    most_hit,
    warm_cache,
)
from aiocache_pe import sync as blocking
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.function_kinds import CallCounter, Kind, each_kind
from tests.support.polling import poll


@each_kind
async def test_a_warm_function_does_not_compute(memory: CacheManager, kind: Kind) -> None:
    counted = CallCounter()
    function = kind.decorate(counted.make_body(), ttl=10, cache=memory)
    report = await warm_cache(memory, [(function, (1,)), (function, (2,), {"b": 3})])
    assert (report.total, report.computed, report.present, report.failed) == (2, 2, 0, 0)
    await kind.get_result(await asyncio.to_thread(function, 1))
    await kind.get_result(await asyncio.to_thread(function, 2, b=3))
    assert sorted(counted.calls) == [1, 2]


@each_kind
async def test_what_is_there_is_not_computed_unless_asked(
    memory: CacheManager, kind: Kind, clock: FakeClock
) -> None:
    counted = CallCounter()
    calls = [(kind.decorate(counted.make_body(), ttl=10, cache=memory), (1,))]
    await warm_cache(memory, calls)
    assert (await warm_cache(memory, calls)).present == 1
    clock.advance(7)
    assert (await warm_cache(memory, calls, before_expiry=2)).present == 1
    assert (await warm_cache(memory, calls, before_expiry=4)).computed == 1
    assert (await warm_cache(memory, calls, refresh=True)).computed == 1
    assert len(counted.calls) == 3
    assert (await memory.get_stats()).hits == 0  # warming reads nothing for anybody


async def test_methods_and_partials_are_calls_too(memory: CacheManager) -> None:
    class Service:
        @cached(cache=memory)
        async def ask(self, what: str, *, loudly: bool = False) -> str:
            return what.upper() if loudly else what

    service = Service()
    report = await warm_cache(
        memory, [partial(service.ask, "why", loudly=True), (service.ask, ["how"])]
    )
    assert report.computed == 2
    assert await memory.get(service.ask.cache_key("why", loudly=True)) == "WHY"


async def test_keys_are_computed_by_factories_or_given(cache: CacheManager) -> None:
    async def later() -> int:
        return 2

    report = await warm_cache(cache, {"now": lambda: 1, "later": later, "value": [3]}, ttl=10)
    assert report.computed == 3
    assert await cache.get_many(["now", "later", "value"]) == {"now": 1, "later": 2, "value": [3]}
    assert await cache.get_ttl("later") == pytest.approx(10)
    assert (await warm_cache(cache, {"now": lambda: 9})).present == 1
    await warm_cache(cache, {"now": lambda: 9, "value": 4}, refresh=True)
    assert await cache.get_many(["now", "value"]) == {"now": 9, "value": 4}


async def test_one_that_fails_stops_no_other(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def divide(a: int, b: int) -> float:
        return a / b

    report = await warm_cache(memory, [(divide, (1, b)) for b in (0, 1, 2)], concurrency=1)
    assert (report.computed, report.failed) == (2, 1)
    [(words, error)] = report.failures
    assert words.endswith("divide(1, 0)")
    assert isinstance(error, ZeroDivisionError)


async def test_no_more_than_some_at_a_time(memory: CacheManager) -> None:
    running = most = 0

    async def work() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return 1

    await warm_cache(memory, {str(n): work for n in range(50)}, concurrency=3)
    assert most == 3


async def test_progress_is_told_after_each_call(memory: CacheManager) -> None:
    told = list[WarmReport]()
    await memory.set("b", 1)
    await warm_cache(memory, dict.fromkeys("abc", 0), concurrency=1, on_progress=told.append)
    assert [(report.done, report.total) for report in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1].present == 1


async def test_calls_may_come_as_they_are_made(memory: CacheManager) -> None:
    def some() -> Iterator[Any]:
        yield "a", 1

    async def others() -> AsyncIterator[Any]:
        yield "b", 2

    assert (await warm_cache(memory, some())).total == 1
    assert (await warm_cache(memory, others())).computed == 1
    assert await memory.get_many(["a", "b"]) == {"a": 1, "b": 2}


async def test_cancelled_it_stops_what_it_began(memory: CacheManager) -> None:
    stopped = asyncio.Event()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(warm_cache(memory, {"a": work}))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stopped.wait(), 10)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([1], "no call to warm a cache with"),
        ([(print, (1,))], "not decorated"),
        ([(1, 2, 3, 4)], "no call to warm a cache with"),
        (3, "list, a mapping or a path"),
    ],
)
async def test_what_is_no_call_is_refused_before_any_is_made(
    memory: CacheManager, calls: Any, said: str
) -> None:
    if isinstance(calls, list):
        calls = [("first", 1), *calls]
    with pytest.raises(TypeError, match=said):
        await warm_cache(memory, calls)
    assert not await memory.exists("first")


async def test_what_is_no_call_ends_an_iterator_s_warming(memory: CacheManager) -> None:
    with pytest.raises(TypeError, match="no call"):
        await warm_cache(memory, iter([("a", 1), 5]))


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "2"])
async def test_a_concurrency_that_means_nothing(memory: CacheManager, concurrency: Any) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        await warm_cache(memory, [], concurrency=concurrency)


async def test_arguments_that_are_none(memory: CacheManager) -> None:
    function = cached(cache=memory)(CallCounter().make_body())
    for call in [(function, "text"), (function, (), [1])]:
        with pytest.raises(TypeError, match="arguments"):
            await warm_cache(memory, [call])
    with pytest.raises(TypeError, match="CacheManager"):
        await warm_cache(object(), [])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_blocking_manager_will_do(memory: CacheManager) -> None:
    assert (await warm_cache(blocking.CacheManager.of(memory), {"a": 1})).computed == 1


async def test_the_most_hit_come_first_and_can_be_loaded(cache_dir: Path) -> None:
    async with CacheManager(directory=cache_dir) as cache:
        await cache.set_many(dict.fromkeys(("never", "once", "often", "other"), "x" * 100_000))
        for key in ("often", "once", "often", "other"):
            await cache.get(key)
    async with CacheManager(directory=cache_dir) as cache:
        keys = await most_hit(cache, 2, "o*")
        assert keys == ["often", "once"]
        report = await warm_cache(cache, [*keys, "absent"])
        assert (report.present, report.failed) == (2, 1)
        assert "no entry 'absent'" in str(report.failures[0][1])
        tier = cache.loader.namespace.engine.tier
        assert tier is not None
        assert len(tier.nodes) == 2


async def test_a_store_that_notes_no_reads_has_no_most_hit(memory: CacheManager) -> None:
    await memory.set("a", 1)
    await memory.get("a")
    assert await most_hit(CacheManager("null")) == []


async def test_kept_warm_an_entry_is_new_before_it_expires(clock: FakeClock) -> None:
    counted, waits = CallCounter(), list[float]()
    async with CacheManager("memory", clock=clock) as cache:
        function = cached(ttl=100, cache=cache)(counted.make_body())
        go = asyncio.Semaphore(0)

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await go.acquire()
            clock.advance(seconds)

        async with keep_warm(cache, [(function, (1,))], before_expiry=20, sleep=sleep):
            await poll(lambda: len(waits) == 1)
            go.release()
            await poll(lambda: len(waits) == 2)
        assert waits == [pytest.approx(80), pytest.approx(80)]
        assert counted.calls == [1, 1]


async def test_who_is_cancelled_while_rounds_come_to_their_end_is_cancelled(
    memory: CacheManager,
) -> None:
    resting, ending, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        resting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go.wait()

    async def use() -> None:
        async with keep_warm(memory, {"a": lambda: 1}, before_expiry=1, sleep=sleep):
            await resting.wait()

    task = asyncio.create_task(use())
    await ending.wait()
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_kept_warm_what_can_be_had_once_is_refused(memory: CacheManager) -> None:
    for once in (iter([("a", 1)]), partial):
        with pytest.raises(TypeError):
            async with keep_warm(memory, once, before_expiry=1):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                pass


async def test_a_file_of_calls(
    memory: CacheManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app_to_warm.py").write_text(
        "from aiocache_pe import cached\n"
        "class Of:\n"
        "    @staticmethod\n"
        "    @cached(backend='memory', namespace='warm')\n"
        "    async def double(number, plus=0):\n"
        "        return 2 * number + plus\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "calls.jsonl"
    path.write_text(
        "# what is asked every morning\n"
        '{"call": "app_to_warm:Of.double", "args": [21], "kwargs": {"plus": 1}}\n\n'
        '{"key": "greeting", "value": "hello", "ttl": "1h"}\n'
    )
    report = await warm_cache(memory, path)
    assert report.computed == report.total == 2, report
    assert await memory.get("greeting") == "hello"
    assert await memory.get_ttl("greeting") == pytest.approx(3600)
    assert (await warm_cache(memory, str(path))).present == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Expecting"),
        ("[]", "accepted are"),
        ('{"call": "os.path"}', "module:function"),
        ('{"call": "no_such_module:f"}', "no_such_module"),
        ('{"call": "os:no_such_thing"}', "no_such_thing"),
        ('{"call": "os:getcwd", "args": {}}', "args is a list"),
        ('{"key": "a"}', "accepted are"),
        ('{"key": "a", "value": 1, "ttl": "soon"}', "soon"),
        ('{"key": 1, "value": 1}', "key must be a str"),
        ('{"key": "a", "value": 1, "more": 1}', "accepted are"),
    ],
)
async def test_a_line_that_means_nothing_is_named(
    memory: CacheManager, tmp_path: Path, line: str, said: str
) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(f'{{"key": "first", "value": 1}}\n{line}\n')
    with pytest.raises(ConfigurationError, match=f"calls.jsonl, line 2: .*{said}"):
        await warm_cache(memory, path)
    assert not await memory.exists("first")


async def test_a_call_that_is_cancelled_by_itself_ends_no_other(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def function(number: int) -> int:
        if number == 1:
            raise asyncio.CancelledError
        return number

    report = await warm_cache(memory, [(function, (n,)) for n in range(4)], concurrency=1)
    assert (report.total, report.computed, report.failed) == (4, 3, 1)
    assert "was cancelled" in str(report.failures[0][1])
