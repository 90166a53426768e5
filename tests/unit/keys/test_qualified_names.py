"""Names of functions and classes: the same in every process, however a script is started."""

from __future__ import annotations

import importlib.machinery
import pathlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from aiocache_pe.keys.qualified_names import get_module, qualified_name

SCRIPT = """
from aiocache_pe.keys.qualified_names import qualified_name
def function(): ...
class Thing:
    def method(self): ...
if __name__ == "__main__":
    print(qualified_name(function), qualified_name(Thing.method))
"""
SPAWNING = """
import multiprocessing
from aiocache_pe.keys.qualified_names import qualified_name
def function(): print(qualified_name(function), flush=True)
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=function)
    process.start(), process.join()
"""


def ran(*arguments: str, directory: Path) -> list[str]:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_what_is_in_a_module_is_known_by_it() -> None:
    assert qualified_name(qualified_name) == "aiocache_pe.keys.qualified_names.qualified_name"
    assert qualified_name(SimpleNamespace) == "types.SimpleNamespace"
    assert qualified_name(pathlib.PurePath.joinpath) == "pathlib.PurePath.joinpath"
    assert get_module(len) == "builtins"


def test_a_class_that_moved_within_the_library_keeps_its_name() -> None:
    moved = type("Path", (), {"__module__": "pathlib._local"})
    assert qualified_name(moved) == qualified_name(pathlib.Path) == "pathlib.Path"


def test_what_is_in_no_module_has_an_empty_one() -> None:
    assert get_module(SimpleNamespace(__module__=None)) == ""
    assert get_module(SimpleNamespace()) == ""


def as_main(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> Any:
    module = ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)
    return SimpleNamespace(__module__=name)


@pytest.mark.parametrize("name", ["__main__", "__mp_main__"])
@pytest.mark.parametrize(
    ("attributes", "module"),
    [
        ({"__file__": "/srv/tools/answer.py"}, "answer"),
        ({"__file__": "answer"}, "answer"),
        ({"__file__": "answer.old.py"}, "answer.old"),
        ({"__spec__": importlib.machinery.ModuleSpec("tools.answer", None)}, "tools.answer"),
        ({"__spec__": importlib.machinery.ModuleSpec("tools.__main__", None)}, "tools"),
        ({}, "__main__"),
    ],
)
def test_what_was_started_is_known_by_its_own_name(
    name: str, attributes: dict[str, Any], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_module(as_main(monkeypatch, name, **attributes)) == module


def test_a_script_agrees_with_itself_run_imported_and_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text(SCRIPT)
    names = ["answer.function", "answer.Thing.method"]
    assert ran("answer.py", directory=tmp_path) == names
    assert ran("-m", "answer", directory=tmp_path) == names
    importing = (
        "import answer as a; print(a.qualified_name(a.function), a.qualified_name(a.Thing.method))"
    )
    assert ran("-c", importing, directory=tmp_path) == names


def test_a_package_that_is_run_is_known_as_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__main__.py").write_text(SCRIPT)
    assert ran("-m", "tools", directory=tmp_path)[0] == "tools.function"


def test_a_spawned_process_has_the_scripts_names(tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text(SPAWNING)
    assert ran("answer.py", directory=tmp_path) == ["answer.function"]
