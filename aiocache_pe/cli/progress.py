"""A sign of life while something takes long, for a person who waits at a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiocache_pe.cli.output import on_terminal

_PATIENCE = 0.4  # seconds; what is done by then needs no bar
_STEP = 0.1  # seconds between two looks at how far it is


@dataclass(slots=True)
class Progress:
    """How far the work is; the bar fills as soon as the total is known."""

    done: int = 0
    total: int | None = None


@asynccontextmanager
async def progress(doing: str) -> AsyncGenerator[Progress]:
    """Show a bar on the standard error while the block runs, if it runs for long.

    Where the store does the work in one go and does not say how far it is, the bar moves
    and counts the time, and does not fill.

    Args:
        doing: what is being done, for instance ``"Removing entries"``.

    Yields:
        What to raise as the work goes on.
    """
    state = Progress()
    if not on_terminal(sys.stderr):
        yield state
        return
    bar = asyncio.create_task(_show(doing, state))
    try:
        yield state
    finally:
        bar.cancel()
        await asyncio.wait({bar})  # and not for itself: its end would look like Ctrl-C
        if not bar.cancelled():
            bar.result()


async def _show(doing: str, state: Progress) -> None:
    await asyncio.sleep(_PATIENCE)
    # Late: most commands end before there is anything to show, and it is slow to import.
    from rich import progress as shown  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        shown.TextColumn("{task.description}"),
        shown.BarColumn(),
        shown.TimeElapsedColumn(),
    )
    with shown.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        while True:
            bar.update(task, completed=state.done, total=state.total)
            await asyncio.sleep(_STEP)
