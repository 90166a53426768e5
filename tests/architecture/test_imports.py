"""Imports between the packages of the library.

The imports are read from the syntax trees. import-linter does not see imports by a string, nor
does it know which third-party package belongs in which file.

A new module of an existing package needs no line here. A new package needs one: on the lowest
level above everything that it imports.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.package_source import (
    LIBRARY,
    Import,
    list_foreign_imports,
    list_modules,
    list_own_imports,
    parse_module,
)

HERE = "tests/architecture/test_imports.py"

LEVELS: tuple[tuple[str, ...], ...] = (
    ("_validation", "_version", "clock", "exceptions", "observation", "sentinels"),
    ("events", "keys", "record", "runtime", "ttl"),
    ("codecs", "context", "eviction", "usage"),
    ("backends", "recordings"),
    ("engine", "testing"),
    ("loading",),
    ("cache",),
    ("decorators",),
    ("integrations", "metrics", "warming"),
    ("", "_exports", "sync"),
    ("__main__", "cli"),
)
"""The levels from the bottom up. A unit imports only units of lower levels."""

SAME_LEVEL = {
    ("keys", "runtime"),
    ("", "_exports"),
    ("__main__", "cli"),
}
"""Pairs of units on one level of which the first may import the second."""

SIBLINGS = {
    "backends": ("fallback", "file", "redis", "memory", "null"),
    "decorators": ("batch", "streams"),
    "integrations": ("httpx", "httpx2", "langchain", "pytest"),
    "metrics": ("logs", "opentelemetry", "prometheus", "statsd"),
}
"""Parts of a package that must not import each other."""

NAMES_BACKENDS = ("cache.factory", "sync")
"""The only modules that name a concrete store; all others see `aiocache_pe.backends.base`."""

IMPORTS_LATE = {
    "_exports": "a public name is imported at its first use",
    "backends": "the client of a store is imported when a store of that kind is created",
    "cache.factory": "a policy is imported when a cache is created with it",
    "cache.manager": "the decorators and the metrics use the manager, which imports them on demand",
    "cli.main": "commands that fill a cache need the decorators; reading commands do not",
    "metrics.instrument": "a sink is imported when it is chosen, and its package with it",
    "metrics.logs": "structlog is imported when it is chosen",
    "integrations.pytest": "most test runs do not use recordings",
    "warming.call_file": "a file of calls names the modules of its functions",
}
"""Modules that import inside a function or by a string, and why that hides no cycle."""

IMPORTS_ABOVE = {
    ("cache.manager", "decorators.cached"): "`CacheManager.cached` is the decorator of a cache",
    ("cache.sync_manager", "decorators.cached"): "as above",
    ("cache.manager", "metrics.instrument"): "a variable of the environment instruments each cache",
}
"""Imports from a higher level, late or for type checkers only, and why they are needed."""

FOREIGN = {
    "aiofiles": ("backends.file",),
    "anyio": ("warming",),
    "annotationlib": ("keys.signatures",),  # of the standard library, from Python 3.14 on
    "backports": ("codecs",),
    "click": ("cli",),
    "compression": ("codecs",),  # of the standard library, from Python 3.14 on
    "hiredis": ("backends.redis",),
    "httpx": ("integrations.httpx",),
    "httpx2": ("integrations.httpx2",),
    "langchain_core": ("integrations.langchain",),
    "msgspec": ("",),  # the format of records: everywhere
    "numpy": ("codecs",),
    "opentelemetry": ("metrics.opentelemetry",),
    "prometheus_client": ("metrics.prometheus",),
    "pydantic": ("codecs", "integrations.langchain"),
    "pydantic_core": ("codecs",),
    "pytest": ("integrations.pytest",),
    "redis": ("backends.redis",),
    "rich": ("cli",),
    "structlog": ("metrics.logs",),
}
"""The modules that may import a third-party package; "" is every module."""


def strip_library(module: str) -> str:
    """Return the name of a module without the name of the library."""
    return module.removeprefix(LIBRARY).removeprefix(".")


def get_unit(module: str) -> str:
    """Return the package or the module at the top of the library that holds a module."""
    return strip_library(module).partition(".")[0]


def get_level(module: str) -> int | None:
    """Return the number of a module's level, from 1; ``None`` for a unit without a level."""
    unit = get_unit(module)
    return next((number for number, units in enumerate(LEVELS, 1) if unit in units), None)


def is_in(module: str, places: Iterable[str]) -> bool:
    """Return whether a module is one of ``places`` or inside one; "" holds every module."""
    inner = strip_library(module)
    return any(not place or inner == place or inner.startswith(f"{place}.") for place in places)


