"""diskcache: SQLite and files, blocking; the yardstick for everything on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from diskcache import Cache  # type: ignore[import-untyped]  # has no type information

from benchmarks.job import Job, Sample
from benchmarks.payload import ANSWER, COMPLETION, TTL, Model, around, before, keys, to_read
from benchmarks.timing import (
    awaited,
    blocking,
    blocking_call,
    blocking_misses,
    require,
    worst_stall,
)

PACKAGES = ("diskcache",)


def text_get(job: Job) -> Sample:
    """``get`` of the one text that the decorators of the same row return."""
    with Cache(str(job.directory)) as cache:
        cache.set("answer", ANSWER, expire=TTL)
        require(cache.get("answer"), ANSWER)
        return Sample(blocking(cache.get, ["answer"] * 100, ["answer"] * job.n))


def memoize_hit(job: Job) -> Sample:
    """A hit through its own decorator."""
    model = Model()
    with Cache(str(job.directory)) as cache:
        ask = cache.memoize(expire=TTL)(model.blocking_function())
        return Sample(blocking_call(ask, model, job.n))


def memoize_miss(job: Job) -> Sample:
    """A call through its own decorator that is computed and stored."""
    model = Model()
    with Cache(str(job.directory)) as cache:
        ask = cache.memoize(expire=TTL)(model.blocking_function())
        return Sample(blocking_misses(ask, model, job.n))


def get(job: Job) -> Sample:
    """``get``, the pages warm."""
    some = to_read(job.n)
    with _filled(job.directory, some) as cache:
        return Sample(blocking(cache.get, some, around(some, job.n)))


async def get_in_thread(job: Job) -> Sample:
    """The same in a thread, as an application with a loop has to use it."""
    some = to_read(job.n)
    with _filled(job.directory, some) as cache:
        read = partial(asyncio.to_thread, cache.get)
        return Sample(await awaited(read, some, around(some, job.n)))


async def stall(job: Job) -> Sample:
    """What blocking reads do to the loop."""
    some = to_read(job.n)
    with _filled(job.directory, some) as cache:

        async def read(key: str) -> object:
            return cache.get(key)

        return Sample(await worst_stall(read, some, around(some, job.n)))


async def stall_in_thread(job: Job) -> Sample:
    """What reads in threads do to it."""
    some = to_read(job.n)
    with _filled(job.directory, some) as cache:
        read = partial(asyncio.to_thread, cache.get)
        return Sample(await worst_stall(read, some, around(some, job.n)))


def set_new(job: Job) -> Sample:
    """``set`` to new keys."""
    return _set(job.directory, keys(job.n // 10, "warm"), keys(job.n))


def set_again(job: Job) -> Sample:
    """``set`` to keys that are there."""
    return _set(job.directory, keys(job.n), keys(job.n))


def _set(directory: Path, warm: Sequence[str], some: Sequence[str]) -> Sample:
    with _filled(directory, before(len(some))) as cache:
        store = partial(cache.set, value=COMPLETION, expire=TTL)
        return Sample(blocking(store, warm, some))


def _filled(directory: Path, some: Sequence[str]) -> Cache:
    cache = Cache(str(directory))
    with cache.transact():
        for key in some:
            cache.set(key, COMPLETION, expire=TTL)
    require(cache.get(some[0]), COMPLETION)
    return cache
