"""What type checkers make of code that uses the library."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKERS = ("mypy", "pyright")
PYRIGHT = {
    "typeCheckingMode": "strict",
    "enableTypeIgnoreComments": False,  # those are for mypy
    "reportUnnecessaryTypeIgnoreComment": "error",
    "extraPaths": [str(ROOT)],
}


def complaints(checker: str, file: Path, scratch: Path) -> str:
    """What a checker says of a file; nothing if it is content."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    if checker == "mypy":
        command = ["--strict", "--no-error-summary", "--cache-dir", str(scratch), str(file)]
    else:
        settings = scratch / "pyrightconfig.json"
        settings.write_text(json.dumps(PYRIGHT | {"include": [str(file)]}))
        command = ["--project", str(settings), "--pythonpath", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", checker, *command],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_right_use_has_the_right_types(checker: str, tmp_path: Path) -> None:
    assert complaints(checker, HERE / "right.py", tmp_path) == ""


@pytest.mark.parametrize("checker", CHECKERS)
def test_wrong_use_is_refused_line_by_line(checker: str, tmp_path: Path) -> None:
    assert complaints(checker, HERE / "wrong.py", tmp_path) == ""


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_marks_are_what_keeps_the_checkers_quiet(checker: str, tmp_path: Path) -> None:
    """Without its marks the file is refused, so a checker that sees nothing is noticed."""
    lines = (HERE / "wrong.py").read_text().splitlines()
    bare = tmp_path / "wrong.py"
    bare.write_text("\n".join(line.partition("  # type: ignore")[0] for line in lines))
    said = complaints(checker, bare, tmp_path)
    marked = [n for n, line in enumerate(lines, 1) if "# type: ignore[" in line]
    assert len(marked) > 20
    assert [n for n in marked if f"wrong.py:{n}:" not in said] == []
