"""The public names: sorted, all there, and each explained."""

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


def test_the_names_are_sorted_and_once_each() -> None:
    names = aiocache_pe.__all__
    assert len(set(names)) == len(names)
    classes = [name for name in names if name[0].isupper()]
    assert names == [*sorted(classes), *sorted(set(names) - set(classes))]


@pytest.mark.parametrize("name", aiocache_pe.__all__)
def test_a_public_name_is_there_and_says_where_it_comes_from(name: str) -> None:
    assert getattr(aiocache_pe, name).__module__.startswith("aiocache_pe.")


@pytest.mark.parametrize("name", aiocache_pe.__all__)
def test_a_public_name_is_explained_with_an_example_or_its_attributes(name: str) -> None:
    told = inspect.getdoc(getattr(aiocache_pe, name))
    assert told
    assert told.partition("\n")[0].endswith((".", ":"))
    if name not in ERRORS:  # these are drawn as a tree, in the module's own words
        assert ">>> " in told or "Attributes:" in told


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_is_in_the_drawn_tree_and_under_one_root(name: str) -> None:
    assert name in str(exceptions.__doc__).split()
    assert issubclass(getattr(aiocache_pe, name), aiocache_pe.CacheError)


def test_every_error_that_a_user_may_see_can_be_imported_from_the_top() -> None:
    assert set(str(exceptions.__doc__).split()) & set(vars(exceptions)) == ERRORS


def test_every_verb_of_the_manager_is_explained() -> None:
    verbs = [
        member
        for name, member in inspect.getmembers(aiocache_pe.CacheManager, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert len(verbs) >= 20
    assert [verb.__name__ for verb in verbs if not inspect.getdoc(verb)] == []


def test_importing_the_library_imports_no_store() -> None:
    code = "import sys, aiocache_pe; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    assert not {"redis", "aiofiles", "numpy", "pydantic", "click", "rich"} & set(
        done.stdout.split()
    )


def test_the_version_is_that_of_the_distribution() -> None:
    assert aiocache_pe.__version__.count(".") == 2


def test_a_name_that_there_is_not_is_refused_as_ever() -> None:
    with pytest.raises(AttributeError, match="module 'aiocache_pe' has no attribute 'nonsense'"):
        aiocache_pe.nonsense  # type: ignore[attr-defined] # noqa: B018 - it is to fail
    assert sorted(aiocache_pe.__all__) == dir(aiocache_pe)


def test_importing_the_library_imports_what_is_used() -> None:
    code = "import sys, aiocache_pe; aiocache_pe.CacheError; print('asyncio' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout == "False\n"
