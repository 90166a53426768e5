"""Simulated event loop: a seed repeats a schedule, and no hang stays unseen."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.simulation.loop import HangError, SimulatedLoop
from tests.support.simulation.schedules import KINDS, Schedule

TASKS: list[asyncio.Future[None]] = []
"""Tasks that a test leaves behind; the loop itself keeps no reference to them."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_schedule_in_every_process(kind: str) -> None:
    schedule = Schedule(kind, 4)
    schedule.run()
    again = Schedule(kind, 4)
    again.run()
    assert again.log == schedule.log
    command = [sys.executable, "-m", "tests.support.simulation.schedules", kind, "4"]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.splitlines() == schedule.log


async def wait_for_nothing() -> None:
    await asyncio.get_running_loop().create_future()


async def repeat_without_end() -> None:
    while True:  # noqa: ASYNC110 - no event ends it
        await asyncio.sleep(3600)


async def leave_a_task() -> None:
    TASKS.append(asyncio.ensure_future(asyncio.sleep(60)))


@pytest.mark.parametrize("main", [wait_for_nothing, repeat_without_end, leave_a_task])
def test_the_loop_finds_tasks_that_never_end(
    main: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    with pytest.raises(HangError):
        SimulatedLoop(random.Random(1)).run(main())
