"""Progress bar for operations that take long, at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from aiocache_pe.cli.output import is_terminal

Update = Callable[[int, int | None], None]
"""Function that takes the done part of the work, and the whole; ``None`` if it is unknown."""


@contextmanager
def show_progress(title: str) -> Generator[Update]:
    """Show a progress bar on standard error while the block runs, which may move it.

    If the store does all of the work in one operation, the bar moves and shows the time, and
    does not fill.
    """
    if not is_terminal(sys.stderr):
        yield lambda done, total: None
        return
    # Imported late, because it is slow, and most commands show no bar.
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
