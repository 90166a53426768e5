"""Process that prints keys and digests of functions, on any interpreter.

The arguments are those in `tests.support.calls`, the functions those in
`tests.support.digested_functions`, and the classes those in `tests.support.described_classes`.

An interpreter without msgspec cannot import the library, but it can make keys, which need only
the standard library.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[3]


def register_bare_package(name: str) -> None:
    """Make the modules of a package importable without running its ``__init__``."""
    package = types.ModuleType(name)
    package.__path__ = [str(ROOT / name.replace(".", "/"))]
    sys.modules[name] = package


def make_keys() -> dict[str, str]:
    """Return the keys of calls, the digests of functions and the schemas of classes, by name."""
    # The library can be imported after `register_bare_package`.
    from aiocache_pe.keys.call_key import CallKey, make_cache_key  # noqa: PLC0415
    from aiocache_pe.keys.class_schemas import render_result, render_schema  # noqa: PLC0415
    from aiocache_pe.keys.code_digest import CodeDigest  # noqa: PLC0415
    from tests.support.calls import DIFFERENT  # noqa: PLC0415
    from tests.support.described_classes import CLASSES, Record  # noqa: PLC0415
    from tests.support.digested_functions import FUNCTIONS, RECEIVERS  # noqa: PLC0415

    keys = {name: make_cache_key(value, option=value) for name, value in DIFFERENT.items()}
    for receiver in RECEIVERS:
        method = getattr(receiver, "ask")  # noqa: B009 - the receivers have no common type
        key = CallKey(method.__func__, prefix="").make_key((receiver, "Why?"), {})
        keys[f"method of {receiver!r}"] = key
    for name, function in FUNCTIONS.items():
        keys[f"digest of {name}"] = CodeDigest(function).compute()[0]
    for cls in CLASSES:
        keys[f"schema of {cls.__name__}"] = render_schema(cls)
    keys["schema of a result"] = render_result(dict[str, list[Record] | None], "tests")
    return keys


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for name in ("aiocache_pe", "tests", "tests.support"):
        register_bare_package(name)
    sys.stdout.write(json.dumps(make_keys()))
