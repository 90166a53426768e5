"""Report of a run as text tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.job import Measurement
from benchmarks.results import LineResult, RowResult

STYLES: Final = {"met": "green", "short": "red", "open": "dim"}


def print_rows(rows: Sequence[RowResult]) -> None:
    """Print a table for every row, then its targets with their verdicts, then its failures."""
    console = Console(highlight=False, markup=False)
    for row in rows:
        unit = row.row.lines[0].unit
        console.print(f"{row.row.id}  {row.row.title}, {unit}", style="bold")
        console.print(_make_table(row))
        for target, figure, word in row.judge():
            reached = "no figure" if figure is None else f"reached {figure:,.2f}"
            console.print(f"  {word:<8}{target}: {reached}", style=STYLES[word])
        for result in row.lines:
            if result.failure and result.failure.status == "failed":
                console.print(f"  failed  {result.line.label}: {result.failure.detail}")
        console.print()


def print_stores(stores: Mapping[int, Measurement]) -> None:
    """Print the cost of each filled store."""
    for entries, filled in stores.items():
        notes = ", ".join(f"{name} {value:,}" for name, value in filled.notes.items())
        print(f"{entries:,} entries: filled in {filled.value:.1f} s, {notes}")


def print_environment(environment: Mapping[str, Any]) -> None:
    """Print the machine, the commit and the versions."""
    for name, value in environment.items():
        is_dict = isinstance(value, dict)
        print(f"{name}: {', '.join(map(' '.join, value.items())) if is_dict else value}")


def _make_table(row: RowResult) -> Table:
    table = Table(box=None)
    for name in ("", "median", "min", "max", "to first"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for result in row.lines:
        table.add_row(*_make_cells(result, row.lines[0].median))
    return table


def _make_cells(result: LineResult, first: float | None) -> tuple[str, ...]:
    middle = result.median
    if middle is None:
        return (result.line.label, result.failure.status if result.failure else "not measured")
    figures = [f"{figure:,.2f}" for figure in (middle, min(result.samples), max(result.samples))]
    return (result.line.label, *figures, f"{middle / first:.2f}" if first else "")
