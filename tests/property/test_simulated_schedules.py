"""Random schedules of callers over a simulated event loop and store keep all promises.

`tests.support.simulation.schedules` lists the promises. ``make stress`` tries other seeds each
time. A failure prints the command that repeats its schedule.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.support.scale import is_full_run, report, scale_size
from tests.support.simulation.faults import FAULTS, find_fault
from tests.support.simulation.loop import HangError, SimulatedLoop
from tests.support.simulation.schedules import KINDS, Schedule, run_schedules

TASKS: list[asyncio.Future[None]] = []
"""Tasks that a test leaves behind; the loop itself keeps no reference to them."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_all_schedules_keep_all_promises(kind: str) -> None:
    first, began = time.time_ns() % 10**9 if is_full_run() else 0, time.perf_counter()
    count, steps = run_schedules(kind, range(first, first + scale_size(300)))
    rate = count / (time.perf_counter() - began)
    report(f"simulation, {kind}: {count} schedules from {first}, {steps} steps, {rate:.0f}/s")


def test_a_refresh_within_a_refresh_is_joined_by_no_later_caller() -> None:
    run_schedules("memory", [5002673])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_is_put_back_is_found(name: str, tmp_path: Path) -> None:
    found = find_fault(FAULTS[name], tmp_path)
    assert found is not None
    assert FAULTS[name].message in found.message
    report(f"fault found by seed {found.seed} after {found.seconds:.1f} s: {name}")


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
