"""Public names of the package: sorted, importable and documented."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import aiocache_pe
from aiocache_pe import exceptions

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


@pytest.mark.parametrize("name", aiocache_pe.__all__)
def test_a_public_name_is_documented_with_an_example_or_its_attributes(name: str) -> None:
    docstring = inspect.getdoc(getattr(aiocache_pe, name))
    assert docstring
    assert docstring.partition("\n")[0].endswith((".", ":"))
    if name not in ERRORS:  # the docstring of the module draws them as a tree
        assert ">>> " in docstring or "Attributes:" in docstring


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_is_in_the_drawn_tree_and_derives_from_cache_error(name: str) -> None:
    assert name in str(exceptions.__doc__).split()
    assert issubclass(getattr(aiocache_pe, name), aiocache_pe.CacheError)


def test_every_error_in_the_drawn_tree_can_be_imported_from_the_package() -> None:
    assert set(str(exceptions.__doc__).split()) & set(vars(exceptions)) == ERRORS


def test_every_method_of_the_manager_has_a_docstring() -> None:
    methods = [
        member
        for name, member in inspect.getmembers(aiocache_pe.CacheManager, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert len(methods) >= 20
    assert [method.__name__ for method in methods if not inspect.getdoc(method)] == []


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
