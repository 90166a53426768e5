"""What was measured, as the documentation shows it: ``python -m benchmarks.publish``.

The newest full run and the newest hit ratios in ``benchmarks/results``, or those that are
named, become the pictures and the tables of ``docs/performance.md`` and of the README. A
quick run is refused.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from benchmarks import beside, plot, plot_hits
from benchmarks.environment import RESULTS, ROOT
from benchmarks.hits import Hits
from benchmarks.results import Run

DOCS: Final = ROOT / "docs"
PAGE: Final = "performance.md"
README: Final = ROOT / "README.md"
AT_A_GLANCE: Final = (
    "decorated call, hit in memory",
    "decorated call, hit over files",
    "blocking decorated call, hit in memory",
    "Redis get, kept in memory and tracked",
)
"""The rows that the README shows: hits, which is what a cache is for."""
_TABLE: Final = re.compile("(<!-- targets -->\n).*(<!-- end of targets -->)", re.DOTALL)
_BESIDE: Final = re.compile("(<!-- beside -->\n).*(<!-- end of beside -->)", re.DOTALL)
_HITS: Final = re.compile("(<!-- hit ratios -->\n).*(<!-- end of hit ratios -->)", re.DOTALL)


def main() -> None:
    """Read the command line, draw, write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--run", type=Path, help="JSON of a full run; the newest if absent")
    parser.add_argument("--hits", type=Path, help="JSON of hit ratios; the newest if absent")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the documentation is")
    parser.add_argument("--readme", type=Path, default=README, help="where its table goes")
    given = parser.parse_args()
    run_path, hits_path = given.run or _newest("run"), given.hits or _newest("hits")
    if run_path is None and hits_path is None:
        sys.exit(f"nothing to publish in {RESULTS}; run: make bench TRACES=FOLDER")
    if run_path is not None:
        run = Run.of(run_path)
        if run.quick:
            sys.exit(f"{run_path} is a quick run; what is published comes from a full one")
        publish_run(run, given.docs)
        _replace(given.readme, _BESIDE, beside.table(run))
    if hits_path is not None:
        publish_hits(Hits.of(hits_path), given.docs)
    print(f"published: {', '.join(str(path) for path in (run_path, hits_path) if path)}")


def publish_run(run: Run, docs: Path) -> None:
    """Draw the rows, all and at a glance, and write the table of targets."""
    plot.draw(run, docs / "performance.svg")
    plot.draw(run, docs / "performance-at-a-glance.svg", AT_A_GLANCE)
    lines = ["| row | what | target | reached | |", "| --- | --- | --- | --- | --- |"]
    for row in run.rows:
        for target, figure, word in row.verdicts():
            reached = "" if figure is None else f"{figure:,.{2 if figure < 100 else 0}f}"  # noqa: PLR2004
            lines.append(f"| {row.row.id} | {row.row.title} | {target} | {reached} | {word} |")
    where = run.environment
    machine = f"{where['cpus']} x {where['processor']}, {where['python']}, {where['kernel']}"
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    place = f"{where['date'][:10]}, commit {where['commit']}, {machine}, {where['filesystem']}"
    _replace(docs / PAGE, _TABLE, [*lines, "", f"{place}; {versions}."])


def publish_hits(hits: Hits, docs: Path) -> None:
    """Draw the hit ratios, and write them as a table."""
    plot_hits.draw(hits, docs / "hit-ratios.svg")
    names = list(hits.averages)
    lines = [f"| trace | entries | {' | '.join(names)} |", "| --- " * (len(names) + 2) + "|"]
    rows = [(one.trace, f"{one.entries:,}", one.percent) for one in hits.played]
    for trace, entries, percent in (*rows, ("on average", "", hits.averages)):
        figures = " | ".join(f"{percent[name]:.2f}" for name in names)
        lines.append(f"| {trace} | {entries} | {figures} |")
    times = " | ".join(f"{hits.microseconds[name]:.2f}" for name in names)
    lines.append(f"| us a request | | {times} |")
    _replace(docs / PAGE, _HITS, lines)


def _newest(kind: str) -> Path | None:
    return max(RESULTS.glob(f"{kind}-*.json"), default=None)


def _replace(page: Path, place: re.Pattern[str], lines: list[str]) -> None:
    """Put lines between the two marks of a page."""
    text = page.read_text()
    if not place.search(text):
        sys.exit(f"{page} has no place marked {place.pattern.partition('>')[0][1:]}>")
    page.write_text(place.sub(lambda found: f"{found[1]}{chr(10).join(lines)}\n{found[2]}", text))


if __name__ == "__main__":
    main()
