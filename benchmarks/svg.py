"""A picture in SVG, by no library: a few shapes, readable in any browser and in a diff."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final, Literal

INK: Final = "#1f2933"
PALE: Final = "#616e7c"
LINES: Final = "#e4e7eb"
OURS: Final = "#0b7a75"
THEIRS: Final = "#8a97a6"
KEPT: Final = "#2f855a"
SHORT: Final = "#c53030"

Anchor = Literal["start", "middle", "end"]


class Picture:
    """Shapes one above the other, written as they are asked for.

    Args:
        width: of the picture, in pixels.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._shapes: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        fill: str = INK,
        anchor: Anchor = "start",
        size: int = 13,
        bold: bool = False,
    ) -> None:
        """Words whose base line is at ``y``."""
        weight = ' font-weight="600"' if bold else ""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}" '
            f'font-size="{size}"{weight}>{escape(words)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, *, ink: str, width: float) -> None:
        """A straight line."""
        self._shapes.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{ink}" '
            f'stroke-width="{width:g}"/>'
        )

    def box(self, x: float, y: float, width: float, height: float, *, fill: str) -> None:
        """A filled rectangle."""
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
            f'fill="{fill}"/>'
        )

    def dot(self, x: float, y: float, radius: float, *, fill: str) -> None:
        """A filled circle, set off from what it lies upon."""
        self._shapes.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="white"/>'
        )

    def arrow(self, x: float, y: float, side: Literal[-1, 1], *, fill: str) -> None:
        """A mark at ``x`` that says on which side of it something is to be."""
        self.line(x, y - 7, x, y + 7, ink=fill, width=2)
        tip = x + 6 * side
        self._shapes.append(
            f'<path d="M{x:.1f} {y - 4:.1f}L{tip:.1f} {y:.1f}L{x:.1f} {y + 4:.1f}Z" fill="{fill}"/>'
        )

    def write(self, path: Path, height: float) -> None:
        """Write what was drawn, ``height`` pixels high."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height:.0f}" '
            f'width="{self.width}" height="{height:.0f}" '
            'font-family="system-ui, DejaVu Sans, Helvetica, Arial, sans-serif">'
            f'<rect width="{self.width}" height="{height:.0f}" fill="white"/>'
        )
        path.write_text("\n".join([head, *self._shapes, "</svg>"]) + "\n")
