"""Public names of the package: sorted, importable and documented."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from types import ModuleType

import pytest

import aiocache_pe
from aiocache_pe import CacheManager, backends, events, exceptions, sync, testing
from tests.support.package_source import ROOT

ERRORS = {
    name
    for name in aiocache_pe.__all__
    if inspect.isclass(getattr(aiocache_pe, name))
    and issubclass(getattr(aiocache_pe, name), Exception)
}


def test_the_public_names_are_sorted_and_unique() -> None:
    names = aiocache_pe.__all__
    assert len(set(names)) == len(names)
    constants = {name for name in names if name.isupper()}
    classes = {name for name in names if name[0].isupper()} - constants
    functions = set(names) - constants - classes
    assert names == [*sorted(constants), *sorted(classes), *sorted(functions)]


@pytest.mark.parametrize("name", aiocache_pe.__all__)
def test_a_public_name_belongs_to_the_package(name: str) -> None:
    assert getattr(aiocache_pe, name).__module__.startswith("aiocache_pe.")


@pytest.mark.parametrize("module", [aiocache_pe, sync, CacheManager, sync.CacheManager])
def test_every_public_name_has_a_docstring_with_an_example(module: object) -> None:
    names = getattr(module, "__all__", None) or [
        name for name, _ in inspect.getmembers(module, callable) if not name.startswith("_")
    ]
    docstrings = {name: inspect.getdoc(getattr(module, name)) or "" for name in names}
    docstrings.pop("__version__", None)
    assert len(docstrings) >= 20
    assert [
        name
        for name, docstring in docstrings.items()
        if not docstring.partition("\n")[0].endswith((".", ":")) or ">>> " not in docstring
    ] == []


@pytest.mark.parametrize("module", [aiocache_pe, backends, events, exceptions, sync, testing])
def test_the_reference_contains_every_public_name(module: ModuleType) -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    documented: list[object] = []
    for kind, path in re.findall(r"^\.\. auto(\w+):: (\S+)$", pages, re.MULTILINE):
        parent, _, name = path.rpartition(".")
        if kind == "module":
            documented.extend(vars(importlib.import_module(path)).values())
        else:
            documented.append(getattr(importlib.import_module(parent), name))
    found = set(map(id, documented))
    names = getattr(module, "__all__", None) or [
        name
        for name, one in vars(module).items()
        if getattr(one, "__module__", "") == module.__name__
    ]
    assert len(names) > 2
    assert [
        name
        for name in names
        if not name.startswith("_") and id(getattr(module, name)) not in found
    ] == []


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_is_in_the_drawn_tree_and_derives_from_cache_error(name: str) -> None:
    assert name in str(exceptions.__doc__).split()
    assert issubclass(getattr(aiocache_pe, name), aiocache_pe.CacheError)


def test_every_error_in_the_drawn_tree_can_be_imported_from_the_package() -> None:
    assert set(str(exceptions.__doc__).split()) & set(vars(exceptions)) == ERRORS


def test_importing_the_library_imports_no_store() -> None:
    code = "import sys, aiocache_pe; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    assert not {"redis", "aiofiles", "numpy", "pydantic", "click", "rich"} & set(
        done.stdout.split()
    )


def test_the_version_has_three_parts() -> None:
    assert aiocache_pe.__version__.count(".") == 2


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'aiocache_pe' has no attribute 'nonsense'"):
        aiocache_pe.nonsense  # type: ignore[attr-defined] # noqa: B018 - must raise
    assert sorted(aiocache_pe.__all__) == dir(aiocache_pe)


def test_an_error_can_be_imported_without_asyncio() -> None:
    code = "import sys, aiocache_pe; aiocache_pe.CacheError; print('asyncio' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout == "False\n"
