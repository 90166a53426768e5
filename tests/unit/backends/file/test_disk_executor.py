"""Blocking work runs in threads, and concurrent writes share hops."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from aiocache_pe.backends.file import scan
from aiocache_pe.backends.file.backend import FileBackend
from aiocache_pe.backends.file.disk_executor import DiskExecutor, GroupCommit
from aiocache_pe.exceptions import BackendError, LockTimeoutError
from aiocache_pe.record import Head, Record
from tests.support.file_store import make_record
from tests.support.internals import limit_lock_wait
from tests.support.polling import poll


class FakeWriter:
    """A writer that only logs its batches; names with ``bad`` fail, and ``go`` delays it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None

    def __call__(self, records: Sequence[Record]) -> list[Record | OSError]:
        self.batches.append([record.head.key for record in records])
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return [OSError("bad") if "bad" in record.head.key else record for record in records]


async def test_sixty_four_concurrent_writes_take_two_hops_at_most() -> None:
    writer = FakeWriter()
    commit = GroupCommit(DiskExecutor(), writer)
    stored = await asyncio.gather(*(commit.submit([make_record(str(n))]) for n in range(64)))
    assert [record.head.key for [record] in stored if record is not None] == [
        f"default:{n}" for n in range(64)
    ]
    assert len(writer.batches) <= 2
    assert sum(map(len, writer.batches)) == 64


async def test_writes_during_a_hop_form_the_next_batch() -> None:
    writer = FakeWriter()
    writer.go.clear()
    commit = GroupCommit(DiskExecutor(), writer)
    first = asyncio.create_task(commit.submit([make_record("first")]))
    await poll(lambda: writer.batches)
    others = [asyncio.create_task(commit.submit([make_record(str(n))])) for n in range(10)]
    await asyncio.sleep(0)
    assert not first.done()
    writer.go.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in writer.batches] == [1, 10]


@pytest.mark.parametrize(
    ("count", "payload", "batches"),
    [(1200, b"1", [1, 512, 512, 175]), (10, bytes(3 * 1024 * 1024), [1, 3, 3, 3])],
    ids=["many", "large"],
)
async def test_a_batch_is_bounded(count: int, payload: bytes, batches: list[int]) -> None:
    writer = FakeWriter()
    commit = GroupCommit(DiskExecutor(), writer)
    await asyncio.gather(*(commit.submit([make_record(str(n), payload)]) for n in range(count)))
    assert [len(batch) for batch in writer.batches] == batches


async def test_a_record_that_cannot_be_written_fails_its_own_writer_only() -> None:
    commit = GroupCommit(DiskExecutor(), FakeWriter())
    good, bad, mixed = await asyncio.gather(
        commit.submit([make_record("good")]),
        commit.submit([make_record("bad")]),
        commit.submit([make_record("a"), make_record("bad too")]),
        return_exceptions=True,
    )
    assert isinstance(good, list)
    for error in (bad, mixed):
        assert isinstance(error, BackendError)
        assert str(error) == "cannot write an entry: bad"
        assert isinstance(error.__cause__, OSError)


async def test_a_failed_hop_fails_its_writers_and_no_later_one() -> None:
    writer = FakeWriter()
    writer.error = RuntimeError("a bug")
    commit = GroupCommit(DiskExecutor(), writer)
    errors = await asyncio.gather(
        *(commit.submit([make_record(str(n))]) for n in range(3)), return_exceptions=True
    )
    assert [str(error) for error in errors] == ["cannot write an entry: a bug"] * 3
    writer.error = None
    assert await commit.submit([make_record()]) == [make_record()]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_writer_affects_no_other(fails: bool) -> None:
    writer = FakeWriter()
    writer.go.clear()
    commit = GroupCommit(DiskExecutor(), writer)
    tasks = [asyncio.create_task(commit.submit([make_record(str(n))])) for n in range(3)]
    await poll(lambda: writer.batches)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    writer.error = OSError("away") if fails else None
    writer.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    expected = BackendError if fails else list
    assert [type(result) for result in results] == [expected, asyncio.CancelledError, expected]


async def test_wait_until_idle_waits_for_all_submitted_records() -> None:
    writer = FakeWriter()
    commit = GroupCommit(DiskExecutor(), writer)
    await commit.wait_until_idle()
    tasks = [asyncio.create_task(commit.submit([make_record(str(n))])) for n in range(3)]
    await asyncio.sleep(0)
    await commit.wait_until_idle()
    assert all(task.done() for task in tasks) or len(writer.batches) == 1
    await asyncio.gather(*tasks)


