"""The levels of the package, and the files that may import a third-party package.

A new module of an existing package needs no line here. A new package needs one: on the lowest
level above everything that it imports.
"""

from __future__ import annotations

from tests.support.package_source import LIBRARY

LEVELS: tuple[tuple[str, ...], ...] = (
    ("_validation", "_version", "clock", "exceptions", "sentinels"),
    ("events", "keys", "record", "runtime", "ttl"),
    ("codecs", "context", "eviction"),
    ("backends", "recordings"),
    ("engine", "testing"),
    ("loading",),
    ("cache",),
    ("decorators",),
    ("integrations", "warming"),
    ("", "_exports", "sync"),
    ("__main__", "cli"),
)
"""The levels from the bottom up. A unit imports only units of lower levels."""

SAME_LEVEL = {
    ("", "_exports"),
    ("__main__", "cli"),
}
"""Pairs of units on one level of which the first may import the second."""

SIBLINGS = {
    "backends": ("fallback", "file", "redis", "memory", "null"),
    "decorators": ("batch", "streams"),
    "integrations": ("httpx", "httpx2", "langchain", "pytest"),
}
"""Parts of a package that must not import each other."""

NAMES_BACKENDS = ("cache.factory",)
"""The only modules that import a concrete store; all others see `aiocache_pe.backends.base`."""

IMPORTS_LATE = {
    "_exports": "a public name is imported when it is first used",
    "backends": "a store's client is imported when a store of that kind is wanted",
    "cache.factory": "a policy is imported when it is wanted",
    "cli.main": "commands that fill a cache need the decorators; reading commands do not",
    "integrations.pytest": "most test runs do not use recordings",
    "runtime.portal": "anyio takes as long to import as all the rest; few programs need it",
    "warming.call_file": "a file of calls names the modules of its functions",
}
"""Modules that import inside a function or by a string, and why that hides no cycle."""

FOREIGN = {
    "aiofiles": ("backends.file",),
    "annotationlib": ("keys.signatures",),  # the standard library's, from Python 3.14 on
    "anyio": ("runtime.portal",),
    "backports": ("codecs",),
    "click": ("cli",),
    "compression": ("codecs",),  # the standard library's, from Python 3.14 on
    "hiredis": ("backends.redis",),
    "httpx": ("integrations.httpx",),
    "httpx2": ("integrations.httpx2",),
    "langchain_core": ("integrations.langchain",),
    "msgspec": ("",),  # the record's own format: everywhere
    "numpy": ("codecs",),
    "pydantic": ("codecs",),
    "pydantic_core": ("codecs",),
    "pytest": ("integrations.pytest",),
    "redis": ("backends.redis",),
    "rich": ("cli",),
}
"""The modules that may import a third-party package; "" is every module."""


def inner_name(module: str) -> str:
    """Return a module's name without the name of the library."""
    return module.removeprefix(LIBRARY).removeprefix(".")


def unit(module: str) -> str:
    """Return the package or the module at the top of the library that holds a module."""
    return inner_name(module).partition(".")[0]


def level(module: str) -> int | None:
    """Return the number of a module's level, from 1; ``None`` for a unit without a level."""
    name = unit(module)
    return next((number for number, units in enumerate(LEVELS, 1) if name in units), None)


def is_in(module: str, places: tuple[str, ...]) -> bool:
    """Return whether a module is one of ``places`` or inside one; "" holds every module."""
    inner = inner_name(module)
    return any(not place or inner == place or inner.startswith(f"{place}.") for place in places)
