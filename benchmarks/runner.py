"""Runner: one child process for each contender and round, with the rounds interleaved.

The order is A B C A B C, so that other work on the machine affects all contenders alike. A
round of a tenth goes first and is dropped; it fills the page cache and compiles modules.

No directory is removed before the end of the run. On an ext4 without a journal, the creation of
a file visits every inode of its block group that was freed in the last minutes
(``recently_deleted`` in the kernel's ``fs/ext4/ialloc.c``). Removing the files of one round
therefore made the files of the next round five to ten times as expensive.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.environment import ROOT, make_child_variables
from benchmarks.job import Measurement
from benchmarks.results import LineResult, RowResult
from benchmarks.rows import Line, Row

TIMEOUT: Final = 900.0
"""Seconds after which a child counts as failed."""
FILL_TIMEOUT: Final = 4 * 3600.0
"""Seconds after which a child that fills a store counts as failed."""


@dataclass(slots=True)
class Runner:
    """Measures rows in a work directory.

    Attributes:
        workdir: directory of the contenders' files; it decides the measured file system.
        rounds: number of rounds that are kept.
        scale: factor for every line's number of operations.
        dropped: number of rounds of a tenth that go before them.
        say: called with a short text as each round begins.
        stores: cost of filling each store, by its number of entries.
        used: directories of past rounds, which `clean_up` removes.
    """

    workdir: Path
    rounds: int
    scale: float
    dropped: int
    say: Callable[[str], None]
    stores: dict[int, Measurement] = field(default_factory=dict)
    used: list[Path] = field(default_factory=list)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Measure one row after the other."""
        return [self._run_row(row) for row in rows]

    def clean_up(self) -> None:
        """Remove the directories of all rounds; this can take as long as the measurements."""
        self.say("removing the files of all rounds")
        while self.used:
            shutil.rmtree(self.used.pop(), ignore_errors=True)

    def _run_row(self, row: Row) -> RowResult:
        results = [LineResult(line) for line in row.lines]
        for turn in range(1 - self.dropped, self.rounds + 1):
            self.say(f"{row.id} {row.title}: round {turn} of {self.rounds}")
            for result in results:
                if result.failure:
                    continue
                measurement = self._measure(result.line, self.scale * (1.0 if turn > 0 else 0.1))
                if turn > 0 or measurement.status != "ok":
                    result.measurements.append(measurement)
        return RowResult(row, results)

    def _measure(self, line: Line, scale: float) -> Measurement:
        directory = self._find_filled(line.entries) if line.entries else self._make_directory()
        return _run_child(
            line.contender,
            line.operation,
            f"--n={max(1, round(line.n * scale))}",
            f"--directory={directory}",
            f"--entries={line.entries}",
        )

    def _make_directory(self) -> Path:
        self.used.append(Path(tempfile.mkdtemp(prefix="round-", dir=self.workdir)))
        return self.used[-1]

    def _find_filled(self, entries: int) -> Path:
        """Return the directory of a store with so many entries; fill it on first use.

        Its measurement is written beside it at the end. A later run in the same work directory
        therefore reuses a complete store and fills an incomplete one again.
        """
        directory = self.workdir / f"entries-{entries}"
        measured = directory.with_suffix(".json")
        if entries not in self.stores:
            if not measured.exists():
                self.say(f"filling a store with {entries:,} entries")
                shutil.rmtree(directory, ignore_errors=True)
                arguments = (f"--directory={directory}", f"--entries={entries}")
                filled = _run_child("large_store", "fill", *arguments, timeout=FILL_TIMEOUT)
                if filled.status != "ok":
                    sys.exit(f"cannot fill a store with {entries} entries: {filled.detail}")
                measured.write_text(json.dumps({"value": filled.value, "notes": filled.notes}))
            self.stores[entries] = Measurement("ok", **json.loads(measured.read_text()))
        return directory


def _run_child(contender: str, *arguments: str, timeout: float = TIMEOUT) -> Measurement:
    """Run the worker in a process of its own; its last line of output is the measurement."""
    command = [sys.executable, "-m", "benchmarks.worker", contender, *arguments]
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=make_child_variables(),
        )
    except subprocess.TimeoutExpired:
        return Measurement("failed", detail=f"no answer within {timeout:g} s")
    if done.returncode or not done.stdout.strip():
        detail = done.stderr.strip()[-300:] or f"exit code {done.returncode}"
        return Measurement("failed", detail=detail)
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))
