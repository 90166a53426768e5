"""Keys stay what they are: from release to release, in every process, on every Python.

A key that changes loses everything that was cached under it, so the keys of today are
written down here. ``python -m tests.behaviour.test_golden_keys`` writes them anew, which is
right only where a release says that keys change.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import print_keys as keys_of_calls

GOLDEN = Path(__file__).with_name("golden_keys.json")
SCRIPT = keys_of_calls.__file__
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def golden() -> dict[str, str]:
    known: dict[str, str] = json.loads(GOLDEN.read_text())
    return known


def keys_by(interpreter: str, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [interpreter, "-I", SCRIPT] if not environment else [interpreter, SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def interpreters() -> dict[str, str]:
    """The Pythons of this machine, by version; a name that runs nothing is none."""
    found: dict[str, str] = {}
    for version in VERSIONS:
        installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for path in [*map(str, installed), shutil.which(f"python{version}")]:
            if path is not None and _is_version(path, version):
                found[version] = path
                break
    return found


def _is_version(path: str, version: str) -> bool:
    done = subprocess.run(
        [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.stdout.strip() == version


def test_keys_are_what_they_were() -> None:
    assert keys_of_calls.keys() == golden()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_keys_are_the_same_in_every_process(seed: str) -> None:
    assert keys_by(sys.executable, PYTHONHASHSEED=seed) == golden()


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_the_same_on_every_python(version: str) -> None:
    path = interpreters().get(version)
    if path is None:
        pytest.skip(f"no Python {version} on this machine")
    assert keys_by(path) == golden()


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(keys_of_calls.keys(), indent=1) + "\n")
