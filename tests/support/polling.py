"""What tests of every kind need: patience that has an end, and a look at what is held open."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.002
"""Seconds between two looks."""


async def poll(condition: Callable[[], object], *, deadline: float = 10.0) -> None:
    """Return as soon as a condition holds; the loop is free meanwhile.

    Args:
        condition: asked again and again; it must not block.
        deadline: seconds after which it should have held on the slowest machine.

    Raises:
        AssertionError: it did not hold in time.
    """
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"still not so after {deadline} s: {condition}"
        await asyncio.sleep(POLL_SECONDS)


def poll_blocking(condition: Callable[[], object], *, deadline: float = 10.0) -> None:
    """The same where no loop runs."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"still not so after {deadline} s: {condition}"
        time.sleep(POLL_SECONDS)


def list_open_files(directory: Path) -> list[str]:
    """What this process holds open below a directory; what other tests left is not meant."""
    held: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed just now
            held.append(str(descriptor.readlink()))
    return [path for path in held if path.startswith(str(directory))]


def make_environment() -> dict[str, str]:
    """The environment for a process that coverage would get in the way of.

    One that may not write where it is, or that forks while a thread holds a lock:
    coverage's own files and locks would fail there, and that is not what is tested.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
