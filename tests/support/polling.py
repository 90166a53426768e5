"""Waiting for conditions with a deadline; open files and the environment of processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.002
"""Seconds between two checks of a condition."""


async def poll(condition: Callable[[], object], *, deadline: float = 10.0) -> None:
    """Wait until a condition holds, without blocking the event loop.

    Args:
        condition: called repeatedly; it must not block.
        deadline: seconds in which it must hold, even on the slowest machine.

    Raises:
        AssertionError: the condition did not hold in time.
    """
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"still not so after {deadline} s: {condition}"
        await asyncio.sleep(POLL_SECONDS)


def poll_blocking(condition: Callable[[], object], *, deadline: float = 10.0) -> None:
    """Wait until a condition holds; see `poll`, for callers without an event loop."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"still not so after {deadline} s: {condition}"
        time.sleep(POLL_SECONDS)


def list_open_files(directory: Path) -> list[str]:
    """Return the paths of the files below a directory that this process holds open."""
    paths: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed in the meantime
            paths.append(str(descriptor.readlink()))
    return [path for path in paths if path.startswith(str(directory))]


def make_environment() -> dict[str, str]:
    """Return the environment for a process without coverage.

    Coverage's own files and locks fail in a process that may not write to its directory, or that
    forks while a thread holds a lock.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
