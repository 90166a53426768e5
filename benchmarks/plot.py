"""A run as a picture: one SVG, no library, readable in any browser and in a diff."""

from __future__ import annotations

from html import escape
from math import floor, log10
from pathlib import Path
from typing import Final

from benchmarks.results import LineResult, RowResult, Run

LEFT: Final = 220
WIDTH: Final = 900
STEP: Final = 22
OURS: Final = "#0b7a75"
THEIRS: Final = "#9aa5b1"


def draw(run: Run, path: Path) -> None:
    """Write a bar per line, row by row, on a logarithmic scale of each row's own."""
    parts: list[str] = []
    top = STEP
    for row in run.rows:
        title = f"{row.row.id}  {row.row.title} ({row.row.lines[0].unit})"
        parts.append(f'<text x="8" y="{top}" font-weight="bold">{escape(title)}</text>')
        top += STEP // 2
        for result in row.lines:
            parts.append(_bar(row, result, top))
            top += STEP
        top += STEP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{WIDTH}" height="{top}" fill="white"/>'
    )
    path.write_text("\n".join([head, *parts, "</svg>"]) + "\n")


def _bar(row: RowResult, result: LineResult, top: int) -> str:
    """One line: its label, its bar, a mark from the fastest to the slowest round, its median."""
    base = top + STEP * 0.65
    label = f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{escape(result.line.label)}</text>'
    middle = result.median
    if middle is None:
        why = result.trouble.status if result.trouble else "not measured"
        return f'{label}<text x="{LEFT}" y="{base}" fill="{THEIRS}">{escape(why)}</text>'
    colour = OURS if _is_ours(result) else THEIRS
    low, high = (_x(row, figure) for figure in (min(result.samples), max(result.samples)))
    end, height = _x(row, middle), STEP - 8
    return (
        f'{label}<rect x="{LEFT}" y="{top + 2}" width="{end - LEFT:.1f}" height="{height}" '
        f'fill="{colour}"/><line x1="{low:.1f}" x2="{high:.1f}" y1="{top + STEP / 2 - 2}" '
        f'y2="{top + STEP / 2 - 2}" stroke="black"/>'
        f'<text x="{max(end, high) + 6:.1f}" y="{base}">{middle:,.2f}</text>'
    )


def _is_ours(result: LineResult) -> bool:
    return "ours" in result.line.contender or "aiocache_pe" in result.line.label


def _x(row: RowResult, figure: float) -> float:
    """Where a figure lies between the row's decades; the last tenth is left for the number."""
    figures = [f for result in row.lines for f in result.samples if f > 0]
    low = floor(log10(min(figures)))
    span = max(log10(max(figures)) - low, 0.1)
    share = (log10(max(figure, 10**low)) - low) / span
    return LEFT + share * (WIDTH - LEFT) * 0.85
