"""The command: ``python -m benchmarks --rows P1,P2 --rounds 5 --quick --json out.json``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.environment import describe, results_path
from benchmarks.report import show
from benchmarks.results import Run
from benchmarks.row import Row
from benchmarks.rows import all_rows
from benchmarks.runner import Runner

SIZES: Final = "1000,100000,1000000"
ROUNDS: Final = 5
QUICK_SIZES: Final = "1000,10000"
QUICK_ROUNDS: Final = 2
QUICK_SCALE: Final = 0.05


def main() -> None:
    """Read the command line, measure, show, write."""
    given = _parser().parse_args()
    sizes = [
        int(size) for size in (given.entries or (QUICK_SIZES if given.quick else SIZES)).split(",")
    ]
    rows = _chosen(all_rows(sizes), given.rows)
    path: Path = given.json or results_path(
        "quick" if given.quick else "part" if given.rows else "run"
    )
    with ExitStack() as stack:
        if given.workdir is None:
            spare = tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True)
            given.workdir = Path(stack.enter_context(spare))
        given.workdir.mkdir(parents=True, exist_ok=True)
        environment = describe(given.workdir)
        rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
        scale, dropped = (QUICK_SCALE, 0) if given.quick else (1.0, 1)
        runner = Runner(given.workdir, rounds, scale, _say, dropped)
        stack.callback(_clear_up, runner)
        results = runner.run(rows)
        load = round(os.getloadavg()[0], 2)
        run = Run(environment, rounds, results, load, list(runner.stores.values()), given.quick)
        show(run)
        run.write(path)
        print(f"written: {path}")


def _clear_up(runner: Runner) -> None:
    """Said, and done after all is written, for it can take as long as the measuring."""
    _say("removing what the rounds have left")
    runner.clear_up()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default="", help="P1,P2,...; all of them if absent")
    parser.add_argument(
        "--rounds", type=int, help=f"rounds kept, {ROUNDS} if absent; to publish, no fewer"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a first look: {QUICK_ROUNDS} rounds of {QUICK_SCALE:.0%}".replace("%", "%%")
        + " of the operations, none dropped, small stores",
    )
    parser.add_argument("--entries", default="", help=f"P8's sizes, {SIZES} if absent")
    parser.add_argument("--json", type=Path, help="where to write; benchmarks/results/ if absent")
    parser.add_argument(
        "--workdir",
        type=Path,
        help="where files go, on the filesystem to be measured; what P8 filled stays there "
        "for the next run; a temporary directory if absent",
    )
    return parser


def _chosen(rows: Sequence[Row], wanted: str) -> list[Row]:
    """The rows asked for; asking for one that does not exist ends the command."""
    if not wanted:
        return list(rows)
    ids = wanted.upper().split(",")
    unknown = sorted(set(ids) - {row.id for row in rows})
    if unknown:
        known = ", ".join(dict.fromkeys(row.id for row in rows))
        sys.exit(f"no such row: {', '.join(unknown)}; there are {known}")
    return [row for row in rows if row.id in ids]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
