"""The stopwatches. All of them warm up first and give microseconds per operation.

The cost of an empty ``for`` is measured beside and taken off, so that a hit of half a
microsecond is not charged for the loop that repeats it. The garbage collector stays on,
as in an application, but starts from a clean slate.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Final, TypeAlias, TypeVar

from benchmarks.payload import ANSWER, PROMPT, Ask, BlockingAsk, Model

MICRO: Final = 1e6
TASKS: Final = 64
"""How many tasks are at work when a row says that there is load."""

Awaited: TypeAlias = Callable[[str], Awaitable[object]]
K = TypeVar("K")


def _per_operation(seconds: float, n: int) -> float:
    """Microseconds for one of ``n``, without the loop around them."""
    start = perf_counter()
    for _ in range(n):
        pass
    empty = perf_counter() - start
    return (seconds - empty) / n * MICRO


async def awaited_hit(call: Callable[[], Awaitable[object]], n: int) -> float:
    """Repeat one call without arguments, whatever it returns."""
    for _ in range(max(2, n // 10)):
        await call()
    gc.collect()
    start = perf_counter()
    for _ in range(n):
        await call()
    return _per_operation(perf_counter() - start, n)


async def awaited_call(ask: Ask, model: Model, n: int) -> float:
    """Repeat one decorated call, which must reach the model exactly once."""
    for _ in range(max(2, n // 10)):
        await ask(PROMPT, 256, 0.2, top_p=0.9)
    gc.collect()
    start = perf_counter()
    for _ in range(n):
        await ask(PROMPT, 256, 0.2, top_p=0.9)
    seconds = perf_counter() - start
    require(await ask(PROMPT, 256, 0.2, top_p=0.9), ANSWER)
    require(len(model.calls), 1)
    return _per_operation(seconds, n)


def blocking_call(ask: BlockingAsk, model: Model, n: int) -> float:
    """Repeat one blocking decorated call, which must reach the model exactly once."""
    for _ in range(max(2, n // 10)):
        ask(PROMPT, 256, 0.2, top_p=0.9)
    gc.collect()
    start = perf_counter()
    for _ in range(n):
        ask(PROMPT, 256, 0.2, top_p=0.9)
    seconds = perf_counter() - start
    require(ask(PROMPT, 256, 0.2, top_p=0.9), ANSWER)
    require(len(model.calls), 1)
    return _per_operation(seconds, n)


def blocking_misses(ask: BlockingAsk, model: Model, n: int) -> float:
    """Microseconds of a call to a plain function that is computed each time."""
    prompts = [f"question {number}" for number in range(n)]
    microseconds = blocking(
        lambda prompt: ask(prompt, 256, 0.0, top_p=0.5), ["warm", "up"], prompts
    )
    require(len(model.calls), n + 2)
    return microseconds


async def awaited(verb: Awaited, warm: Sequence[str], keys: Sequence[str]) -> float:
    """Await ``verb`` for one key after the other; ``warm`` is gone through first, untimed."""
    for key in warm:
        await verb(key)
    gc.collect()
    start = perf_counter()
    for key in keys:
        await verb(key)
    return _per_operation(perf_counter() - start, len(keys))


def blocking(verb: Callable[[K], object], warm: Sequence[K], keys: Sequence[K]) -> float:
    """Call ``verb`` for one key after the other; ``warm`` is gone through first, untimed."""
    for key in warm:
        verb(key)
    gc.collect()
    start = perf_counter()
    for key in keys:
        verb(key)
    return _per_operation(perf_counter() - start, len(keys))


async def concurrent(verb: Awaited, warm: Sequence[str], keys: Sequence[str]) -> float:
    """Share ``keys`` among `TASKS` tasks that await ``verb`` side by side."""

    async def work(some: Sequence[str]) -> None:
        for key in some:
            await verb(key)

    async def together(all_keys: Sequence[str]) -> None:
        await asyncio.gather(*(work(all_keys[task::TASKS]) for task in range(TASKS)))

    await together(warm)
    gc.collect()
    start = perf_counter()
    await together(keys)
    return _per_operation(perf_counter() - start, len(keys))


async def worst_stall(read: Awaited, warm: Sequence[str], keys: Sequence[str]) -> float:
    """The longest the loop kept a 1 ms ticker waiting while `TASKS` tasks read; milliseconds.

    Each task gives way after each read, as a request handler does, so what is measured is
    one read at its worst and the queue of the others, not one task that never lets go.
    """
    for key in warm:
        await read(key)
    gc.collect()
    loop = asyncio.get_running_loop()
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            worst = max(worst, loop.time() - due)

    async def work(some: Sequence[str]) -> None:
        for key in some:
            await read(key)
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    await asyncio.gather(*(work(keys[task::TASKS]) for task in range(TASKS)))
    ticker.cancel()
    return worst * 1e3


def require(value: object, expected: object) -> None:
    """Stop a measurement that does not do what it says, a hit that is a miss for one."""
    if value != expected:
        raise AssertionError(f"got {value!s:.60}, expected {expected!s:.60}")
