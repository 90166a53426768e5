"""Layout of the tests: places of helpers, imports between tests, and uses of private names."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.support.package_source import LIBRARY, ROOT, list_modules, parse_module

TESTS = ROOT / "tests"
SUPPORT = "support/"
CODE_FOR_TYPE_CHECKERS = ("typing/right.py", "typing/wrong.py")
"""Modules that test_types.py gives to the type checkers; no test imports them."""

USES_INTERNALS = {
    "support/internals.py": "timers, limits, threads and tasks in the library have no public name",
    "architecture/test_form.py": "compares the public names with the table of their modules",
}
"""Modules outside tests/unit that use private names of the library, with the reasons."""


def list_tests() -> dict[str, Path]:
    """Return the path of each module of the tests by its path below tests/."""
    return {path.relative_to(TESTS).as_posix(): path for path in sorted(TESTS.rglob("*.py"))}


def test_helpers_lie_in_support_only() -> None:
    misplaced = [
        name
        for name, path in list_tests().items()
        if not name.startswith(SUPPORT)
        and not path.name.startswith("test_")
        and path.name != "conftest.py"
        and name not in CODE_FOR_TYPE_CHECKERS
    ]
    assert not misplaced, f"move these helpers to tests/support: {misplaced}"


def test_support_holds_no_tests() -> None:
    hidden = [
        name
        for name, path in list_tests().items()
        if name.startswith(SUPPORT) and path.name.startswith(("test_", "conftest"))
    ]
    assert not hidden, f"pytest would collect these helpers: {hidden}"


def test_tests_import_helpers_from_support_only() -> None:
    wrong = [
        f"tests/{name}:{node.lineno} imports {target}"
        for name, path in list_tests().items()
        for node, target in iter_imports(ast.parse(path.read_bytes()))
        if target == "tests" or target.startswith("tests.")
        if not target.startswith("tests.support.")
    ]
    assert not wrong, "\n".join(["move the shared part to tests/support:", *wrong])


def test_only_unit_tests_of_a_package_use_its_private_names() -> None:
    wrong = [
        f"tests/{name}:{line} uses {private}"
        for name in list_tests()
        if name not in USES_INTERNALS
        for line, private in iter_private_uses(name)
    ]
    advice = "use a public name, tests.support.internals, or a test in tests/unit/<package>:"
    assert not wrong, "\n".join([advice, *wrong])


def test_every_listed_exception_is_needed() -> None:
    assert [name for name in USES_INTERNALS if not list(iter_private_uses(name))] == []


def iter_imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield each import statement with each dotted name that it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)


def iter_private_uses(name: str) -> Iterator[tuple[int, str]]:
    """Yield the private names of the library that a test uses, with their lines.

    Found are imports, attributes of imported modules and of other objects, and strings such as
    the arguments of `pytest.MonkeyPatch.setattr`. An attribute of an object counts if the library
    defines an attribute of this name and the test does not.
    """
    tree = ast.parse(list_tests()[name].read_bytes())
    for node, target in iter_imports(tree):
        owner, _, imported = target.rpartition(".")
        if owner.startswith(LIBRARY) and is_private(imported) and not is_unit_test(name, owner):
            yield node.lineno, target

    own = set(list_attributes(tree))
    origins = map_names_to_origins(tree)
    for line, holder, attribute in iter_attributes(tree):
        origin = origins.get(holder, holder)
        owners: set[str]
        if origin in list_modules():
            owners = {origin}
        elif origin in origins.values() or attribute in own:
            owners = set()  # an attribute of another package, or of the test itself
        else:
            owners = map_private_attributes_to_modules().get(attribute, set())
        if owners and not any(is_unit_test(name, owner) for owner in owners):
            yield line, f"{attribute} of {' or '.join(sorted(owners))}"


def iter_attributes(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the name of the holder and the name of each private attribute used.

    The holder is the first name of a chain such as ``holder.attribute._private``, the dotted name
    of a module in a string, or empty.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value, attr=attribute):
                holder = find_first_name(value)
            case ast.Call(args=[value, ast.Constant(value=str(attribute)), *_]):
                holder = find_first_name(value)
            case ast.Call(args=[ast.Constant(value=str(dotted)), *_]) if " " not in dotted:
                holder, _, attribute = dotted.rpartition(".")
            case _:
                continue
        if is_private(attribute):
            yield node.lineno, holder, attribute


def find_first_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def map_names_to_origins(tree: ast.Module) -> dict[str, str]:
    """Return the dotted names of imported modules, and of all imports from other packages."""
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            origins |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin = f"{node.module}.{alias.name}"
                if origin in list_modules() or not origin.startswith((LIBRARY, "tests.")):
                    origins[alias.asname or alias.name] = origin
    return origins


@functools.cache
def map_private_attributes_to_modules() -> dict[str, set[str]]:
    """Return the modules of the library that define a private attribute, by its name."""
    modules: dict[str, set[str]] = {}
    for module in list_modules():
        for name in filter(is_private, list_attributes(parse_module(module))):
            modules.setdefault(name, set()).add(module)
    return modules


def list_attributes(tree: ast.Module) -> list[str]:
    """Return the names of functions and of attributes that a module assigns."""
    return [
        node.attr if isinstance(node, ast.Attribute) else node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    ]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_unit_test(name: str, module: str) -> bool:
    """Return whether a test is a unit test of the package that holds a module."""
    package = module.removeprefix(LIBRARY).rpartition(".")[0].replace(".", "/")
    return name.rpartition("/")[0] == f"unit{package}"
