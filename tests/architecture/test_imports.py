"""Imports only go down.

Read from the syntax trees, by a few lines here and not by import-linter: they also see imports
by string, tell siblings from floors, and know which third-party package belongs in which file.
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
    LAYERS,
    NAMES_BACKENDS,
    is_in,
    room,
)
from tests.architecture.source import (
    LIBRARY,
    Import,
    foreign_imports,
    imports,
    modules,
    own_imports,
    tree,
)

PLAN = "tests/architecture/layers.py"


def fail_with(found: Iterable[object], advice: str) -> None:
    lines = sorted(map(str, found))
    assert not lines, "\n".join([advice, *lines])


def test_every_module_has_a_place() -> None:
    fail_with(
        (f"{module}: {advice_for(module)}" for module in modules() if room(module) is None),
        f"each of these needs a line in LAYERS, in {PLAN}:",
    )


def advice_for(module: str) -> str:
    below = {placed[0] for i in imports(module) if (placed := room(i.target)) is not None}
    lowest = max(below, default=0)
    names = " or ".join(repr(layer.name) for layer in LAYERS[lowest : lowest + 2])
    return f"what it imports reaches up to {LAYERS[lowest].name!r}, so put it in {names}"


def test_every_place_is_taken() -> None:
    rooms = {name for layer in LAYERS for name in layer.rooms if not name.endswith("*")}
    taken = {placed[1] for module in modules() if (placed := room(module)) is not None}
    fail_with(rooms - taken, f"no module is in these rooms; take them out of {PLAN}:")


def test_imports_go_down() -> None:
    fail_with((i for i in own_imports() if goes_wrong(i)), f"not allowed by LAYERS in {PLAN}:")


def goes_wrong(found: Import) -> bool:
    source, target = room(found.source), room(found.target)
    if source is None or target is None:
        return False  # told by test_every_module_has_a_place
    if source[0] != target[0]:
        return source[0] < target[0]
    return source[1] != target[1] and not LAYERS[source[0]].talk


def test_only_config_names_a_concrete_store() -> None:
    fail_with(
        (
            found
            for found in own_imports()
            if is_in(found.target, ("backends",))
            and not is_in(found.target, ("backends.base", "backends.capabilities"))
            and not is_in(found.source, ("backends", *NAMES_BACKENDS))
        ),
        "see `aiocache_pe.backends.base` instead of a concrete store:",
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
