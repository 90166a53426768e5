"""Demo: runs every example twice, each time in a new process, and compares the runs in a table.

    python -m examples [--directory data/demo-cache] [NAMES]

The first run starts with an empty cache, and the second run uses the entries of the first. The
examples share one local model server, unless ``OPENAI_BASE_URL`` names another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from aiocache_pe.sync import CacheManager
from examples.demo import directory_option, empty_directory, show_head
from examples.run_report import RunReport
from examples.upstream import open_model

ROOT = Path(__file__).parents[1]
EXAMPLES = {  # module: subject
    "embeddings": "vectors of files, by their content",
    "knowledge": "a search with an index to build",
    "llm_client": "OpenAI's client, with streams",
    "prompt_optimizer": "prompts, scored by a model",
    "batch": "embeddings, each text twice",
    "evaluation": "a prompt, with five samples",
    "fastapi_app": "a web service with concurrent requests",
    "prefork_worker": "four processes that share a cache",
    "legacy_script": "an old script, one line changed",
}
HEAD = 400  # characters of an entry to show


def run_twice(name: str, directory: Path, *args: str) -> tuple[RunReport, RunReport]:
    """Run an example in two processes, on one directory that is empty at first.

    Args:
        name: name of the example's module.
        directory: directory of its cache.
        args: its arguments.

    Returns:
        The reports of both runs.

    Raises:
        subprocess.CalledProcessError: the example failed; the error contains its output.
    """
    runs = [_run(name, directory, args) for _ in range(2)]
    return runs[0], runs[1]


def _run(name: str, directory: Path, args: tuple[str, ...]) -> RunReport:
    report = directory / "report.json"
    directory.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    before = _read_counters(directory)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *args],
        cwd=ROOT,
        env=os.environ | {"AIOCACHE_PE_DIRECTORY": str(directory), "EXAMPLE_REPORT": str(report)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    if report.exists():
        return msgspec.json.decode(report.read_bytes(), type=RunReport)
    misses, hits = (now - then for now, then in zip(_read_counters(directory), before, strict=True))
    return RunReport(seconds, misses, hits)  # a script without a report


def _read_counters(directory: Path) -> tuple[int, int]:
    """Return the misses and hits in the store."""
    with CacheManager(directory=directory) as cache:
        stats = cache.get_stats()
    return stats.misses, stats.hits


def build_table(runs: dict[str, tuple[RunReport, RunReport]]) -> Table:
    """Return a table of all examples, cold and warm."""
    table = Table(title="every example twice: with a cold cache, then with a warm one")
    table.add_column("example", no_wrap=True)
    for column in ("cold", "warm", "calls cold", "calls warm", "hit rate"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, (cold, warm) in runs.items():
        table.add_row(
            name,
            f"{cold.seconds:.2f} s",
            f"{warm.seconds:.2f} s",
            str(cold.upstream),
            str(warm.upstream),
            f"{warm.hit_rate:.0%}",
        )
    return table


def show_entry(console: Console, directory: Path) -> None:
    """Print the path and the beginning of an entry."""
    path = min(path for path in directory.glob("*/*/*http*") if path.is_file())
    show_head(console, path, HEAD)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(EXAMPLES)))
@directory_option
def main(names: tuple[str, ...], directory: Path) -> None:
    """Run examples (by default all) with a cold and with a warm cache."""
    console = Console()
    empty_directory(console, directory)
    runs: dict[str, tuple[RunReport, RunReport]] = {}
    with ExitStack() as stack:
        base_url, model_name = stack.enter_context(open_model())
        os.environ |= {"OPENAI_BASE_URL": base_url, "OPENAI_MODEL": model_name}
        for name in names or EXAMPLES:
            console.print(f"python -m examples.{name:18} # {EXAMPLES[name]}", highlight=False)
            runs[name] = run_twice(name, directory.absolute() / name)
    console.print(build_table(runs))
    console.print("calls: files, questions or requests; for batch texts, 100 in a request")
    console.print(
        "legacy_script, prefork_worker: times of processes; others without the start of Python"
    )
    if "llm_client" in runs:
        show_entry(console, directory / "llm_client")
    if any(warm.upstream for _, warm in runs.values()):
        raise SystemExit("a second run was not served from the entries of the first run")


if __name__ == "__main__":
    main()
