"""Demo: the same searches in two processes, first with an empty cache and then with a warm one.

python -m examples.docsearch [--directory data/demo-cache] [--only json --only csv]
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from aiocache_pe import CacheManager, CacheStats
from examples.demo import directory_option, empty_directory, show_head
from examples.docsearch.queries import QUERIES
from examples.docsearch.worker import Report

ROOT = Path(__file__).parents[2]
HEAD = 600
"""Characters of an entry to show."""


def run_process(directory: Path, only: tuple[str, ...]) -> tuple[Report, float]:
    """Run all searches in a new process.

    Returns:
        The report of the process, and its duration in seconds.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "examples.docsearch.worker", *only],
        cwd=ROOT,
        env=make_environment(directory),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Report), time.perf_counter() - start


def make_environment(directory: Path) -> dict[str, str]:
    """Return environment variables that select the cache in a directory."""
    return {**os.environ, "AIOCACHE_PE_DIRECTORY": str(directory)}


async def read_stats(directory: Path) -> CacheStats:
    """Return the counters in the store; this process makes no searches."""
    async with CacheManager(directory=directory) as cache:
        return await cache.get_stats()


def build_table(cold: Report, warm: Report) -> Table:
    """Return a table of the times of both processes."""
    table = Table(title="milliseconds per search")
    table.add_column("query")
    for name in ("cold", "warm", "faster"):
        table.add_column(name, justify="right", no_wrap=True, min_width=8)
    rows = zip(QUERIES, cold.milliseconds, warm.milliseconds, strict=True)
    for query, before, after in rows:
        table.add_row(query, f"{before:.1f}", f"{after:.2f}", f"{before / after:,.0f} x")
    table.add_section()
    before, after = sum(cold.milliseconds), sum(warm.milliseconds)
    table.add_row("all queries", f"{before:,.1f}", f"{after:.2f}", f"{before / after:,.0f} x")
    table.add_row(
        "reading the sources, building the index",
        f"{cold.index_seconds * 1000:,.1f}",
        f"{warm.index_seconds * 1000:,.1f}" if warm.index_seconds else "not done",
    )
    return table


def show_entry(console: Console, directory: Path) -> None:
    """Print the paths of two entries and the beginning of one."""
    entries = sorted(path for path in directory.rglob("*docsearch*") if path.is_file())
    found = "\n".join(map(str, entries[:2]))
    find = f"$ find {directory} -name '*docsearch*' | head -2"
    show_head(console, entries[0], HEAD, find, found)


@click.command()
@directory_option
@click.option("--only", multiple=True, help="Search these modules only (default: all).")
def main(directory: Path, only: tuple[str, ...]) -> None:
    """Search the standard library's documentation twice, and compare the times."""
    console = Console()
    empty_directory(console, directory)
    console.print(f"first process: {len(QUERIES)} searches, empty cache ...")
    cold, cold_seconds = run_process(directory.absolute(), only)
    first = asyncio.run(read_stats(directory))
    console.print("second process: the same searches, warm cache ...")
    warm, warm_seconds = run_process(directory.absolute(), only)
    console.print(build_table(cold, warm))
    console.print("the first search of each process also opens the store")
    console.print(f"duration of the processes: {cold_seconds:.1f} s, then {warm_seconds:.1f} s")
    same = cold.answers == warm.answers
    console.print(f"both gave the same answers: {'yes' if same else 'NO'}")

    stats = asyncio.run(read_stats(directory))
    reads = stats.hits + stats.misses - first.hits - first.misses
    second = (stats.hits - first.hits) / reads if reads else 0.0
    console.print(
        f"hit rate in the store: {stats.hit_rate:.0%} over both processes"
        f" ({stats.hits} hits, {stats.misses} misses), {second:.0%} in the second"
    )
    console.print(f"\n$ AIOCACHE_PE_DIRECTORY={directory} aiocache-pe --stats", soft_wrap=True)
    sys.stdout.flush()
    command = [sys.executable, "-m", "aiocache_pe", "--stats"]
    subprocess.run(command, env=make_environment(directory.absolute()), check=True)
    show_entry(console, directory)
    if not same or second < 1:
        raise SystemExit("the second process was not served from the entries of the first process")


if __name__ == "__main__":
    main()
