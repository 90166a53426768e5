"""A directory that another user owns, or a file in its place: this process keeps the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiocache_pe import CacheManager


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """Yield a directory that other users can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def use_as_other_user(allowed: Path, forbidden: Path) -> Any:
    script = "tests.support.processes.use_forbidden_directory"
    done = subprocess.run(
        [sys.executable, "-m", script, str(allowed), str(forbidden)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["missing", "empty", "private", "a file"])
def test_a_process_keeps_its_results_in_memory(kind: str, public_dir: Path) -> None:
    forbidden = public_dir / "cache"
    if kind == "a file":
        forbidden.write_text("a file")
    elif kind != "missing":
        forbidden.mkdir(mode=0o755 if kind == "empty" else 0o700)
    calls, errors, levels, lines, exit_code, output = use_as_other_user(
        public_dir / "allowed", forbidden
    )
    assert (calls, errors, levels) == (2, 0, ["failure"])
    [line] = lines
    assert line.startswith(f"WARNING cache directory {forbidden} cannot be used: ")
    assert "directory=" in line
    assert exit_code == 3
    assert "cannot" in output or "Not a directory" in output


async def test_the_entries_of_a_read_only_directory_are_served(tmp_path: Path) -> None:
    """They are more useful than a memory of this process alone."""
    async with CacheManager(directory=tmp_path / "cache") as cache:
        await cache.set("k", 1)
        assert "FileBackend(" in repr(cache)
    (tmp_path / "file").write_text("a file")
    async with CacheManager(directory=tmp_path / "file", memory_max_bytes=0) as cache:
        assert await cache.set("k", 1) is False
    async with CacheManager(directory=tmp_path / "file" / "cache") as cache:
        assert await cache.set("k", 1)
        assert await cache.get("k") == 1
