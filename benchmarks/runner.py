"""Runs rows: a child process per contender and round, the rounds interleaved.

A B C A B C, never A A B B: what the machine does meanwhile then falls on all alike. A
round of a tenth goes first and is dropped; it fills the page cache and compiles modules.

Nothing is removed before the end of the run. On an ext4 without a journal each file that
is made looks at every inode of its block group that was freed in the last minutes
(``recently_deleted`` in the kernel's ``fs/ext4/ialloc.c``), so to clear up after one round
made the files of the next one cost five to ten times as much.
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

from benchmarks.environment import ROOT, variables
from benchmarks.job import Answer, Weight
from benchmarks.results import LineResult, RowResult
from benchmarks.row import Line, Row

TIMEOUT: Final = 900.0
"""Seconds after which a child counts as failed."""
FILLING: Final = 4 * 3600.0
"""The same for filling a store."""


class ChildError(Exception):
    """A child gave no answer; the message says why."""


def run_child(module: str, *arguments: str, timeout: float = TIMEOUT) -> str:
    """Run a module of this package in a process of its own; the answer is its last line."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=variables(),
        )
    except subprocess.TimeoutExpired as error:
        raise ChildError(f"no answer in {timeout:g} s") from error
    if done.returncode or not done.stdout.strip():
        raise ChildError(done.stderr.strip()[-300:] or f"exit code {done.returncode}")
    return done.stdout.splitlines()[-1]


@dataclass(slots=True)
class Runner:
    """Measures rows in a work directory.

    Attributes:
        workdir: where contenders put their files; it decides which filesystem is measured.
        rounds: how many rounds are kept.
        scale: what every line's number of operations is multiplied by.
        dropped: how many rounds of a tenth go before them.
        say: called with a short text as each row and round begins.
        stores: the filled stores by their number of entries.
        spent: the directories of rounds, which `clear_up` removes.
    """

    workdir: Path
    rounds: int
    scale: float
    say: Callable[[str], None]
    dropped: int = 1
    stores: dict[int, Weight] = field(default_factory=dict)
    spent: list[Path] = field(default_factory=list)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Measure one row after the other; what they leave is for `clear_up`."""
        return [self._row(row) for row in rows]

    def clear_up(self) -> None:
        """Remove what the rounds have left."""
        while self.spent:
            shutil.rmtree(self.spent.pop(), ignore_errors=True)

    def _row(self, row: Row) -> RowResult:
        results = [LineResult(line) for line in row.lines]
        for turn in range(1 - self.dropped, self.rounds + 1):
            self.say(f"{row.id} {row.title}: round {turn} of {self.rounds}")
            for result in results:
                if result.trouble:
                    continue
                answer = self._measure(result.line, self.scale * (1.0 if turn > 0 else 0.1))
                if turn > 0 or answer.status != "ok":
                    result.answers.append(answer)
        return RowResult(row, results)

    def _measure(self, line: Line, scale: float) -> Answer:
        """One line once; whatever goes wrong is an answer too."""
        n = max(1, round(line.n * scale))
        try:
            directory = self._filled(line.entries) if line.entries else self._empty()
            said = run_child(
                "worker",
                line.contender,
                line.operation,
                f"--n={n}",
                f"--directory={directory}",
                f"--entries={line.entries}",
            )
        except ChildError as error:
            return Answer("failed", detail=str(error))
        return Answer.from_json(json.loads(said))

    def _empty(self) -> Path:
        self.spent.append(Path(tempfile.mkdtemp(prefix="round-", dir=self.workdir)))
        return self.spent[-1]

    def _filled(self, entries: int) -> Path:
        """The store with so many entries, filled on first need.

        Its weight is written beside it as the last thing, so a work directory that was
        kept is used again, and one whose filling was interrupted is not.
        """
        directory = self.workdir / f"entries-{entries}"
        weight = directory.with_suffix(".json")
        if entries not in self.stores:
            if not weight.exists():
                self.say(f"filling a store with {entries:,} entries")
                shutil.rmtree(directory, ignore_errors=True)
                arguments = (f"--directory={directory}", f"--entries={entries}")
                weight.write_text(run_child("population", *arguments, timeout=FILLING))
            self.stores[entries] = json.loads(weight.read_text())
        return directory
