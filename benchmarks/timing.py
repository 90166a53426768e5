"""Stopwatches that warm up first and return microseconds per operation.

The cost of an empty ``for`` is subtracted, so that a hit of half a microsecond does not
include the loop that repeats it. The garbage collector stays on, as in an application, and
starts from a clean state.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar

from benchmarks.payload import ANSWER, COMPLETION, PROMPT, Ask, BlockingAsk, Model

MICRO: Final = 1e6
TASKS: Final = 64
"""Number of tasks that work at the same time in a row that measures load."""
CALLERS: Final = 1000
"""Number of tasks that wait for the same missing key."""

AskOne: TypeAlias = Callable[[str], Coroutine[Any, Any, Any]]
AsyncVerb: TypeAlias = Callable[[str], Awaitable[object]]
K = TypeVar("K")


def require(value: object, expected: object) -> None:
    """Raise AssertionError if a measured operation does not return the expected value."""
    if value != expected:
        raise AssertionError(f"got {value!s:.60}, expected {expected!s:.60}")


def _divide(seconds: float, n: int) -> float:
    """Return microseconds per operation, without the loop around the operations."""
    start = perf_counter()
    for _ in range(n):
        pass
    empty = perf_counter() - start
    return (seconds - empty) / n * MICRO


async def time_hits(ask: Ask, model: Model, n: int) -> float:
    """Repeat one decorated call, which must reach the model exactly once."""
    for _ in range(max(2, n // 10)):
        await ask(PROMPT, 256, 0.2, top_p=0.9)
    gc.collect()
    start = perf_counter()
    for _ in range(n):
        await ask(PROMPT, 256, 0.2, top_p=0.9)
    seconds = perf_counter() - start
    require(await ask(PROMPT, 256, 0.2, top_p=0.9), ANSWER)
    require(model.calls, 1)
    return _divide(seconds, n)


def time_blocking_hits(ask: BlockingAsk, model: Model, n: int) -> float:
    """Repeat one blocking decorated call, which must reach the model exactly once."""
    for _ in range(max(2, n // 10)):
        ask(PROMPT, 256, 0.2, top_p=0.9)
    gc.collect()
    start = perf_counter()
    for _ in range(n):
        ask(PROMPT, 256, 0.2, top_p=0.9)
    seconds = perf_counter() - start
    require(ask(PROMPT, 256, 0.2, top_p=0.9), ANSWER)
    require(model.calls, 1)
    return _divide(seconds, n)


async def time_async(verb: AsyncVerb, warm: Sequence[str], keys: Sequence[str]) -> float:
    """Await ``verb`` for one key after the other; the keys in ``warm`` go first, untimed."""
    for key in warm:
        await verb(key)
    gc.collect()
    start = perf_counter()
    for key in keys:
        await verb(key)
    return _divide(perf_counter() - start, len(keys))


def time_blocking(verb: Callable[[K], object], warm: Sequence[K], keys: Sequence[K]) -> float:
    """Call ``verb`` for one key after the other; the keys in ``warm`` go first, untimed."""
    for key in warm:
        verb(key)
    gc.collect()
    start = perf_counter()
    for key in keys:
        verb(key)
    return _divide(perf_counter() - start, len(keys))


async def time_concurrent(verb: AsyncVerb, warm: Sequence[str], keys: Sequence[str]) -> float:
    """Divide the keys among `TASKS` tasks; each task awaits ``verb`` for its keys."""

    async def work(some: Sequence[str]) -> None:
        for key in some:
            await verb(key)

    async def divide(all_keys: Sequence[str]) -> None:
        await asyncio.gather(*(work(all_keys[task::TASKS]) for task in range(TASKS)))

    await divide(warm)
    gc.collect()
    start = perf_counter()
    await divide(keys)
    return _divide(perf_counter() - start, len(keys))


async def time_longest_stall(read: AsyncVerb, warm: Sequence[str], keys: Sequence[str]) -> float:
    """Return the longest delay of a 1 ms ticker while `TASKS` tasks read, in milliseconds.

    Each task yields after each read, as a request handler does. The result is therefore the
    cost of one slow read and the queue of the others, not of one task that never yields.
    """
    for key in warm:
        await read(key)
    gc.collect()
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - due)

    async def work(some: Sequence[str]) -> None:
        for key in some:
            await read(key)
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    await asyncio.gather(*(work(keys[task::TASKS]) for task in range(TASKS)))
    ticker.cancel()
    return longest * 1e3


async def time_waiters(decorate: Callable[[AskOne], AskOne], n: int) -> float:
    """Return the cost of each of `CALLERS` tasks that call at once, of which one computes.

    The result includes the task, the wait, and the value, which each caller may change.
    """
    calls = 0
    all_waiting = asyncio.Event()

    async def answer(prompt: str) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        await all_waiting.wait()
        return COMPLETION

    ask = decorate(answer)
    seconds = 0.0
    rounds = max(2, n // CALLERS)
    for number in range(rounds):
        calls = 0
        all_waiting.clear()
        gc.collect()
        start = perf_counter()
        tasks = [asyncio.create_task(ask(f"prompt {number}")) for _ in range(CALLERS)]
        while not calls:  # noqa: ASYNC110 - waits for a turn of the loop, not for a time
            await asyncio.sleep(0)
        all_waiting.set()
        answers = await asyncio.gather(*tasks)
        if number:  # the first round is the warm-up
            seconds += perf_counter() - start
        require(answers, [COMPLETION] * CALLERS)
        require(calls, 1)
    return seconds / (rounds - 1) / CALLERS * MICRO