def is_allowed_above(found: Import) -> bool:
    """Return whether `IMPORTS_ABOVE` has an import, which is late or for type checkers only."""
    pair = strip_library(found.source), strip_library(found.target)
    return (found.typing or found.hidden) and pair in IMPORTS_ABOVE


def is_downward(found: Import) -> bool:
    """Return whether an import stays inside its unit or goes to a lower level."""
    if is_allowed_above(found):
        return True
    source, target = get_unit(found.source), get_unit(found.target)
    if source == target or (source, target) in SAME_LEVEL:
        return True
    above, below = get_level(found.source), get_level(found.target)
    return above is not None and below is not None and above > below


def assert_none(found: Iterable[object], advice: str) -> None:
    lines = sorted(map(str, found))
    assert not lines, "\n".join([advice, *lines])


def test_every_unit_has_a_level() -> None:
    units = {get_unit(module) for module in list_modules()}
    placed = {name for names in LEVELS for name in names}
    assert units == placed, f"LEVELS in {HERE} differ from the package: {units ^ placed}"


def test_imports_go_down() -> None:
    upward = (found for found in list_own_imports() if not is_downward(found))
    assert_none(upward, f"not allowed by LEVELS in {HERE}:")


@pytest.mark.parametrize("package", SIBLINGS)
def test_parts_of_a_package_do_not_import_each_other(package: str) -> None:
    parts = tuple(f"{package}.{part}" for part in SIBLINGS[package])

    def find_part(module: str) -> str | None:
        return next((part for part in parts if is_in(module, (part,))), None)

    assert_none(
        (
            found
            for found in list_own_imports()
            if (source := find_part(found.source))
            and (target := find_part(found.target))
            and source != target
        ),
        f"not allowed by SIBLINGS in {HERE}:",
    )


@pytest.mark.parametrize("package", ["backends", "codecs", "eviction"])
def test_the_base_of_a_package_imports_nothing_of_the_package(package: str) -> None:
    assert_none(
        (
            found
            for found in list_own_imports()
            if is_in(found.source, (f"{package}.base",)) and is_in(found.target, (package,))
        ),
        "base.py is the bottom of its package:",
    )


def test_only_the_factory_imports_a_concrete_store() -> None:
    assert_none(
        (
            found
            for found in list_own_imports()
            if is_in(found.target, ("backends",))
            and not is_in(found.target, ("backends.base", "backends.capabilities"))
            and not is_in(found.source, ("backends", *NAMES_BACKENDS))
        ),
        "use `aiocache_pe.backends.base` instead of a concrete store:",
    )


@pytest.mark.parametrize("typing", [False, True], ids=["at run time", "for type checkers too"])
def test_imports_form_no_cycle(typing: bool) -> None:
    graph: dict[str, set[str]] = {module: set() for module in list_modules()}
    for found in list_own_imports():
        is_counted = (typing or not found.typing) and not is_allowed_above(found)
        if found.source != found.target and is_counted:
            graph[found.source].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


def test_modules_import_at_their_top() -> None:
    assert_none(
        (found for found in list_own_imports() if found.hidden and not is_late(found)),
        "move these to the top of their module; if that makes a cycle, remove the cycle:",
    )


def is_late(found: Import) -> bool:
    return is_in(found.source, IMPORTS_LATE)


def test_third_party_packages_are_imported_only_by_the_listed_modules() -> None:
    misplaced = [
        found
        for found in list_foreign_imports()
        if (name := found.target.partition(".")[0]) not in sys.stdlib_module_names
        and name != LIBRARY
        and not is_in(found.source, FOREIGN.get(name, ("nowhere",)))
    ]
    assert_none(misplaced, f"not allowed by FOREIGN in {HERE}:")


def test_every_imported_module_of_the_library_exists() -> None:
    assert_none(
        (found for found in list_foreign_imports() if found.target.partition(".")[0] == LIBRARY),
        "no such module in the library:",
    )


def test_importing_the_library_imports_no_client() -> None:
    clients = [name for name in FOREIGN if name != "msgspec"]
    code = f"import sys, {LIBRARY}; print(*sorted(set({clients!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_controls_of_a_call_are_read_through_their_module() -> None:
    """Modules call ``context.current_control()``: an active recording replaces that function."""
    function = f"{LIBRARY}.context.current_control"
    importing = [name for name in list_modules() if function in imported_names(name)]
    assert not importing, f"call context.current_control() instead of importing it: {importing}"


def imported_names(module: str) -> set[str]:
    return {
        f"{node.module}.{alias.name}"
        for node in ast.walk(parse_module(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
