"""Progress bar for operations that take long, at a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiocache_pe.cli.output import is_terminal

_DELAY_SECONDS = 0.4  # shorter operations show no bar
_UPDATE_SECONDS = 0.1


@dataclass(slots=True)
class Progress:
    """State of an operation; the bar fills once the total is known."""

    done: int = 0
    total: int | None = None


@asynccontextmanager
async def show_progress(title: str) -> AsyncGenerator[Progress]:
    """Show a progress bar on standard error while the block runs, unless it ends soon.

    If the store does all of the work in one operation, the bar moves and shows the time, and
    does not fill.

    Args:
        title: the title, such as ``"Removing entries"``.

    Yields:
        The progress, which the block updates.
    """
    progress = Progress()
    if not is_terminal(sys.stderr):
        yield progress
        return
    bar = asyncio.create_task(_draw(title, progress))
    try:
        yield progress
    finally:
        bar.cancel()
        # Awaiting the task itself would raise its CancelledError, which looks like Ctrl-C.
        await asyncio.wait({bar})
        if not bar.cancelled():
            bar.result()


async def _draw(title: str, progress: Progress) -> None:
    await asyncio.sleep(_DELAY_SECONDS)
    # Imported late: it is slow, and most commands end before there is anything to show.
    from rich import progress as rich_progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        while True:
            bar.update(task, completed=progress.done, total=progress.total)
            await asyncio.sleep(_UPDATE_SECONDS)
