"""Check of a wheel and an sdist: their contents, and the README's programs after an installation.

Run as ``python -m tests.support.distribution FOLDER``, where the folder holds one of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

from tests.support.documents import iter_programs

README = Path(__file__).parents[2] / "README.md"
SDIST_FOLDERS = {"aiocache_pe", "benchmarks", "docs", "examples", "tests"}
SDIST_FILES = {"CHANGELOG.md", "LICENSE", "Makefile", "PKG-INFO", "README.md", "pyproject.toml"}


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def check_contents(folder: Path) -> Path:
    """Check the names in both archives; return the path of the wheel."""
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in names}
    assert {top.partition("-")[0] for top in tops} == {"aiocache_pe"}, tops
    assert "aiocache_pe/py.typed" in names
    modules = {
        path.relative_to(README.parent) for path in README.parent.glob("aiocache_pe/**/*.py")
    }
    for archived in (set(names), packed):
        assert {name for name in archived if name.endswith((".pyc", "~", ".orig"))} == set()
        missing = {str(module) for module in modules} - archived
        assert not missing, missing
    assert packed >= SDIST_FILES, SDIST_FILES - packed
    assert {name.partition("/")[0] for name in packed if "/" in name} >= SDIST_FOLDERS
    assert not {name for name in packed if name.startswith((".ci", "data/", ".venv"))}
    show(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size // 1000} kB")
    show(f"{sdist.name}: {len(packed)} names, {sdist.stat().st_size // 1000} kB")
    return wheel


def run_readme(wheel: Path, folder: Path) -> None:
    """Install the wheel in an empty environment, and run the README's programs there."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "--quiet", "install", str(wheel)], check=True)
    listing = [python, "-m", "pip", "list", "--format=freeze"]
    show(subprocess.run(listing, check=True, capture_output=True, text=True).stdout.strip())
    environment = {
        "HOME": str(folder),
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
    }
    place = folder / "work"
    place.mkdir()
    count = 0
    for text, command in iter_programs(README, python):
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        count += 1
    show(f"{README.name}: {count} programs run")
    began = time.perf_counter()
    subprocess.run([python, "-c", "import aiocache_pe"], check=True, cwd=place, env=environment)
    show(f"a process that imports aiocache_pe: {time.perf_counter() - began:.3f} s")


def main() -> None:
    """Check the distributions in the folder that the command line names."""
    wheel = check_contents(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        run_readme(wheel.resolve(), Path(folder))


if __name__ == "__main__":
    main()
