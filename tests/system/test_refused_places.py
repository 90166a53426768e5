"""Files and folders that a cache may not use: no call fails, and no old value follows a change."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.polling import make_environment
from tests.support.processes.break_store import OTHER_USER
from tests.support.processes.use_refused_places import fill

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that other users may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        for parent, _, _ in os.walk(name):
            Path(parent).chmod(0o700)


def list_places(directory: Path) -> list[Path]:
    """Return the directory and each kind of file and folder in it."""
    places: dict[tuple[str, int, bool], Path] = {}
    for path in sorted(directory.rglob("*")):
        place = path.relative_to(directory)
        places.setdefault((place.parts[0], len(place.parts), path.is_dir()), place)
    return [Path(), *places.values()]


def forbid(directory: Path) -> None:
    """Forbid all access to one place of its owner."""
    directory.chmod(0)


def give_away(directory: Path) -> None:
    """Give one place to another user, and forbid all others to use it."""
    directory.chmod(0o700)
    os.chown(directory, 0, 0)


def make_read_only(directory: Path) -> None:
    """Forbid the creation and the removal of files."""
    for parent, _, files in os.walk(directory):
        Path(parent).chmod(0o500)
        for file in files:
            (Path(parent) / file).chmod(0o400)
    directory.chmod(0o500 if directory.is_dir() else 0o400)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
@pytest.mark.parametrize("refuse", [forbid, give_away, make_read_only])
def test_no_place_that_a_cache_may_not_use_gives_an_old_value(
    refuse: Callable[[Path], None], folder: Path
) -> None:
    template = folder / "template"
    template.mkdir()
    asyncio.run(fill(template / "cache"))
    directories = folder / "directories"
    for number, place in enumerate(list_places(template / "cache")):
        directory = directories / f"{number} {place.name}"
        shutil.copytree(template, directory)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, OTHER_USER, OTHER_USER)
        refuse(directory / "cache" / place)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.processes.use_refused_places", str(directories)],
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 8
