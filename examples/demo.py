"""Shared parts of the two demos: the option ``--directory``, and the display of an entry."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from rich.console import Console

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data/demo-cache"),
    show_default=True,
    help="Directory of the cache; it is emptied first.",
)


def empty_directory(console: Console, directory: Path) -> None:
    """Remove the cache of an earlier run, and report the removal."""
    if directory.exists():
        console.print(f"emptying {directory}, the cache of an earlier run")
        shutil.rmtree(directory)


def show_head(console: Console, path: Path, characters: int, *before: str) -> None:
    """Print the beginning of an entry's file, below the commands that find the file."""
    console.print(
        "\nEach answer is a file: a line of metadata, then the value:",
        *before,
        f"$ head -c {characters} '{path}'",
        f"{path.read_text(encoding='utf-8')[:characters]} ...",
        sep="\n",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
