"""Names of functions and classes: the same in every process, for every way to start a script."""

from __future__ import annotations

import importlib.machinery
import pathlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from aiocache_pe.keys.file_digest import FileDigest
from aiocache_pe.keys.qualified_names import get_module, get_qualified_name

SCRIPT = """
from aiocache_pe.keys.qualified_names import get_qualified_name
def function(): ...
class Thing:
    def method(self): ...
if __name__ == "__main__":
    print(get_qualified_name(function), get_qualified_name(Thing.method))
"""
SPAWNING = """
import multiprocessing
from aiocache_pe.keys.qualified_names import get_qualified_name
def function(): print(get_qualified_name(function), flush=True)
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=function)
    process.start(), process.join()
"""


def run_python(*arguments: str, directory: Path) -> list[str]:
    """Return the words that a Python process prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_name_has_the_module_and_the_qualified_name() -> None:
    assert (
        get_qualified_name(get_qualified_name)
        == "aiocache_pe.keys.qualified_names.get_qualified_name"
    )
    assert get_qualified_name(SimpleNamespace) == "types.SimpleNamespace"
    assert get_qualified_name(pathlib.PurePath.joinpath) == "pathlib.PurePath.joinpath"
    assert get_module(len) == "builtins"


def test_a_class_whose_module_was_moved_keeps_its_name() -> None:
    moved = type("Path", (), {"__module__": "pathlib._local"})
    assert get_qualified_name(moved) == get_qualified_name(pathlib.Path) == "pathlib.Path"
    assert get_qualified_name(FileDigest) == "aiocache_pe.digests.FileDigest"


def test_an_object_without_a_module_has_an_empty_module_name() -> None:
    assert get_module(SimpleNamespace(__module__=None)) == ""
    assert get_module(SimpleNamespace()) == ""


def make_owner_in_main(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> Any:
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
def test_a_started_script_has_the_name_under_which_it_is_imported(
    name: str, attributes: dict[str, Any], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_module(make_owner_in_main(monkeypatch, name, **attributes)) == module


def test_a_script_has_the_same_names_when_run_imported_and_run_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text(SCRIPT)
    names = ["answer.function", "answer.Thing.method"]
    assert run_python("answer.py", directory=tmp_path) == names
    assert run_python("-m", "answer", directory=tmp_path) == names
    importing = (
        "from answer import Thing, function, get_qualified_name as name; "
        "print(name(function), name(Thing.method))"
    )
    assert run_python("-c", importing, directory=tmp_path) == names


def test_a_package_that_is_run_has_its_import_name(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__main__.py").write_text(SCRIPT)
    assert run_python("-m", "tools", directory=tmp_path)[0] == "tools.function"


def test_a_spawned_process_has_the_names_of_its_script(tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text(SPAWNING)
    assert run_python("answer.py", directory=tmp_path) == ["answer.function"]
