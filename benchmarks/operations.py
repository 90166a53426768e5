"""Operations on a `Store`; each returns the cost of one operation, in microseconds.

The functions of asynchronous stores are coroutines. The blocking ones begin with ``blocking``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks import timing
from benchmarks.contenders import Store
from benchmarks.job import Job
from benchmarks.payload import Model, make_chats, make_keys, repeat_keys
from benchmarks.timing import require

BATCH = 1000
ENTRIES_BEFORE = 2000

Stopwatch = Callable[..., Awaitable[float]]


async def hit(store: Store, job: Job) -> float:
    """Await a decorated function that hits."""
    model = Model()
    return await timing.time_hits(store.decorate(model.make_function()), model, job.n)


async def miss(store: Store, job: Job) -> float:
    """Await a decorated function that misses and returns at once."""
    model = Model()
    ask = store.decorate(model.make_function())
    microseconds = await timing.time_async(
        lambda prompt: ask(prompt, 256, 0.0, top_p=0.5),
        make_keys(2, "warm"),
        make_keys(job.n, "question"),
    )
    require(model.calls, job.n + 2)
    return microseconds


async def wait_for_one_call(store: Store, job: Job) -> float:
    """Await a decorated function from 1,000 tasks, of which one computes."""
    return await timing.time_waiters(store.decorate, job.n)


async def get(store: Store, job: Job) -> float:
    """Read existing keys in turn."""
    keys = make_keys(min(store.working_set, job.n))
    await store.fill(keys)
    require(await store.get(keys[0]), store.value)
    return await timing.time_async(store.get, keys, repeat_keys(keys, job.n))


async def get_many(store: Store, job: Job) -> float:
    """Read 1,000 keys in one call; the result is the cost of the call."""
    keys = make_keys(BATCH)
    await store.fill(keys)
    require(await store.get_many(keys), dict.fromkeys(keys, store.value))
    calls = make_keys(job.n)
    return await timing.time_async(lambda _: store.get_many(keys), calls[:2], calls)


async def stall(store: Store, job: Job) -> float:
    """Return the longest stall of the event loop while tasks read, in milliseconds."""
    keys = make_keys(min(store.working_set, job.n))
    await store.fill(keys)
    return await timing.time_longest_stall(store.get, keys, repeat_keys(keys, job.n))


async def make_new_keys(store: Store, job: Job) -> float:
    """Make the keys of chat calls that were not made before."""
    return timing.time_blocking(store.make_key, make_chats(job.n // 10, "warm"), make_chats(job.n))


def blocking_hit(store: Store, job: Job) -> float:
    """Call a decorated plain function that hits."""
    model = Model()
    ask = store.decorate(model.make_blocking_function())
    return timing.time_blocking_hits(ask, model, job.n)


def blocking_miss(store: Store, job: Job) -> float:
    """Call a decorated plain function that misses and returns at once."""
    model = Model()
    ask = store.decorate(model.make_blocking_function())
    microseconds = timing.time_blocking(
        lambda prompt: ask(prompt, 256, 0.0, top_p=0.5),
        make_keys(2, "warm"),
        make_keys(job.n, "question"),
    )
    require(model.calls, job.n + 2)
    return microseconds


def blocking_get(store: Store, job: Job) -> float:
    """Read existing keys in turn."""
    keys = make_keys(min(store.working_set, job.n))
    store.fill(keys)
    require(store.get(keys[0]), store.value)
    return timing.time_blocking(
        store.get, repeat_keys(keys, max(100, len(keys))), repeat_keys(keys, job.n)
    )


async def _put(stopwatch: Stopwatch, store: Store, job: Job, *, is_new: bool) -> float:
    keys = make_keys(job.n)
    warm = make_keys(job.n // 10, "warm") if is_new else keys
    await store.fill(_make_earlier_keys(job))
    microseconds = await stopwatch(store.put, warm, keys)
    require(await store.get(keys[-1]), store.value)
    return microseconds


async def _put_batches(store: Store, job: Job, *, is_new: bool) -> float:
    keys = make_keys(max(BATCH, job.n))
    batches = {str(at): keys[at : at + BATCH] for at in range(0, len(keys), BATCH)}
    await store.fill(_make_earlier_keys(job))
    await store.fill(make_keys(BATCH, "warm") if is_new else keys)
    microseconds = await timing.time_async(lambda at: store.fill(batches[at]), (), list(batches))
    require(await store.get(keys[-1]), store.value)
    return microseconds * len(batches) / len(keys)


def _blocking_put(store: Store, job: Job, *, is_new: bool) -> float:
    keys = make_keys(job.n)
    warm = make_keys(job.n // 10, "warm") if is_new else keys
    store.fill(_make_earlier_keys(job))
    return timing.time_blocking(store.put, warm, keys)


def _make_earlier_keys(job: Job) -> list[str]:
    """Return keys that exist before new ones are timed: a store in use has its directories."""
    return make_keys(min(ENTRIES_BEFORE, job.n), "before")


# One key after the other, from 64 tasks, and in batches of 1,000 (the cost of one key).
set_new = partial(_put, timing.time_async, is_new=True)
set_existing = partial(_put, timing.time_async, is_new=False)
concurrent_set_new = partial(_put, timing.time_concurrent, is_new=True)
concurrent_set_existing = partial(_put, timing.time_concurrent, is_new=False)
set_many_new = partial(_put_batches, is_new=True)
set_many_existing = partial(_put_batches, is_new=False)
blocking_set_new = partial(_blocking_put, is_new=True)
blocking_set_existing = partial(_blocking_put, is_new=False)
