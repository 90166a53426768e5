"""A run as text: with rich when it is there, in plain columns when it is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from benchmarks.job import Weight
from benchmarks.results import LineResult, RowResult, Run
from benchmarks.row import Unit

HEAD: Final = ("", "median", "min", "max", "to first", "")
STYLES: Final = {"met": "green", "short": "red", "open": "dim", "failed": "red"}
UNITS: Final[dict[Unit, str]] = {"us": "us per operation", "ms": "ms", "bytes": "bytes"}
MIB: Final = 1 << 20


def show(run: Run) -> None:
    """Print every row of a run, then where and with what it was measured."""
    for row in run.rows:
        title = f"{row.row.id}  {row.row.title}, {UNITS[row.row.lines[0].unit]}"
        cells = [_cells(result, row.lines[0].median) for result in row.lines]
        if find_spec("rich") is None:
            _print_plain(title, cells, row)
        else:
            _print_rich(title, cells, row)
    for store in run.stores:
        print(weight(store))
    place = ", ".join(f"{name} {value}" for name, value in run.environment.items())
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    print(f"{place}\n{versions}\nload {run.load_after} at the end")
    print(f"median of {run.rounds} rounds; ratios hold, figures drift")
    if run.quick:
        print("a quick run, for a first look: what is published comes from a full one")


def weight(store: Weight) -> str:
    """A filled store in one sentence."""
    return (
        f"{store['entries']:,} entries: filled in {store['seconds']:.1f} s, "
        f"{store['files']:,} files, {store['apparent_bytes'] / MIB:,.1f} MiB apparent, "
        f"{store['allocated_bytes'] / MIB:,.1f} MiB allocated"
    )


def _cells(result: LineResult, first: float | None) -> tuple[str, ...]:
    """One line of the table: its figures and notes, or why there are none."""
    middle, trouble = result.median, result.trouble
    if middle is None:
        return (result.line.label, "", "", "", "", trouble.status if trouble else "not measured")
    figures = (middle, min(result.samples), max(result.samples))
    notes = result.answers[-1].notes.items()
    return (
        result.line.label,
        *(f"{figure:,.2f}" for figure in figures),
        f"{middle / first:.2f}" if first else "",
        ", ".join(f"{name} {value:g}" for name, value in notes),
    )


def _remarks(row: RowResult) -> Iterable[tuple[str, str]]:
    """Below the table: each target with its verdict, then what failed and why."""
    for target, figure, word in row.verdicts():
        reached = "no figure" if figure is None else f"reached {figure:,.2f}"
        yield word, f"{target}: {reached}"
    for result in row.lines:
        if result.trouble and result.trouble.status == "failed":
            yield "failed", f"{result.line.label}: {result.trouble.detail}"


def _print_rich(title: str, cells: Sequence[tuple[str, ...]], row: RowResult) -> None:
    console = import_module("rich.console").Console(highlight=False)
    table = import_module("rich.table").Table(box=None)
    for place, name in enumerate(HEAD):
        is_last = place == len(HEAD) - 1  # the notes, which leave the figures their room
        table.add_column(name, justify="right" if name else "left", no_wrap=not is_last)
    for line in cells:
        table.add_row(*line)
    console.print(title, style="bold")
    console.print(table)
    for word, sentence in _remarks(row):
        console.print(f"  {word:<8}{sentence}", style=STYLES[word], markup=False)
    console.print()


def _print_plain(title: str, cells: Sequence[tuple[str, ...]], row: RowResult) -> None:
    lines = [HEAD, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    print(title)
    for name, *figures, last in lines:
        columns = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=False)]
        print("  ".join([name.ljust(widths[0]), *columns, last]).rstrip())
    for word, sentence in _remarks(row):
        print(f"  {word:<8}{sentence}")
    print()
