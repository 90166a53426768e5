"""Plain generators that several threads read at once."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocache_pe.decorators.streams import fan_out_sync
from aiocache_pe.decorators.streams.fan_out import StreamReader
from aiocache_pe.decorators.streams.fan_out_sync import SyncSharedStream
from tests.support.polling import poll_blocking


def join(stream: SyncSharedStream[int]) -> StreamReader:
    reader = stream.join()
    assert reader is not None
    return reader


def test_threads_wait_for_the_thread_that_runs_the_source() -> None:
    go, running = threading.Event(), list[int]()

    def source() -> Generator[int, None, None]:
        running.append(threading.get_ident())
        assert go.wait(10)
        yield 1
        yield 2

    stream = SyncSharedStream[int](source())
    readers = [stream.first, *(join(stream) for _ in range(3))]
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(list, stream.read(reader)) for reader in readers]
        poll_blocking(lambda: running)
        go.set()
        assert [result.result(10) for result in results] == [[1, 2]] * 4
    assert len(running) == 1


def test_other_threads_get_an_error_when_the_source_is_interrupted() -> None:
    go, begun = threading.Event(), threading.Event()

    def source() -> Generator[int, None, None]:
        yield 1
        begun.set()
        assert go.wait(10)
        raise KeyboardInterrupt

    stream = SyncSharedStream[int](source())
    one, two = stream.read(stream.first), stream.read(join(stream))
    assert [next(one), next(two)] == [1, 1]
    with ThreadPoolExecutor(2) as pool:
        first_result = pool.submit(next, one)
        assert begun.wait(10)
        other = pool.submit(next, two)
        go.set()
        with pytest.raises(KeyboardInterrupt):
            first_result.result(10)
        with pytest.raises(InterruptedError, match="another reader was interrupted"):
            other.result(10)


def test_a_stream_ends_with_an_error_when_the_thread_that_ran_it_left_without_a_result() -> None:
    stream = SyncSharedStream[int](iter_numbers())
    reader = join(stream)
    stream._runs[0] = fan_out_sync._Run()  # an interrupt came before or after the step
    with pytest.raises(InterruptedError, match="another reader was interrupted"):
        next(stream.read(reader))
    with pytest.raises(InterruptedError):
        next(stream.read(stream.first))


def iter_numbers() -> Generator[int, None, None]:
    yield 1
    yield 2
