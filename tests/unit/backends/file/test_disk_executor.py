"""Trips to threads: shared by those who write at once, and paid for one by one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence

import pytest

from aiocache_pe.backends.file.disk_executor import DiskExecutor, GroupCommit
from aiocache_pe.exceptions import BackendError
from aiocache_pe.record import Record
from tests.support.file_records import record
from tests.support.polling import poll


class Writer:
    """Writes nothing, but notes it; fails for names that say so, and waits if it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None

    def __call__(self, records: Sequence[Record]) -> list[Record | OSError]:
        self.batches.append([each.head.key for each in records])
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return [OSError("bad") if "bad" in each.head.key else each for each in records]


async def test_sixty_four_writes_at_once_take_two_hops_at_most() -> None:
    writer = Writer()
    commit = GroupCommit(DiskExecutor(), writer)
    stored = await asyncio.gather(*(commit.submit([record(str(n))]) for n in range(64)))
    assert [found[0].head.key for found in stored] == [f"default:{n}" for n in range(64)]
    assert len(writer.batches) <= 2
    assert sum(map(len, writer.batches)) == 64


async def test_what_comes_during_a_hop_forms_the_next() -> None:
    writer = Writer()
    writer.go.clear()
    commit = GroupCommit(DiskExecutor(), writer)
    first = asyncio.create_task(commit.submit([record("first")]))
    await poll(lambda: writer.batches)
    others = [asyncio.create_task(commit.submit([record(str(n))])) for n in range(10)]
    await asyncio.sleep(0)
    assert not first.done()
    writer.go.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in writer.batches] == [1, 10]


@pytest.mark.parametrize(
    ("count", "payload", "batches"),
    [(1200, b"1", [1, 512, 512, 175]), (10, bytes(3 * 1024 * 1024), [1, 3, 3, 3])],
    ids=["many", "heavy"],
)
async def test_a_batch_is_bounded(count: int, payload: bytes, batches: list[int]) -> None:
    writer = Writer()
    commit = GroupCommit(DiskExecutor(), writer)
    await asyncio.gather(*(commit.submit([record(str(n), payload)]) for n in range(count)))
    assert [len(batch) for batch in writer.batches] == batches


async def test_one_bad_record_fails_its_own_writer_only() -> None:
    commit = GroupCommit(DiskExecutor(), Writer())
    good, bad, mixed = await asyncio.gather(
        commit.submit([record("good")]),
        commit.submit([record("bad")]),
        commit.submit([record("a"), record("bad too")]),
        return_exceptions=True,
    )
    assert isinstance(good, list)
    for error in (bad, mixed):
        assert isinstance(error, BackendError)
        assert str(error) == "cannot write an entry: bad"
        assert isinstance(error.__cause__, OSError)


async def test_a_hop_that_fails_fails_all_in_it_and_none_after() -> None:
    writer = Writer()
    writer.error = RuntimeError("a bug")
    commit = GroupCommit(DiskExecutor(), writer)
    errors = await asyncio.gather(
        *(commit.submit([record(str(n))]) for n in range(3)), return_exceptions=True
    )
    assert [str(error) for error in errors] == ["cannot write an entry: a bug"] * 3
    writer.error = None
    assert await commit.submit([record()]) == [record()]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_writer_harms_nobody(fails: bool) -> None:
    writer = Writer()
    writer.go.clear()
    commit = GroupCommit(DiskExecutor(), writer)
    tasks = [asyncio.create_task(commit.submit([record(str(n))])) for n in range(3)]
    await poll(lambda: writer.batches)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    writer.error = OSError("away") if fails else None
    writer.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    expected = BackendError if fails else list
    assert [type(result) for result in results] == [expected, asyncio.CancelledError, expected]


async def test_idle_waits_for_all_that_was_submitted() -> None:
    writer = Writer()
    commit = GroupCommit(DiskExecutor(), writer)
    await commit.idle()
    tasks = [asyncio.create_task(commit.submit([record(str(n))])) for n in range(3)]
    await asyncio.sleep(0)
    await commit.idle()
    assert all(task.done() for task in tasks) or len(writer.batches) == 1
    await asyncio.gather(*tasks)


def test_a_loop_that_ends_takes_its_writers_along() -> None:
    writer = Writer()
    commit = GroupCommit(DiskExecutor(), writer)
    ended = list[BaseException | None]()

    async def write() -> None:
        try:
            await commit.submit([record()])
        except asyncio.CancelledError as error:
            ended.append(error)
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
    assert len(ended) == 4


async def test_a_pool_is_made_on_use_and_again_after_close() -> None:
    hops = DiskExecutor()
    await hops.close()
    assert await hops.run(threading.get_ident) != threading.get_ident()
    names = await hops.run(lambda: threading.current_thread().name)
    assert names.startswith("aiocache_pe-disk")
    await hops.close()
    await hops.close()
    assert await hops.run(int, "7") == 7
    await hops.close()


async def test_what_work_raises_reaches_who_asked() -> None:
    with pytest.raises(ZeroDivisionError):
        await DiskExecutor().run(lambda: 1 // 0)


def test_a_forked_child_has_threads_of_its_own() -> None:
    hops = DiskExecutor()
    assert asyncio.run(hops.run(int, "7")) == 7
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if asyncio.run(asyncio.wait_for(hops.run(int, "8"), 10)) == 8 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(hops.run(int, "9")) == 9
    asyncio.run(hops.close())