def test_the_end_of_a_loop_cancels_its_writers() -> None:
    writer = FakeWriter()
    commit = GroupCommit(DiskExecutor(), writer)
    cancelled = list[BaseException | None]()

    async def write() -> None:
        try:
            await commit.submit([make_record()])
        except asyncio.CancelledError as error:
            cancelled.append(error)
            raise

    async def main() -> None:
        writer.go.clear()
        tasks = [asyncio.create_task(write()) for _ in range(3)]
        await poll(lambda: writer.batches)
        tasks.append(asyncio.create_task(write()))
        await asyncio.sleep(0)
        writer.go.set()
        assert not tasks[-1].done()

    asyncio.run(main())
    assert len(cancelled) == 4


async def test_the_pool_is_created_on_use_and_again_after_close() -> None:
    executor = DiskExecutor()
    await executor.close()
    assert await executor.run(threading.get_ident) != threading.get_ident()
    name = await executor.run(lambda: threading.current_thread().name)
    assert name.startswith("aiocache_pe-disk")
    await executor.close()
    await executor.close()
    assert await executor.run(int, "7") == 7
    await executor.close()


async def test_an_exception_of_the_work_reaches_its_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await DiskExecutor().run(lambda: 1 // 0)


def test_a_forked_child_has_threads_of_its_own() -> None:
    executor = DiskExecutor()
    assert asyncio.run(executor.run(int, "7")) == 7
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if asyncio.run(asyncio.wait_for(executor.run(int, "8"), 10)) == 8 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(executor.run(int, "9")) == 9
    asyncio.run(executor.close())


async def test_long_clears_leave_threads_for_other_operations(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, remove_area = threading.Event(), scan.remove_area

    def remove_slowly(folder: str) -> None:
        assert go.wait(30)
        remove_area(folder)

    monkeypatch.setattr(scan, "remove_area", remove_slowly)
    backend = FileBackend(cache_dir)
    areas = [f"area{number}:" for number in range(8)]
    await backend.write([Record(Head(1, f"{area}k", "json", 1.0, 1), b"1") for area in areas])
    clears = [asyncio.create_task(backend.clear(area)) for area in areas]
    await poll(lambda: len(list(cache_dir.glob(".trash-*"))) >= 2)
    await backend.write([make_record("a")])
    assert (await backend.read(["default:a"])).keys() == {"default:a"}
    assert not any(clear.done() for clear in clears)
    go.set()
    assert await asyncio.gather(*clears) == [1] * 8
    await backend.close()


async def test_a_large_batch_takes_several_hops(cache_dir: Path) -> None:
    backend = FileBackend(cache_dir)
    records = [make_record(str(number)) for number in range(1100)]
    keys = [record.head.key for record in records]
    large = asyncio.create_task(backend.write(records))
    await poll(lambda: list(cache_dir.glob("default/??/*")))
    await backend.write([make_record("a")])
    assert not large.done()
    assert len(await large) == 1100
    assert len(await backend.read(keys)) == 1100
    assert len(await backend.delete(keys)) == 1100
    await backend.close()


async def test_a_held_lock_is_awaited_without_a_thread() -> None:
    held = ["a", "b", "c"]

    def work(items: Sequence[str]) -> list[str | Exception]:
        outcomes: list[str | Exception] = [
            LockTimeoutError("held") if item in held else item for item in items
        ]
        del held[-1:]
        return outcomes

    executor = DiskExecutor()
    assert await executor.run_for_each(work, ["a", "x", "b", "c"]) == ["a", "x", "b", "c"]
    await executor.close()


@pytest.mark.parametrize("each", [False, True])
async def test_a_lock_that_stays_held_is_an_error(
    each: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_lock_wait(monkeypatch, 0.02)

    def fail() -> None:
        raise LockTimeoutError("held")

    executor = DiskExecutor()
    if each:
        [outcome] = await executor.run_for_each(lambda _: [LockTimeoutError("held")], ["a"])
        assert isinstance(outcome, LockTimeoutError)
    else:
        with pytest.raises(LockTimeoutError):
            await executor.run_locking(fail)
    await executor.close()
