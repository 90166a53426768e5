"""Calls in a recording: made once and recorded, or replayed and not made."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager, UnrecordedCallError, bypass, cached, recording, refresh
from aiocache_pe import sync as blocking
from aiocache_pe.context import current_mode
from aiocache_pe.testing.fake_clock import FakeClock
from tests.support.function_kinds import Kind, each_kind


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory for recordings, which does not exist yet."""
    return tmp_path / "recordings" / "answers"


class Model:
    """A function to record, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, question: str, limit: int = 3) -> dict[str, Any]:
        self.calls += 1
        return {"question": question, "limit": limit, "size": (1, 2), "call": self.calls}


def make_answer(kind: Kind, model: Model, cache: CacheManager, **settings: Any) -> Any:
    def answer(question: str, limit: int = 3) -> dict[str, Any]:
        return model(question, limit)

    return kind.decorate(answer, cache=cache, **settings)


@each_kind
async def test_a_replay_returns_the_recorded_answer_and_makes_no_call(
    kind: Kind, directory: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = make_answer(kind, model, memory)
    with recording(directory, "record"):
        first = await kind.get_result(answer("why?"))
        assert await kind.get_result(answer(question="why?", limit=3)) == first
    assert (model.calls, len(list(directory.iterdir()))) == (1, 1)
    async with recording(directory, "replay") as replayed:
        second = await kind.get_result(answer("why?"))
        assert second == first
        assert type(second["size"]) is tuple
        second["size"] = None
        assert (await kind.get_result(answer("why?")))["size"] == (1, 2)
        assert replayed.unused() == []
    assert model.calls == 1


@each_kind
async def test_an_unrecorded_call_is_not_made(
    kind: Kind, directory: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = make_answer(kind, model, memory)
    await kind.get_result(answer("why?"))  # stored in the cache, which a replay does not read
    with (
        pytest.raises(UnrecordedCallError, match="no recording of") as caught,
        recording(directory),
    ):
        await kind.get_result(answer("why?"))
    assert caught.value.directory == str(directory)
    assert caught.value.nearest is None
    assert model.calls == 1
    assert not directory.exists()


@each_kind
@pytest.mark.parametrize("block", [bypass, refresh])
async def test_other_call_modes_have_no_effect_in_a_recording(
    kind: Kind, block: Any, directory: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = make_answer(kind, model, memory)
    with pytest.raises(UnrecordedCallError), recording(directory), block():
        await kind.get_result(answer("why?"))
    with pytest.raises(UnrecordedCallError), block(), recording(directory):
        await kind.get_result(answer.refresh("why?"))
    assert model.calls == 0


@each_kind
async def test_a_recording_does_not_change_the_cache(
    kind: Kind, directory: Path, memory: CacheManager
) -> None:
    answer = make_answer(kind, Model(), memory)
    with recording(directory, "record"):
        await kind.get_result(answer("why?"))
    stats = await memory.get_stats()
    assert (stats.total_entries, stats.hits, stats.misses) == (0, 0, 0)
    assert answer.cache_info()[:2] == (0, 1)


@each_kind
async def test_an_answer_is_recorded_even_if_the_cache_would_not_store_it(
    kind: Kind, directory: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = make_answer(kind, model, memory, cache_if=lambda _: False, ttl=1)
    with recording(directory, "record"):
        await kind.get_result(answer("why?"))
    with recording(directory):
        assert (await kind.get_result(answer("why?")))["call"] == 1
    assert model.calls == 1


@each_kind
async def test_a_call_that_raises_is_not_recorded_and_made_again(
    kind: Kind, directory: Path, memory: CacheManager
) -> None:
    failing = [True]

    def answer(question: str) -> str:
        if failing.pop():
            raise ConnectionError("busy")
        return "42"

    function = kind.decorate(answer, cache=memory)
    with recording(directory, "record"):
        with pytest.raises(ConnectionError):
            await kind.get_result(function("why?"))
        failing.append(False)
        assert await kind.get_result(function("why?")) == "42"
    assert len(list(directory.iterdir())) == 1


@each_kind
async def test_a_recording_never_expires(
    kind: Kind, directory: Path, memory: CacheManager, clock: FakeClock
) -> None:
    answer = make_answer(kind, Model(), memory, ttl="1s")
    with recording(directory, "record"):
        await kind.get_result(answer("why?"))
    clock.advance(10 * 365 * 86400)
    with recording(directory):
        assert (await kind.get_result(answer("why?")))["call"] == 1


@each_kind
async def test_off_has_no_effect(kind: Kind, directory: Path, memory: CacheManager) -> None:
    model = Model()
    answer = make_answer(kind, model, memory)
    with recording(directory, "off"):
        await kind.get_result(answer("why?"))
        await kind.get_result(answer("why?"))  # a hit of the cache
    assert (model.calls, directory.exists()) == (1, False)
    with recording(directory), recording(directory, "off"):
        await kind.get_result(answer("what?"))
    assert model.calls == 2


async def test_each_new_recording_makes_a_call_once(directory: Path, memory: CacheManager) -> None:
    model = Model()

    @cached(cache=memory)
    async def answer(question: str) -> int:
        await asyncio.sleep(0)
        return model(question)["call"]  # type: ignore[no-any-return]

    for expected in (1, 2):
        with recording(directory, "record"):
            calls = await asyncio.gather(*(answer("why?") for _ in range(20)))
        assert calls == [expected] * 20
    with recording(directory):
        assert await answer("why?") == 2


def test_concurrent_threads_record_one_call(directory: Path) -> None:
    started, model = threading.Barrier(8), Model()

    @blocking.cached(backend="memory", version="threads")
    def answer(question: str) -> dict[str, Any]:
        return model(question)

    def ask() -> None:
        started.wait(30)
        calls.append(answer("why?")["call"])

    calls: list[int] = []
    with recording(directory, "record"):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert (calls, model.calls) == ([1] * 8, 1)


def test_a_recording_applies_to_threads_and_to_other_contexts(directory: Path) -> None:
    @blocking.cached(backend="memory", version="elsewhere")
    def answer(question: str) -> str:
        return "42"

    def ask() -> None:
        try:
            answer("why?")
        except UnrecordedCallError as error:
            errors.append(error)

    errors: list[UnrecordedCallError] = []
    other_context = contextvars.copy_context()
    with recording(directory) as replayed:
        other_context.run(ask)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(60)
        assert replayed.unrecorded == errors
        replayed.unrecorded.clear()
    assert len(errors) == 2
    assert current_mode() is None


async def test_each_task_has_its_own_recording(directory: Path, memory: CacheManager) -> None:
    @cached(cache=memory)
    async def answer(question: str) -> str:
        return question.upper()

    barrier = asyncio.Barrier(2)

    async def record(name: str) -> None:
        async with recording(directory / name, "record"):
            await barrier.wait()
            await answer(name)
            await barrier.wait()

    await asyncio.gather(record("one"), record("other"))
    assert [len(list((directory / name).iterdir())) for name in ("one", "other")] == [1, 1]
    assert list((directory / "one").glob("answer-one-*.json"))


async def test_a_task_that_outlives_its_block_does_not_use_its_recording(
    directory: Path, memory: CacheManager
) -> None:
    @cached(cache=memory)
    async def answer(question: str) -> str:
        return question.upper()

    async def call_later() -> list[str]:
        await block_ended.wait()
        own = await answer("plainly")
        async with recording(directory / "next", "record"):
            return [own, await answer("recorded")]

    block_ended = asyncio.Event()
    async with recording(directory / "first"):
        task = asyncio.create_task(call_later())
        await asyncio.sleep(0)
    block_ended.set()
    assert await task == ["PLAINLY", "RECORDED"]
    assert [path.name[:16] for path in (directory / "next").iterdir()] == ["answer-recorded-"]


def test_blocks_may_end_in_any_order(directory: Path) -> None:
    @blocking.cached(backend="memory", version="order")
    def answer(question: str) -> str:
        return question.upper()

    first, second = recording(directory / "first"), recording(directory / "second", "record")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert answer("why?") == "WHY?"
    second.__exit__(None, None, None)
    with recording(directory / "third", "record"):
        answer("why?")
    assert sorted(path.name for path in directory.iterdir()) == ["second", "third"]
    assert current_mode() is None


async def test_get_or_set_is_recorded_by_its_key(directory: Path, memory: CacheManager) -> None:
    sync_cache = blocking.CacheManager.of(memory)
    with recording(directory, "record"):
        assert await memory.get_or_set("user:7", lambda: "Ada") == "Ada"
    with recording(directory):
        assert await memory.get_or_set("user:7", lambda: "Bob") == "Ada"
        assert await asyncio.to_thread(sync_cache.get_or_set, "user:7", lambda: "Bob") == "Ada"
    assert [path.name[:18] for path in directory.iterdir()] == ["get-or-set-user-7-"]


async def test_methods_are_recorded_without_their_instance(
    directory: Path, memory: CacheManager
) -> None:
    class Service:
        @cached(cache=memory)
        async def answer(self, question: str) -> str:
            return "42"

    with recording(directory, "record"):
        await Service().answer("why?")
    with recording(directory):
        assert await Service().answer("why?") == "42"
    (path,) = directory.iterdir()
    assert "self" not in path.read_text()


async def test_a_suppressed_error_is_raised_at_the_end_of_the_block(
    directory: Path, memory: CacheManager
) -> None:
    answer = cached(cache=memory)(asyncio.sleep)

    async def call_with_fallback() -> str:
        try:
            await answer(0)
        except Exception:  # noqa: BLE001 - programs with fallbacks do this
            return "the model is away"
        return "fine"

    with pytest.raises(UnrecordedCallError):
        async with recording(directory):
            assert await call_with_fallback() == "the model is away"
    with pytest.raises(ZeroDivisionError) as caught, recording(directory):
        assert 1 / len((await call_with_fallback())[:0])
    assert "no recording of asyncio.tasks.sleep" in caught.value.__notes__[0]


async def test_a_cancelled_call_records_nothing(directory: Path, memory: CacheManager) -> None:
    started, may_return = asyncio.Event(), asyncio.Event()

    @cached(cache=memory)
    async def answer() -> str:
        started.set()
        await may_return.wait()
        return "42"

    with recording(directory, "record"):
        task = asyncio.ensure_future(answer())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_return.set()
        assert await answer() == "42"
    assert len(list(directory.iterdir())) == 1


async def test_a_stream_that_is_closed_early_is_not_recorded(
    directory: Path, memory: CacheManager
) -> None:
    @cached(cache=memory)
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    @cached(cache=memory)
    def words() -> Generator[str, None, int]:
        yield "one"
        yield ""
        return 3

    with recording(directory, "record"):
        async_stream = numbers()
        assert await anext(async_stream) == 0
        await async_stream.aclose()
        stream = await asyncio.to_thread(words)
        assert next(stream) == "one"
        stream.close()
    assert not directory.exists()
    with recording(directory, "record"):
        assert [number async for number in numbers()] == [0, 1, 2]
        assert await asyncio.to_thread(lambda: list(words())) == ["one", ""]
    with recording(directory):
        assert [number async for number in numbers()] == [0, 1, 2]
        replayed = words()
        assert [next(replayed), next(replayed)] == ["one", ""]
        with pytest.raises(StopIteration) as end:
            next(replayed)
        assert end.value.value == 3
