"""Hit ratios as a picture: a strip for each trace and capacity, a dot for each policy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.hits import BEST, OURS, RIVALS, Hits, Played
from benchmarks.svg import INK, LINES, PALE, Picture
from benchmarks.svg import OURS as TEAL

WIDTH: Final = 1000
LEFT: Final = 190
RIGHT: Final = 940
STEP: Final = 26
TOP: Final = 92
COLOURS: Final = dict(zip(RIVALS, ("#d97706", "#7c3aed", "#2563eb", "#be185d"), strict=True))
OTHER: Final = "#b8c2cc"
ROOM: Final = "#eef2f5"


def draw(hits: Hits, path: Path) -> None:
    """Draw what was played; the bar ends where the clairvoyant optimum does."""
    picture = Picture(WIDTH)
    traces = list(dict.fromkeys(one.trace for one in hits.played))
    height = TOP + STEP * (len(hits.played) + len(traces)) + 18
    _legend(picture, hits)
    for percent in range(0, 101, 10):
        x = _x(percent)
        picture.line(x, TOP - 14, x, height - 22, ink=LINES, width=1)
        picture.text(x, TOP - 20, f"{percent} %", anchor="middle", fill=PALE, size=11)
    top: float = TOP
    for trace in traces:
        picture.text(12, top + STEP / 2 + 4, trace, bold=True)
        for one in hits.played:
            if one.trace == trace:
                _strip(picture, one, top)
                top += STEP
        top += STEP
    picture.write(path, height)


def _legend(picture: Picture, hits: Hits) -> None:
    picture.text(12, 22, "Hit ratio by policy", size=16, bold=True)
    names = list(hits.averages)
    others = [name for name in names if name not in (OURS, BEST, *RIVALS)]
    shown = [
        (f"{OURS}, the default", TEAL),
        *((name, COLOURS[name]) for name in RIVALS if name in names),
        (", ".join(others), OTHER),
    ]
    x: float = 12
    for words, colour in shown:
        picture.dot(x + 6, 44, 5, fill=colour)
        picture.text(x + 16, 48, words, fill=PALE)
        x += 34 + 7.2 * len(words)
    picture.box(x, 37, 26, 14, fill=ROOM)
    picture.text(x + 32, 48, "up to the optimum", fill=PALE)


def _strip(picture: Picture, one: Played, top: float) -> None:
    middle = top + STEP / 2
    best = one.percent.get(BEST, 100.0)
    picture.text(LEFT - 12, middle + 4, f"{one.entries:,} entries", anchor="end", fill=PALE)
    picture.box(LEFT, top + 5, _x(best) - LEFT, STEP - 10, fill=ROOM)
    order = sorted(one.percent, key=lambda name: (name == OURS, name in RIVALS))
    for name in order:
        if name != BEST:
            colour = TEAL if name == OURS else COLOURS.get(name, OTHER)
            radius = 6 if name == OURS else 5 if name in RIVALS else 4
            picture.dot(_x(one.percent[name]), middle, radius, fill=colour)
    picture.text(WIDTH - 12, middle + 4, f"{one.percent[OURS]:.1f}", anchor="end", fill=INK)


def _x(percent: float) -> float:
    return LEFT + (RIGHT - LEFT) * percent / 100
