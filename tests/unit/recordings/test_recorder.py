"""Calls inside a recording: made once and kept, or answered and never made."""

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
def tapes(tmp_path: Path) -> Path:
    """Where to record; it is not made yet."""
    return tmp_path / "recordings" / "answers"


class Model:
    """A function to record, and how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, question: str, limit: int = 3) -> dict[str, Any]:
        self.calls += 1
        return {"question": question, "limit": limit, "size": (1, 2), "call": self.calls}


def made(kind: Kind, model: Model, cache: CacheManager, **settings: Any) -> Any:
    def answer(question: str, limit: int = 3) -> dict[str, Any]:
        return model(question, limit)

    return kind.decorate(answer, cache=cache, **settings)


@each_kind
async def test_what_was_recorded_is_replayed_and_nothing_is_called(
    kind: Kind, tapes: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = made(kind, model, memory)
    with recording(tapes, "record"):
        first = await kind.get_result(answer("why?"))
        assert await kind.get_result(answer(question="why?", limit=3)) == first
    assert (model.calls, len(list(tapes.iterdir()))) == (1, 1)
    async with recording(tapes, "replay") as replayed:
        second = await kind.get_result(answer("why?"))
        assert second == first
        assert type(second["size"]) is tuple
        second["size"] = None
        assert (await kind.get_result(answer("why?")))["size"] == (1, 2)
        assert replayed.unused() == []
    assert model.calls == 1


@each_kind
async def test_a_call_that_nobody_recorded_is_not_made(
    kind: Kind, tapes: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = made(kind, model, memory)
    await kind.get_result(answer("why?"))  # the cache has it, and is not asked
    with pytest.raises(UnrecordedCallError, match="no recording of") as caught, recording(tapes):
        await kind.get_result(answer("why?"))
    assert caught.value.directory == str(tapes)
    assert caught.value.nearest is None
    assert model.calls == 1
    assert not tapes.exists()


@each_kind
@pytest.mark.parametrize("block", [bypass, refresh])
async def test_no_other_block_gets_past_a_recording(
    kind: Kind, block: Any, tapes: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = made(kind, model, memory)
    with pytest.raises(UnrecordedCallError), recording(tapes), block():
        await kind.get_result(answer("why?"))
    with pytest.raises(UnrecordedCallError), block(), recording(tapes):
        await kind.get_result(answer.refresh("why?"))
    assert model.calls == 0


@each_kind
async def test_recording_leaves_the_cache_alone(
    kind: Kind, tapes: Path, memory: CacheManager
) -> None:
    answer = made(kind, Model(), memory)
    with recording(tapes, "record"):
        await kind.get_result(answer("why?"))
    stats = await memory.get_stats()
    assert (stats.total_entries, stats.hits, stats.misses) == (0, 0, 0)
    assert tuple(answer.cache_info()) == (0, 1)


@each_kind
async def test_every_answer_is_recorded_whatever_the_cache_would_keep(
    kind: Kind, tapes: Path, memory: CacheManager
) -> None:
    model = Model()
    answer = made(kind, model, memory, cache_if=lambda _: False, ttl=1)
    with recording(tapes, "record"):
        await kind.get_result(answer("why?"))
    with recording(tapes):
        assert (await kind.get_result(answer("why?")))["call"] == 1
    assert model.calls == 1


@each_kind
async def test_what_raises_is_not_recorded_and_tried_again(
    kind: Kind, tapes: Path, memory: CacheManager
) -> None:
    failing = [True]

    def answer(question: str) -> str:
        if failing.pop():
            raise ConnectionError("busy")
        return "42"

    function = kind.decorate(answer, cache=memory)
    with recording(tapes, "record"):
        with pytest.raises(ConnectionError):
            await kind.get_result(function("why?"))
        failing.append(False)
        assert await kind.get_result(function("why?")) == "42"
    assert len(list(tapes.iterdir())) == 1


@each_kind
async def test_a_recording_never_expires(
    kind: Kind, tapes: Path, memory: CacheManager, clock: FakeClock
) -> None:
    answer = made(kind, Model(), memory, ttl="1s")
    with recording(tapes, "record"):
        await kind.get_result(answer("why?"))
    clock.advance(10 * 365 * 86400)
    with recording(tapes):
        assert (await kind.get_result(answer("why?")))["call"] == 1


@each_kind
async def test_off_runs_plainly(kind: Kind, tapes: Path, memory: CacheManager) -> None:
    model = Model()
    answer = made(kind, model, memory)
    with recording(tapes, "off"):
        await kind.get_result(answer("why?"))
        await kind.get_result(answer("why?"))  # a hit of the cache, as ever
    assert (model.calls, tapes.exists()) == (1, False)
    with recording(tapes), recording(tapes, "off"):
        await kind.get_result(answer("what?"))
    assert model.calls == 2


async def test_recording_anew_makes_each_call_once(tapes: Path, memory: CacheManager) -> None:
    model = Model()

    @cached(cache=memory)
    async def answer(question: str) -> int:
        await asyncio.sleep(0)
        return model(question)["call"]  # type: ignore[no-any-return]

    for expected in (1, 2):
        with recording(tapes, "record"):
            found = await asyncio.gather(*(answer("why?") for _ in range(20)))
        assert found == [expected] * 20
    with recording(tapes):
        assert await answer("why?") == 2


def test_threads_that_ask_at_once_record_one_call(tapes: Path) -> None:
    started, model = threading.Barrier(8), Model()

    @blocking.cached(backend="memory", version="threads")
    def answer(question: str) -> dict[str, Any]:
        return model(question)

    def ask() -> None:
        started.wait(30)
        found.append(answer("why?")["call"])

    found: list[int] = []
    with recording(tapes, "record"):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert (found, model.calls) == ([1] * 8, 1)


def test_threads_and_contexts_from_elsewhere_are_steered_too(tapes: Path) -> None:
    @blocking.cached(backend="memory", version="elsewhere")
    def answer(question: str) -> str:
        return "42"

    def ask() -> None:
        try:
            answer("why?")
        except UnrecordedCallError as error:
            found.append(error)

    found: list[UnrecordedCallError] = []
    elsewhere = contextvars.copy_context()
    with recording(tapes) as replayed:
        elsewhere.run(ask)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(60)
        assert replayed.unrecorded == found
        replayed.unrecorded.clear()
    assert len(found) == 2
    assert current_mode() is None


async def test_tasks_have_recordings_of_their_own(tapes: Path, memory: CacheManager) -> None:
    @cached(cache=memory)
    async def answer(question: str) -> str:
        return question.upper()

    together = asyncio.Barrier(2)

    async def record(name: str) -> None:
        async with recording(tapes / name, "record"):
            await together.wait()
            await answer(name)
            await together.wait()

    await asyncio.gather(record("one"), record("other"))
    assert [len(list((tapes / name).iterdir())) for name in ("one", "other")] == [1, 1]
    assert list((tapes / "one").glob("answer-one-*.json"))


async def test_a_task_that_outlives_its_block_is_none_of_it(
    tapes: Path, memory: CacheManager
) -> None:
    @cached(cache=memory)
    async def answer(question: str) -> str:
        return question.upper()

    async def later() -> list[str]:
        await left.wait()
        own = await answer("plainly")
        async with recording(tapes / "next", "record"):
            return [own, await answer("recorded")]

    left = asyncio.Event()
    async with recording(tapes / "first"):
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    left.set()
    assert await task == ["PLAINLY", "RECORDED"]
    assert [path.name[:16] for path in (tapes / "next").iterdir()] == ["answer-recorded-"]


def test_blocks_may_end_in_another_order(tapes: Path) -> None:
    @blocking.cached(backend="memory", version="order")
    def answer(question: str) -> str:
        return question.upper()

    first, second = recording(tapes / "first"), recording(tapes / "second", "record")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert answer("why?") == "WHY?"
    second.__exit__(None, None, None)
    with recording(tapes / "third", "record"):
        answer("why?")
    assert sorted(path.name for path in tapes.iterdir()) == ["second", "third"]
    assert current_mode() is None


async def test_get_or_set_is_recorded_by_its_key(tapes: Path, memory: CacheManager) -> None:
    twin = blocking.CacheManager.of(memory)
    with recording(tapes, "record"):
        assert await memory.get_or_set("user:7", lambda: "Ada") == "Ada"
    with recording(tapes):
        assert await memory.get_or_set("user:7", lambda: "Bob") == "Ada"
        assert await asyncio.to_thread(twin.get_or_set, "user:7", lambda: "Bob") == "Ada"
    assert [path.name[:18] for path in tapes.iterdir()] == ["get-or-set-user-7-"]


async def test_methods_are_recorded_without_their_instance(
    tapes: Path, memory: CacheManager
) -> None:
    class Service:
        @cached(cache=memory)
        async def answer(self, question: str) -> str:
            return "42"

    with recording(tapes, "record"):
        await Service().answer("why?")
    with recording(tapes):
        assert await Service().answer("why?") == "42"
    (path,) = tapes.iterdir()
    assert "self" not in path.read_text()


async def test_an_error_that_the_program_caught_is_raised_at_the_end(
    tapes: Path, memory: CacheManager
) -> None:
    answer = cached(cache=memory)(asyncio.sleep)

    async def careful() -> str:
        try:
            await answer(0)
        except Exception:  # noqa: BLE001 - as careful programs are
            return "the model is away"
        return "fine"

    with pytest.raises(UnrecordedCallError):
        async with recording(tapes):
            assert await careful() == "the model is away"
    with pytest.raises(ZeroDivisionError) as caught, recording(tapes):
        assert 1 / len((await careful())[:0])
    assert "no recording of asyncio.tasks.sleep" in caught.value.__notes__[0]


async def test_a_cancelled_call_records_nothing(tapes: Path, memory: CacheManager) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    @cached(cache=memory)
    async def answer() -> str:
        begun.set()
        await never.wait()
        return "42"

    with recording(tapes, "record"):
        task = asyncio.ensure_future(answer())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        never.set()
        assert await answer() == "42"
    assert len(list(tapes.iterdir())) == 1


async def test_a_stream_that_was_cut_short_is_not_recorded(
    tapes: Path, memory: CacheManager
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

    with recording(tapes, "record"):
        passing = numbers()
        assert await anext(passing) == 0
        await passing.aclose()
        spoken = await asyncio.to_thread(words)
        assert next(spoken) == "one"
        spoken.close()
    assert not tapes.exists()
    with recording(tapes, "record"):
        assert [number async for number in numbers()] == [0, 1, 2]
        assert await asyncio.to_thread(lambda: list(words())) == ["one", ""]
    with recording(tapes):
        assert [number async for number in numbers()] == [0, 1, 2]
        replayed = words()
        assert [next(replayed), next(replayed)] == ["one", ""]
        with pytest.raises(StopIteration) as end:
            next(replayed)
        assert end.value.value == 3
