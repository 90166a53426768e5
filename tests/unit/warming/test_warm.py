"""Warming: computed and existing entries, invalid calls, and calls that fail."""

from __future__ import annotations

import asyncio
import json
import math
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
from aiocache_pe.warming.call_file import KnownValue
from tests.support.function_kinds import CallCounter, Kind, each_kind
from tests.support.polling import poll


@each_kind
async def test_a_warmed_function_does_not_compute(memory: CacheManager, kind: Kind) -> None:
    counted = CallCounter()
    function = kind.decorate(counted.make_body(), ttl=10, cache=memory)
    report = await warm_cache(memory, [(function, (1,)), (function, (2,), {"b": 3})])
    assert (report.total, report.computed, report.present, report.failed) == (2, 2, 0, 0)
    await kind.get_result(await asyncio.to_thread(function, 1))
    await kind.get_result(await asyncio.to_thread(function, 2, b=3))
    assert sorted(counted.calls) == [1, 2]


@each_kind
async def test_existing_entries_are_not_computed_unless_requested(
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
    assert (await memory.get_stats()).hits == 0  # warming does not count as a read


async def test_methods_and_partials_are_calls(memory: CacheManager) -> None:
    class Service:
        @cached(cache=memory)
        async def ask(self, question: str, *, upper: bool = False) -> str:
            return question.upper() if upper else question

    service = Service()
    report = await warm_cache(
        memory, [partial(service.ask, "why", upper=True), (service.ask, ["how"])]
    )
    assert report.computed == 2
    assert await memory.get(service.ask.cache_key("why", upper=True)) == "WHY"


async def test_entries_by_key_have_a_factory_or_a_value(cache: CacheManager) -> None:
    async def compute() -> int:
        return 2

    report = await warm_cache(cache, {"sync": lambda: 1, "async": compute, "value": [3]}, ttl=10)
    assert report.computed == 3
    assert await cache.get_many(["sync", "async", "value"]) == {"sync": 1, "async": 2, "value": [3]}
    assert await cache.get_ttl("async") == pytest.approx(10)
    assert (await warm_cache(cache, {"sync": lambda: 9})).present == 1
    await warm_cache(cache, {"sync": lambda: 9, "value": 4}, refresh=True)
    assert await cache.get_many(["sync", "value"]) == {"sync": 9, "value": 4}


async def test_a_failed_call_does_not_stop_the_others(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def divide(a: int, b: int) -> float:
        return a / b

    report = await warm_cache(memory, [(divide, (1, b)) for b in (0, 1, 2)], concurrency=1)
    assert (report.computed, report.failed) == (2, 1)
    [(description, error)] = report.failures
    assert description.endswith("divide(1, 0)")
    assert isinstance(error, ZeroDivisionError)


async def test_concurrency_limits_the_simultaneous_calls(memory: CacheManager) -> None:
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


async def test_progress_is_reported_after_each_call(memory: CacheManager) -> None:
    reports = list[WarmReport]()
    await memory.set("b", 1)
    await warm_cache(memory, dict.fromkeys("abc", 0), concurrency=1, on_progress=reports.append)
    assert [(report.done, report.total) for report in reports] == [(1, 3), (2, 3), (3, 3)]
    assert reports[-1].present == 1


async def test_calls_may_be_an_iterator_or_an_async_iterator(memory: CacheManager) -> None:
    def iter_calls() -> Iterator[Any]:
        yield "a", 1

    async def iter_calls_async() -> AsyncIterator[Any]:
        yield "b", 2

    assert (await warm_cache(memory, iter_calls())).total == 1
    assert (await warm_cache(memory, iter_calls_async())).computed == 1
    assert await memory.get_many(["a", "b"]) == {"a": 1, "b": 2}


async def test_cancelling_the_warming_cancels_its_calls(memory: CacheManager) -> None:
    stopped = asyncio.Event()
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(warm_cache(memory, {"a": work}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stopped.wait(), 10)


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([1], "a call to warm must be .*; got 1"),
        (
            [(print, (1,))],
            "only a function decorated with @cached .* got <built-in function print>",
        ),
        ([(1, 2, 3, 4)], r"a call to warm must be .*; got \(1, 2, 3, 4\)"),
        (3, "calls must be a list, a mapping, an iterable or a path; got int"),
    ],
)
async def test_invalid_calls_in_a_list_are_refused_before_any_call_is_made(
    memory: CacheManager, calls: Any, message: str
) -> None:
    if isinstance(calls, list):
        calls = [("first", 1), *calls]
    with pytest.raises(TypeError, match=message):
        await warm_cache(memory, calls)
    assert not await memory.exists("first")


async def test_an_invalid_call_of_an_iterator_ends_the_warming(memory: CacheManager) -> None:
    with pytest.raises(TypeError, match="a call to warm must be"):
        await warm_cache(memory, iter([("a", 1), 5]))


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "2"])
async def test_an_invalid_concurrency_is_refused(memory: CacheManager, concurrency: Any) -> None:
    with pytest.raises(ValueError, match="concurrency must be an int of at least 1"):
        await warm_cache(memory, [], concurrency=concurrency)


