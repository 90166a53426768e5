"""Process that prints the keys of the arguments in `tests.support.calls`, on any interpreter.

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
    """Return the key of each call, by the name of the call."""
    from aiocache_pe.keys.call_key import make_cache_key  # noqa: PLC0415 - after `register_bare_package`
    from tests.support.calls import DIFFERENT  # noqa: PLC0415

    return {name: make_cache_key(value, option=value) for name, value in DIFFERENT.items()}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for name in ("aiocache_pe", "tests", "tests.support"):
        register_bare_package(name)
    sys.stdout.write(json.dumps(make_keys()))
