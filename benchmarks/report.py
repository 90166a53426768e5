"""Report of a run as text tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.results import LineResult, RowResult, Run
from benchmarks.row import Unit

COLUMNS: Final = ("", "median", "min", "max", "to first", "")
STYLES: Final = {"met": "green", "short": "red", "open": "dim", "failed": "red"}
UNITS: Final[dict[Unit, str]] = {
    "us": "us per operation",
    "ms": "ms",
    "bytes": "bytes",
    "x": "multiples",
}
MIB: Final = 1 << 20


def print_run(run: Run) -> None:
    """Print every row, then the environment of the run."""
    console = Console(highlight=False, markup=False)
    for row in run.rows:
        console.print(f"{row.row.id}  {row.row.title}, {UNITS[row.row.lines[0].unit]}", style="bold")
        console.print(_make_table(row))
        for word, remark in _make_remarks(row):
            console.print(f"  {word:<8}{remark}", style=STYLES[word])
        console.print()
    for entries, filled in run.stores.items():
        print(
            f"{entries:,} entries: filled in {filled.value:.1f} s, "
            f"{filled.notes['files']:,} files, {filled.notes['bytes'] / MIB:,.1f} MiB, "
            f"{filled.notes['allocated_bytes'] / MIB:,.1f} MiB allocated"
        )
    for name, value in run.environment.items():
        if isinstance(value, dict):
            value = ", ".join(f"{package} {number}" for package, number in value.items())
        print(f"{name}: {value}")
    print(f"load at the end: {run.load_after}")
    print(f"median of {run.rounds} rounds; compare the ratios, not the figures of two runs")
    if run.is_quick:
        print("quick run: publish figures of a full run only")


def _make_table(row: RowResult) -> Table:
    table = Table(box=None)
    for name in COLUMNS[:-1]:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_column(COLUMNS[-1])
    for result in row.lines:
        table.add_row(*_make_cells(result, row.lines[0].median))
    return table


def _make_cells(result: LineResult, first: float | None) -> tuple[str, ...]:
    middle = result.median
    if middle is None:
        status = result.failure.status if result.failure else "not measured"
        return (result.line.label, "", "", "", "", status)
    figures = (middle, min(result.samples), max(result.samples))
    notes = result.measurements[-1].notes.items()
    return (
        result.line.label,
        *(f"{figure:,.2f}" for figure in figures),
        f"{middle / first:.2f}" if first else "",
        ", ".join(f"{name} {value:g}" for name, value in notes),
    )


def _make_remarks(row: RowResult) -> Iterator[tuple[str, str]]:
    """Yield each target with its verdict, then each failure with its reason."""
    for target, figure, word in row.judge():
        reached = "no figure" if figure is None else f"reached {figure:,.2f}"
        yield word, f"{target}: {reached}"
    for result in row.lines:
        if result.failure and result.failure.status == "failed":
            yield "failed", f"{result.line.label}: {result.failure.detail}"
