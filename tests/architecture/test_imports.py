"""Imports between the packages of the library.

The imports are read from the syntax trees. import-linter does not see imports by a string, nor
does it know which third-party package belongs in which file.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.layers import (
    FOREIGN,
    IMPORTS_LATE,
    LEVELS,
    NAMES_BACKENDS,
    SAME_LEVEL,
    SIBLINGS,
    is_in,
    level,
    unit,
)
from tests.support.package_source import (
    LIBRARY,
    Import,
    foreign_imports,
    modules,
    own_imports,
    tree,
)

PLAN = "tests/architecture/layers.py"


def fail_with(found: Iterable[object], advice: str) -> None:
    lines = sorted(map(str, found))
    assert not lines, "\n".join([advice, *lines])


def test_every_unit_has_a_level() -> None:
    units = {unit(module) for module in modules()}
    placed = {name for names in LEVELS for name in names}
    assert units == placed, f"LEVELS in {PLAN} differ from the package: {units ^ placed}"


def test_imports_go_down() -> None:
    fail_with((i for i in own_imports() if not goes_down(i)), f"not allowed by LEVELS in {PLAN}:")


def goes_down(found: Import) -> bool:
    source, target = unit(found.source), unit(found.target)
    if source == target or (source, target) in SAME_LEVEL:
        return True
    above, below = level(found.source), level(found.target)
    return above is not None and below is not None and above > below


@pytest.mark.parametrize("package", SIBLINGS)
def test_parts_of_a_package_do_not_import_each_other(package: str) -> None:
    parts = tuple(f"{package}.{part}" for part in SIBLINGS[package])

    def part_of(module: str) -> str | None:
        return next((part for part in parts if is_in(module, (part,))), None)

    fail_with(
        (
            found
            for found in own_imports()
            if (source := part_of(found.source))
            and (target := part_of(found.target))
            and source != target
        ),
        f"not allowed by SIBLINGS in {PLAN}:",
    )


@pytest.mark.parametrize("package", ["backends", "codecs", "eviction"])
def test_the_base_of_a_package_imports_nothing_of_it(package: str) -> None:
    fail_with(
        (
            found
            for found in own_imports()
            if is_in(found.source, (f"{package}.base",)) and is_in(found.target, (package,))
        ),
        "base.py is the bottom of its package:",
    )


def test_only_the_factory_names_a_concrete_store() -> None:
    fail_with(
        (
            found
            for found in own_imports()
            if is_in(found.target, ("backends",))
            and not is_in(found.target, ("backends.base", "backends.capabilities"))
            and not is_in(found.source, ("backends", *NAMES_BACKENDS))
        ),
        "use `aiocache_pe.backends.base` instead of a concrete store:",
    )


@pytest.mark.parametrize("typing", [False, True], ids=["at run time", "for type checkers too"])
def test_no_import_cycle(typing: bool) -> None:
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for found in own_imports():
        if found.source != found.target and (typing or not found.typing):
            graph[found.source].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


def test_no_import_hides() -> None:
    fail_with(
        (found for found in own_imports() if found.hidden and not is_in(found.source, late())),
        "move these to the top of their module; if that makes a cycle, the cycle is the fault:",
    )


def late() -> tuple[str, ...]:
    return tuple(IMPORTS_LATE)


def test_third_party_packages_stay_where_they_belong() -> None:
    strangers = [
        found
        for found in foreign_imports()
        if (name := found.target.partition(".")[0]) not in sys.stdlib_module_names
        and name != LIBRARY
        and not is_in(found.source, FOREIGN.get(name, ("nowhere",)))
    ]
    fail_with(strangers, f"not allowed by FOREIGN in {PLAN}:")


def test_every_own_import_exists() -> None:
    fail_with(
        (found for found in foreign_imports() if found.target.partition(".")[0] == LIBRARY),
        "no such module in the library:",
    )


def test_importing_the_library_imports_no_client() -> None:
    asked = [name for name in FOREIGN if name not in ("anyio", "msgspec")]
    code = f"import sys, {LIBRARY}; print(*sorted(set({asked!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_mode_is_asked_where_it_may_be_replaced() -> None:
    """While something is recorded, ``context.mode`` is another function; see there."""
    taken = [name for name in modules() if f"{LIBRARY}.context.mode" in _names_from(name)]
    assert not taken, f"call context.mode(), and import no mode: {taken}"


def _names_from(module: str) -> set[str]:
    return {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
