"""The demo: every example twice, each time in a process of its own, in one table.

    python -m examples [--directory data/demo-cache] [NAMES]

The first run finds nothing cached; the second finds what the first left behind. All that ask
a model ask one server on this machine, unless ``OPENAI_BASE_URL`` names another.
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
from examples.demo import directory_option, empty, show_head
from examples.told import Told
from examples.upstream import model

ROOT = Path(__file__).parents[1]
EXAMPLES = {  # and what they show
    "embeddings": "vectors of files, by their content",
    "knowledge": "a search with an index to build",
    "llm_client": "OpenAI's client, streams too",
    "prompt_optimizer": "prompts, scored by a model",
    "batch": "embeddings, half of them twice",
    "fastapi_app": "a web service, asked by many at once",
    "legacy_script": "an old script, one line changed",
}
HEAD = 400  # characters of an entry to show


def run_twice(name: str, directory: Path, *args: str) -> tuple[Told, Told]:
    """Run an example in two processes, on one directory that is empty at first.

    Args:
        name: the module's.
        directory: where it is to keep its cache.
        args: its arguments.

    Returns:
        What it told of each run.

    Raises:
        subprocess.CalledProcessError: it failed; what it printed is in the error.
    """
    runs = [_run(name, directory, args) for _ in range(2)]
    return runs[0], runs[1]


def _run(name: str, directory: Path, args: tuple[str, ...]) -> Told:
    report = directory / "report.json"
    directory.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    before = _counted(directory)
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
        return msgspec.json.decode(report.read_bytes(), type=Told)
    misses, hits = (now - then for now, then in zip(_counted(directory), before, strict=True))
    return Told(seconds, misses, hits)  # a script that knows nothing of this demo


def _counted(directory: Path) -> tuple[int, int]:
    """What a store has counted so far, as a process sees it that asked nothing."""
    with CacheManager(directory=directory) as cache:
        stats = cache.get_stats()
    return stats.misses, stats.hits


def compared(runs: dict[str, tuple[Told, Told]]) -> Table:
    """All examples, cold and warm."""
    table = Table(title="every example twice: cold, then on what the first run left")
    table.add_column("example", no_wrap=True)
    for column in ("cold", "warm", "upstream", "then", "hit rate"):
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


def show_an_entry(console: Console, directory: Path) -> None:
    """Where entries are, and what one looks like."""
    path = min(path for path in directory.glob("*/*/*http*") if path.is_file())
    show_head(console, path, HEAD)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(EXAMPLES)))
@directory_option
def main(names: tuple[str, ...], directory: Path) -> None:
    """Run examples (by default all), cold and warm."""
    console = Console()
    empty(console, directory)
    runs: dict[str, tuple[Told, Told]] = {}
    with ExitStack() as stack:
        base_url, model_name = stack.enter_context(model())
        os.environ |= {"OPENAI_BASE_URL": base_url, "OPENAI_MODEL": model_name}
        for name in names or EXAMPLES:
            console.print(f"python -m examples.{name:18} # {EXAMPLES[name]}", highlight=False)
            runs[name] = run_twice(name, directory.absolute() / name)
    console.print(compared(runs))
    console.print("upstream: files, questions, requests; of batch the texts, 100 in a request")
    console.print("legacy_script: from start to end; the others without Python's own start")
    if "llm_client" in runs:
        show_an_entry(console, directory / "llm_client")
    if any(warm.upstream for _, warm in runs.values()):
        raise SystemExit("a second run was not served from the first one's work")


if __name__ == "__main__":
    main()
