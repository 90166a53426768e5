"""Prints the keys of the calls in `tests.support.calls`; run by any interpreter.

One without msgspec cannot import the library, but it can make keys: they need nothing
besides the standard library.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[3]


def bare_package(name: str) -> None:
    """Let a package's modules be imported without the package's own ``__init__``."""
    package = types.ModuleType(name)
    package.__path__ = [str(ROOT / name.replace(".", "/"))]
    sys.modules[name] = package


def keys() -> dict[str, str]:
    """The key of each call, by the call's name."""
    from aiocache_pe.keys.call_key import make_cache_key  # noqa: PLC0415 - once it can be
    from tests.support.calls import DIFFERENT  # noqa: PLC0415

    return {name: make_cache_key(value, option=value) for name, value in DIFFERENT.items()}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for name in ("aiocache_pe", "tests", "tests.support"):
        bare_package(name)
    sys.stdout.write(json.dumps(keys()))
