"""Stability of cache keys and digests: between releases, in every process and on every Python.

A changed key loses the entry that was stored under it, so the keys of today are committed in
golden_keys.json. ``python -m tests.behaviour.test_golden_keys`` replaces them. Do that only
in a release that announces changed keys.
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


def load_golden_keys() -> dict[str, str]:
    known: dict[str, str] = json.loads(GOLDEN.read_text())
    return known


def make_keys(interpreter: str, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [interpreter, "-I", SCRIPT] if not environment else [interpreter, SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    paths: dict[str, str] = json.loads(done.stdout)
    return paths


def find_interpreters() -> dict[str, str]:
    """Return the paths of the Python interpreters on this machine, by version."""
    paths: dict[str, str] = {}
    for version in VERSIONS:
        installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for path in [*map(str, installed), shutil.which(f"python{version}")]:
            if path is not None and _is_version(path, version):
                paths[version] = path
                break
    return paths


def _is_version(path: str, version: str) -> bool:
    done = subprocess.run(
        [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.stdout.strip() == version


def test_keys_equal_the_committed_keys() -> None:
    assert keys_of_calls.make_keys() == load_golden_keys()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_keys_are_the_same_in_every_process(seed: str) -> None:
    assert make_keys(sys.executable, PYTHONHASHSEED=seed) == load_golden_keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_the_same_on_every_python(version: str) -> None:
    path = find_interpreters().get(version)
    if path is None:
        pytest.skip(f"no Python {version} on this machine")
    assert make_keys(path) == load_golden_keys()


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(keys_of_calls.make_keys(), indent=1) + "\n")
