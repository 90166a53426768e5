"""Command that counts how many mutations the tests catch: ``python -m tests.support.mutants``.

``tests/mutants.toml`` lists the groups of modules, the tests that belong to them, and the
survivors that change no behaviour, each with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.support.mutants.mutations import Finder, Mutation

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "tests" / "mutants.toml"
COPIED = ("aiocache_pe", "tests", "examples", "docs")
FAILED = {1, 2, 4}
"""The exit codes of pytest after a failure, an interruption by an error, and a broken import."""


@dataclass(frozen=True, slots=True)
class Group:
    """Modules, and the tests that must catch their mutations."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutation of one module."""

    group: Group
    module: str
    mutation: Mutation


class Copies:
    """Copies of the sources, one for each trial that runs at the same time."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            copy = folder / str(number)
            for name in COPIED:
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, copy / name, ignore=ignore)
            for name in ("pyproject.toml", "README.md"):
                shutil.copy(ROOT / name, copy / name)
            self._free.put(copy)

    def run(self, group: Group, seconds: float, trial: Trial | None = None) -> str:
        """Run the tests of a group against a mutation; return survived, caught or timeout."""
        copy = self._free.get()
        path = copy / trial.module if trial else None
        source = path.read_bytes() if path else b""
        try:
            if path and trial:
                path.write_bytes(trial.mutation.apply(source))
            return _run_tests(copy, group.tests, seconds)
        finally:
            if path:
                path.write_bytes(source)
            self._free.put(copy)


def _run_tests(copy: Path, tests: tuple[str, ...], seconds: float) -> str:
    options = ["-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "-o", "timeout=30", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        _kill_group(process)
    if code == 0:
        return "survived"
    return "caught" if code in FAILED or code < 0 else f"exit code {code}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the processes that a test of a mutant left behind."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def iter_trials(group: Group, count: int, seed: int) -> Iterator[Trial]:
    """Yield chosen mutations of a group; the seed and the module decide which."""
    trials = [
        Trial(group, module, mutation)
        for module in group.modules
        for mutation in Finder((ROOT / module).read_bytes()).find()
    ]
    chosen = random.Random(f"{seed} {group.name}").sample(trials, min(count, len(trials)))
    yield from sorted(chosen, key=lambda trial: (trial.module, trial.mutation.start))


def measure(copies: Copies, groups: Iterable[Group]) -> dict[str, float]:
    """Return how long the tests of each group run without a mutation, in seconds."""
    durations: dict[str, float] = {}
    for group in groups:
        began = time.monotonic()
        outcome = copies.run(group, 600)
        if outcome != "survived":
            sys.exit(f"{group.name}: the tests fail without a mutation: {outcome}")
        durations[group.name] = time.monotonic() - began
        show(f"{group.name}: {durations[group.name]:.1f} s without a mutation")
    return durations


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def describe(trial: Trial) -> str:
    """Return a line that shows the place and the change."""
    old, new = (" ".join(text.split()) for text in (trial.mutation.old, trial.mutation.new))
    return f"{trial.module}:{trial.mutation.line}: {trial.mutation.kind}: {old!r} -> {new!r}"


def is_equivalent(trial: Trial, equivalents: list[dict[str, str]]) -> bool:
    """Return whether the configuration gives a reason why a mutation changes no behaviour."""
    old = " ".join(trial.mutation.old.split())
    return any(
        each["module"] == trial.module
        and each["old"] == old
        and each.get("kind", trial.mutation.kind) == trial.mutation.kind
        for each in equivalents
    )


def main() -> None:
    """Try mutations, and print the counts of each group and every survivor."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.mutants", description=__doc__)
    parser.add_argument("groups", nargs="*", help="names of groups; by default all")
    parser.add_argument("--count", type=int, default=20, help="mutations a group (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="choice of the mutations (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="trials at the same time (default: 2)")
    parser.add_argument("--output", type=Path, help="file for one JSON line a trial")
    arguments = parser.parse_args()
    configuration = tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))
    groups = [
        Group(name, tuple(each["modules"]), tuple(each["tests"]))
        for name, each in configuration["groups"].items()
        if not arguments.groups or name in arguments.groups
    ]
    equivalents = configuration.get("equivalent", [])
    counts: dict[str, Counter[str]] = {group.name: Counter() for group in groups}
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(arguments.jobs) as pool,
    ):
        copies = Copies(Path(folder), arguments.jobs)
        durations = measure(copies, groups)

        def run(trial: Trial) -> tuple[Trial, str]:
            outcome = copies.run(trial.group, 3 * durations[trial.group.name] + 30, trial)
            if outcome == "survived" and is_equivalent(trial, equivalents):
                outcome = "equivalent"
            return trial, outcome

        trials = [
            trial
            for group in groups
            for trial in iter_trials(group, arguments.count, arguments.seed)
        ]
        for trial, outcome in pool.map(run, trials):
            counts[trial.group.name][outcome] += 1
            if outcome not in {"caught", "timeout"}:
                show(f"{outcome}: {describe(trial)}")
            if arguments.output:
                line = {"group": trial.group.name, "outcome": outcome, "change": describe(trial)}
                with arguments.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    print_table(counts)


def print_table(counts: dict[str, Counter[str]]) -> None:
    """Print the tried, caught, surviving and equivalent mutations of each group."""
    show(f"{'group':24}{'tried':>8}{'caught':>8}{'survived':>10}{'equivalent':>12}{'caught %':>10}")
    total: Counter[str] = Counter()
    for name, count in [*counts.items(), ("all", total)]:
        tried = count.total()
        caught = count["caught"] + count["timeout"]
        relevant = tried - count["equivalent"]
        share = 100 * caught / relevant if relevant else 100.0
        survived = relevant - caught
        show(f"{name:24}{tried:8}{caught:8}{survived:10}{count['equivalent']:12}{share:10.1f}")
        if name != "all":
            total += count


if __name__ == "__main__":
    main()
