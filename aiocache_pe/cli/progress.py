"""A sign of life while something takes long, for a person who waits at a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from aiocache_pe.cli.output import on_terminal

_PATIENCE = 0.4  # seconds; what is done by then needs no bar


@asynccontextmanager
async def progress(doing: str) -> AsyncGenerator[None]:
    """Show a bar on the standard error while the block runs, if it runs for long.

    The store does such work in one go and does not say how far it is, so the bar moves
    and counts the time, and does not fill.

    Args:
        doing: what is being done, for instance ``"Removing entries"``.
    """
    if not on_terminal(sys.stderr):
        yield
        return
    bar = asyncio.create_task(_show(doing))
    try:
        yield
    finally:
        bar.cancel()
        with suppress(asyncio.CancelledError):
            await bar


async def _show(doing: str) -> None:
    await asyncio.sleep(_PATIENCE)
    # Late: most commands end before there is anything to show, and it is slow to import.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(doing, total=None)
        await asyncio.Event().wait()
