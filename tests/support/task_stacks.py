"""Stacks of all threads and of all tasks, printed when a process hangs."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

_GRACE_SECONDS = 10  # for the stacks of the tasks, after which the process ends without them


def exit_after(seconds: float) -> None:
    """Print all stacks and end the process, unless it has ended after some seconds.

    The stack of a thread whose event loop is idle does not show the calls that hang. They are in
    the tasks of the loop.
    """
    timer = threading.Timer(seconds, _exit)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + _GRACE_SECONDS, exit=True)


def format_tasks() -> Iterator[str]:
    """Yield a line for each task of all event loops of the process, and one for each frame."""
    loops = [each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop)]
    for loop in loops:
        for task in asyncio.all_tasks(loop):
            yield repr(task)
            yield from _format_frames(task.get_coro())


def _format_frames(awaited: Any) -> Iterator[str]:
    """Yield a line for each frame of a suspended coroutine, the innermost one last."""
    while awaited is not None:
        frame = _get(awaited, "frame")
        if frame is None:
            yield f"  waits for {awaited!r}"
            return
        yield f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        awaited = _get(awaited, "await") or _get(awaited, "yieldfrom")


def _get(awaited: Any, name: str) -> Any:
    """Return an attribute of a coroutine, an asynchronous generator or a generator."""
    for kind in ("cr", "ag", "gi"):
        if (found := getattr(awaited, f"{kind}_{name}", None)) is not None:
            return found
    return None


def _exit() -> None:
    faulthandler.dump_traceback()
    sys.stderr.write("\n".join(["tasks:", *format_tasks(), ""]))
    sys.stderr.flush()
    os._exit(1)
