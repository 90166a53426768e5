"""Checks by mypy and pyright of code that uses the library."""

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
    "enableTypeIgnoreComments": False,  # these comments are for mypy
    "reportUnnecessaryTypeIgnoreComment": "error",
    "extraPaths": [str(ROOT)],
}


def run_checker(checker: str, file: Path, scratch: Path) -> str:
    """Return the errors that a checker reports for a file; empty if there are none."""
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
def test_correct_uses_have_the_expected_types(checker: str, tmp_path: Path) -> None:
    assert run_checker(checker, HERE / "right.py", tmp_path) == ""


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_wrong_use_is_an_error(checker: str, tmp_path: Path) -> None:
    assert run_checker(checker, HERE / "wrong.py", tmp_path) == ""


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_marked_line_is_an_error_without_its_mark(checker: str, tmp_path: Path) -> None:
    """Remove the marks and expect an error in each line, so that the checkers are known to work."""
    lines = (HERE / "wrong.py").read_text().splitlines()
    unmarked = tmp_path / "wrong.py"
    unmarked.write_text("\n".join(line.partition("  # type: ignore")[0] for line in lines))
    errors = run_checker(checker, unmarked, tmp_path)
    marked = [n for n, line in enumerate(lines, 1) if "# type: ignore[" in line]
    assert len(marked) > 20
    assert [n for n in marked if f"wrong.py:{n}:" not in errors] == []
