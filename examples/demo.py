"""What the demos share: a directory that is empty at first, and a look at an entry in it."""

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
    help="Where to cache; it is emptied first.",
)


def empty(console: Console, directory: Path) -> None:
    """Remove what an earlier run left, and say so."""
    if directory.exists():
        console.print(f"emptying {directory}, which an earlier run left")
        shutil.rmtree(directory)


def show_head(console: Console, path: Path, characters: int, *before: str) -> None:
    """What an entry's file begins with, after lines that show how it was found."""
    console.print(
        "\nEach answer is a file, a line about it and then its value:",
        *before,
        f"$ head -c {characters} '{path}'",
        f"{path.read_text(encoding='utf-8')[:characters]} ...",
        sep="\n",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