async def test_invalid_arguments_are_refused(memory: CacheManager) -> None:
    function = cached(cache=memory)(CallCounter().make_body())
    for call in [(function, "text"), (function, (), [1])]:
        with pytest.raises(TypeError, match=r"arguments of .* must be a"):
            await warm_cache(memory, [call])
    with pytest.raises(TypeError, match="CacheManager"):
        await warm_cache(object(), [])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_blocking_manager_is_accepted(memory: CacheManager) -> None:
    assert (await warm_cache(blocking.CacheManager.of(memory), {"a": 1})).computed == 1


async def test_the_most_hit_keys_come_first_and_can_be_loaded(cache_dir: Path) -> None:
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


async def test_a_store_that_counts_no_reads_has_no_most_hit_keys(memory: CacheManager) -> None:
    await memory.set("a", 1)
    await memory.get("a")
    assert await most_hit(CacheManager("null")) == []


async def test_keep_warm_recomputes_an_entry_before_it_expires(clock: FakeClock) -> None:
    counted, waits = CallCounter(), list[float]()
    async with CacheManager("memory", clock=clock) as cache:
        function = cached(ttl=100, cache=cache)(counted.make_body())
        may_wake = asyncio.Semaphore(0)

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await may_wake.acquire()
            clock.advance(seconds)

        async with keep_warm(cache, [(function, (1,))], before_expiry=20, sleep=sleep):
            await poll(lambda: len(waits) == 1)
            may_wake.release()
            await poll(lambda: len(waits) == 2)
        assert waits == [pytest.approx(80), pytest.approx(80)]
        assert counted.calls == [1, 1]


async def test_a_task_that_is_cancelled_while_the_rounds_end_is_cancelled(
    memory: CacheManager,
) -> None:
    sleeping, ending, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        sleeping.set()
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()

    async def use() -> None:
        async with keep_warm(memory, {"a": lambda: 1}, before_expiry=1, sleep=sleep):
            await sleeping.wait()

    task = asyncio.create_task(use())
    await ending.wait()
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("before_expiry", [60, "2 min", math.inf])
async def test_keep_warm_refuses_a_time_before_expiry_beyond_the_lifetime(
    before_expiry: Any, memory: CacheManager
) -> None:
    @cached(ttl="1m", cache=memory)
    async def function(number: int) -> int:
        raise AssertionError("the function must not be called")

    message = r"before_expiry must be shorter than the ttl of .*, which is 60 s; got "
    forms: list[Any] = [[(function, (1,))], {"key": function}, [KnownValue("key", 1, "60s")]]
    for calls in forms:
        with pytest.raises(ConfigurationError, match=message):
            async with keep_warm(memory, calls, ttl="1m", before_expiry=before_expiry):
                pass


async def test_the_environment_names_the_call_file_of_a_call_without_calls(
    memory: CacheManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIOCACHE_PE_WARM", raising=False)
    with pytest.raises(ConfigurationError, match=r"calls must be given, or .* AIOCACHE_PE_WARM"):
        await warm_cache(memory)
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps({"key": "motd", "value": "hello"}))
    monkeypatch.setenv("AIOCACHE_PE_WARM", str(path))
    assert (await warm_cache(memory)).computed == 1
    assert await asyncio.to_thread(blocking.warm_cache, blocking.CacheManager.of(memory)) == (
        WarmReport(total=1, present=1)
    )
    assert await memory.get("motd") == "hello"


async def test_keep_warm_refuses_an_iterator(memory: CacheManager) -> None:
    for calls in (iter([("a", 1)]), partial):
        with pytest.raises(TypeError):
            async with keep_warm(memory, calls, before_expiry=1):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                pass


async def test_a_call_file(
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
        "# calls of every morning\n"
        '{"call": "app_to_warm:Of.double", "args": [21], "kwargs": {"plus": 1}}\n\n'
        '{"key": "greeting", "value": "hello", "ttl": "1h"}\n'
    )
    report = await warm_cache(memory, path)
    assert report.computed == report.total == 2, report
    assert await memory.get("greeting") == "hello"
    assert await memory.get_ttl("greeting") == pytest.approx(3600)
    assert (await warm_cache(memory, str(path))).present == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting"),
        ("[]", "a line must be"),
        ('{"call": "os.path"}', "call must be"),
        ('{"call": "no_such_module:f"}', "no_such_module"),
        ('{"call": "os:no_such_thing"}', "no_such_thing"),
        ('{"call": "os:getcwd", "args": {}}', "args must be a list"),
        ('{"key": "a"}', "a line must be"),
        ('{"key": "a", "value": 1, "ttl": "soon"}', "soon"),
        ('{"key": 1, "value": 1}', "key must be a str"),
        ('{"key": "a", "value": 1, "more": 1}', "a line must be"),
    ],
)
async def test_the_error_for_an_invalid_line_has_its_number(
    memory: CacheManager, tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(f'{{"key": "first", "value": 1}}\n{line}\n')
    with pytest.raises(ConfigurationError, match=f"calls.jsonl, line 2: .*{message}"):
        await warm_cache(memory, path)
    assert not await memory.exists("first")


async def test_a_call_that_cancels_itself_does_not_stop_the_others(memory: CacheManager) -> None:
    @cached(cache=memory)
    async def function(number: int) -> int:
        if number == 1:
            raise asyncio.CancelledError
        return number

    report = await warm_cache(memory, [(function, (n,)) for n in range(4)], concurrency=1)
    assert (report.total, report.computed, report.failed) == (4, 3, 1)
    assert "was cancelled" in str(report.failures[0][1])
