"""Many callers who want one value that is not there: what each of them costs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, TypeAlias

from benchmarks.payload import COMPLETION
from benchmarks.timing import MICRO, require

CALLERS = 1000
AskOne: TypeAlias = Callable[[str], Coroutine[Any, Any, Any]]


class SlowModel:
    """Answers when all callers are there, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self._all_here = asyncio.Event()

    async def ask(self, prompt: str) -> dict[str, Any]:
        """The function to decorate."""
        self.calls += 1
        await self._all_here.wait()
        return COMPLETION

    def gather(self) -> None:
        """From now on, wait for the callers."""
        self._all_here.clear()

    def answer(self) -> None:
        """They are there."""
        self._all_here.set()


async def crowded(decorate: Callable[[AskOne], AskOne], n: int) -> float:
    """Microseconds for each of 1,000 tasks that call at once, of which one computes.

    Everything is in it: the task, the waiting, and the value, which each caller may change.
    """
    model = SlowModel()
    ask = decorate(model.ask)
    seconds = 0.0
    rounds = max(2, n // CALLERS)
    for number in range(rounds):
        model.gather()
        gc.collect()
        start = perf_counter()
        tasks = [asyncio.create_task(ask(f"prompt {number}")) for _ in range(CALLERS)]
        while not model.calls:  # noqa: ASYNC110 - the next turn of the loop, not a time
            await asyncio.sleep(0)
        model.answer()
        answers = await asyncio.gather(*tasks)
        if number:  # the first is the warm-up
            seconds += perf_counter() - start
        require(answers, [COMPLETION] * CALLERS)
        require(model.calls, 1)
        model.calls = 0
    return seconds / (rounds - 1) / CALLERS * MICRO
