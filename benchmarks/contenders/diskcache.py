"""diskcache: SQLite and files, blocking; the reference for everything on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial

from diskcache import Cache  # type: ignore[import-untyped]  # the library carries no types

from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import ANSWER, COMPLETION, TTL


@contextmanager
def open_disk(job: Job, value: object = COMPLETION) -> Iterator[Store]:
    """Open the cache; its functions block."""
    with Cache(str(job.directory)) as cache:

        def fill(keys: Sequence[str]) -> None:
            with cache.transact():
                for key in keys:
                    cache.set(key, value, expire=TTL)

        yield Store(
            decorate=cache.memoize(expire=TTL),
            get=cache.get,
            put=partial(cache.set, value=value, expire=TTL),
            fill=fill,
            value=value,
        )


@contextmanager
def open_one_text(job: Job) -> Iterator[Store]:
    """Open the cache for reads of the one text that the decorated functions return."""
    with open_disk(job, ANSWER) as store:
        yield replace(store, working_set=1)


@asynccontextmanager
async def open_on_loop(job: Job) -> AsyncIterator[Store]:
    """Open the cache for coroutines that block the event loop."""
    with open_disk(job) as store:

        async def get(key: str) -> object:
            return store.get(key)

        async def fill(keys: Sequence[str]) -> None:
            store.fill(keys)

        yield Store(get=get, fill=fill)
