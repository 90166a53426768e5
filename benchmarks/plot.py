"""A run as a picture: how long each line takes beside ours, and where it is to lie."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Final

from benchmarks.results import LineResult, RowResult, Run
from benchmarks.svg import KEPT, LINES, OURS, PALE, SHORT, THEIRS, Picture

WIDTH: Final = 1000
LEFT: Final = 275
LONGEST: Final = 32
RIGHT: Final = 800
STEP: Final = 20
TOP: Final = 78


def draw(run: Run, path: Path, only: Sequence[str] = ()) -> None:
    """Draw a run, each line by its ratio to the row's first, on one logarithmic scale.

    Args:
        run: what was measured.
        path: where the SVG goes.
        only: the titles of the rows to draw; all that have figures if empty.
    """
    rows = [row for row in run.rows if row.lines[0].median and (not only or row.row.title in only)]
    scale = Scale(rows)
    picture = Picture(WIDTH)
    height = TOP + sum(STEP * len(row.lines) + 2 * STEP for row in rows) + STEP
    _axis(picture, scale, height)
    top: float = TOP
    for row in rows:
        picture.text(12, top + 14, f"{row.row.id}  {row.row.title}", bold=True)
        top += STEP + 4
        for result in row.lines:
            _line(picture, scale, row, result, top)
            top += STEP
        top += STEP - 4
    where, day = run.environment, run.environment["date"][:10]
    machine = f"{where['cpus']} x {where['processor']}, {where['python']}, {where['filesystem']}"
    rounds = f"median of {run.rounds} rounds, the line from the fastest to the slowest"
    picture.text(
        12, height - 8, f"{machine}, {day}, commit {where['commit']}; {rounds}", fill=PALE, size=11
    )
    picture.write(path, height)


class Scale:
    """Ratios to the first line of their row, as places on the picture.

    Args:
        rows: all that has to find a place.
    """

    def __init__(self, rows: Sequence[RowResult]) -> None:
        ratios = [
            figure / base
            for row in rows
            if (base := row.lines[0].median)
            for result in row.lines
            for figure in result.samples
            if figure > 0
        ]
        self.low = min(floor(log10(min(ratios, default=1.0))), -1)
        self.high = max(ceil(log10(max(ratios, default=1.0))), 1)

    def x(self, ratio: float) -> float:
        """Where a ratio lies; what is off the scale, at its end."""
        exponent = log10(max(ratio, 10.0**self.low))
        share = (exponent - self.low) / (self.high - self.low)
        return LEFT + min(share, 1.0) * (RIGHT - LEFT)


def _axis(picture: Picture, scale: Scale, height: float) -> None:
    picture.text(12, 22, "Time beside aiocache_pe", size=16, bold=True)
    picture.dot(LEFT + 6, 18, 5, fill=OURS)
    picture.text(LEFT + 16, 22, "ours", fill=PALE)
    picture.dot(LEFT + 66, 18, 5, fill=THEIRS)
    picture.text(LEFT + 76, 22, "others", fill=PALE)
    picture.arrow(LEFT + 140, 18, 1, fill=KEPT)
    picture.text(LEFT + 152, 22, "a target that is met", fill=PALE)
    picture.arrow(LEFT + 298, 18, 1, fill=SHORT)
    picture.text(LEFT + 310, 22, "one that is not: which side of the mark is meant", fill=PALE)
    for exponent in range(scale.low, scale.high + 1):
        x = scale.x(10.0**exponent)
        ours = exponent == 0
        picture.line(x, TOP - 16, x, height - 26, ink=OURS if ours else LINES, width=1)
        words = "as ours" if ours else f"{10 ** abs(exponent):,}x {'less' if exponent < 0 else ''}"
        picture.text(
            x,
            TOP - 22,
            words.strip(),
            fill=OURS if ours else PALE,
            anchor="middle",
            size=11,
            bold=ours,
        )
    picture.text(WIDTH - 12, TOP - 22, "median", fill=PALE, anchor="end", size=11)


def _line(picture: Picture, scale: Scale, row: RowResult, result: LineResult, top: float) -> None:
    """One line: its label, its spread, its dot, what is promised of it, its median."""
    middle, text = top + STEP / 2, top + STEP / 2 + 4
    ours = result.line.ours
    picture.text(
        LEFT - 12,
        text,
        _short(result.line.label),
        anchor="end",
        fill=OURS if ours else PALE,
        bold=ours,
    )
    base, figure = row.lines[0].median, result.median
    if not base or figure is None:
        why = result.trouble.status if result.trouble else "not measured"
        picture.text(LEFT + 4, text, why, fill=THEIRS)
        return
    ink, x = OURS if ours else THEIRS, scale.x(figure / base)
    for target, _, word in row.verdicts():
        limit = target.limit(row.medians) if target.line == result.line.label else None
        if limit is not None:
            mark, colour = scale.x(limit / base), KEPT if word == "met" else SHORT
            picture.line(mark, middle, x, middle, ink=colour, width=1)
            picture.arrow(mark, middle, 1 if target.least else -1, fill=colour)
    low, high = (scale.x(sample / base) for sample in (min(result.samples), max(result.samples)))
    picture.line(low, middle, high, middle, ink=ink, width=2)
    picture.dot(x, middle, 5, fill=ink)
    ratio = "" if result is row.lines[0] else f"{figure / base:,.2g}x"
    picture.text(WIDTH - 112, text, ratio, anchor="end", fill=ink, bold=ours)
    picture.text(
        WIDTH - 12,
        text,
        f"{figure:,.{_digits(figure)}f} {row.row.lines[0].unit}",
        anchor="end",
        fill=PALE,
    )


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}\u2026"


def _digits(figure: float) -> int:
    return 0 if figure >= 100 else 1 if figure >= 10 else 2  # noqa: PLR2004 - three digits
