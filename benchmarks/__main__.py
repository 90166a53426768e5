"""Command line: ``python -m benchmarks --rows P1,P2 --rounds 5 --quick --json out.json``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.environment import describe, make_results_path
from benchmarks.report import print_environment, print_rows, print_stores
from benchmarks.rows import Row, make_rows
from benchmarks.runner import Runner

SIZES: Final = "1000,100000,1000000"
ROUNDS: Final = 5
QUICK_SIZES: Final = "1000,10000"
QUICK_ROUNDS: Final = 2
QUICK_SCALE: Final = 0.05


def main() -> None:
    """Read the command line, measure, print and write."""
    arguments = _parse_arguments()
    is_quick: bool = arguments.quick
    sizes = (arguments.entries or (QUICK_SIZES if is_quick else SIZES)).split(",")
    rows = _select_rows(make_rows([int(size) for size in sizes]), arguments.rows)
    rounds = arguments.rounds or (QUICK_ROUNDS if is_quick else ROUNDS)
    scale, dropped = (QUICK_SCALE, 0) if is_quick else (1.0, 1)
    kind = "quick" if is_quick else "part" if arguments.rows else "run"
    path: Path = arguments.json or make_results_path(kind)
    with ExitStack() as stack:
        workdir: Path | None = arguments.workdir
        if workdir is None:
            temporary = tempfile.TemporaryDirectory(
                prefix="benchmarks-", ignore_cleanup_errors=True
            )
            workdir = Path(stack.enter_context(temporary))
        workdir.mkdir(parents=True, exist_ok=True)
        environment = describe(workdir)
        say = partial(print, file=sys.stderr, flush=True)
        runner = Runner(workdir, rounds, scale, dropped, say)
        stack.callback(runner.clean_up)
        results = runner.run(rows)
        environment["load_after"] = round(os.getloadavg()[0], 2)
        print_rows(results)
        print_stores(runner.stores)
        print_environment(environment)
        print(f"median of {rounds} rounds; compare the ratios, not the figures of two runs")
        if is_quick:
            print("quick run: publish figures of a full run only")
        run = {
            "schema": 2,
            "environment": environment,
            "quick": is_quick,
            "rounds": rounds,
            "stores": {entries: asdict(filled) for entries, filled in runner.stores.items()},
            "rows": [row.to_json() for row in results],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run, indent=2) + "\n")
        print(f"written: {path}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default="", help="rows such as P1,P2 (default: all)")
    parser.add_argument("--rounds", type=int, help=f"rounds to keep (default: {ROUNDS})")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_ROUNDS} rounds of 1/{1 / QUICK_SCALE:.0f} of the operations, small stores",
    )
    parser.add_argument("--entries", default="", help=f"store sizes of P8 (default: {SIZES})")
    parser.add_argument("--json", type=Path, help="output file (default: in benchmarks/results/)")
    parser.add_argument(
        "--workdir",
        type=Path,
        help="directory on the file system to measure; the filled stores of P8 stay there "
        "for the next run (default: a temporary directory)",
    )
    return parser.parse_args()


def _select_rows(rows: Sequence[Row], wanted: str) -> list[Row]:
    """Return the wanted rows; exit if one of them does not exist."""
    if not wanted:
        return list(rows)
    ids = wanted.upper().split(",")
    known = list(dict.fromkeys(row.id for row in rows))
    if not set(ids) <= set(known):
        sys.exit(f"--rows takes ids out of {', '.join(known)}; got {wanted}")
    return [row for row in rows if row.id in ids]


if __name__ == "__main__":
    main()
