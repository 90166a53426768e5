"""Names of functions and classes in stores: the same in every process."""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

_MAIN = ("__main__", "__mp_main__")
"""Names of the started module, in its own process and in processes that it spawns."""

_MOVED = {
    "pathlib._local": "pathlib",  # where Python 3.13 defines the classes
    f"{__package__}.file_digest": "aiocache_pe.digests",  # in keys made before it was moved
}
"""Modules that keep an older name in keys and records."""

_script_files = WeakKeyDictionary[ModuleType, str]()


def get_module(owner: Any) -> str:
    """Return the module of a function or class, by the name under which it is imported.

    The definitions of a script are in ``__main__``, which is another module in every script.
    The script's own name is used instead. Two scripts that share a store therefore have
    different names, and a script has the same names when it is run and when it is imported.
    Only where there is no other name, as in a REPL, the result is ``__main__``.
    """
    module: str = getattr(owner, "__module__", None) or ""
    if module in _MAIN:
        main = sys.modules.get(module)
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:  # python -m package.module
            return str(spec.name).removesuffix(".__main__")
        if main is not None:
            # Python deletes `__file__` after the script, before the handlers of `atexit` run.
            file = _script_files.setdefault(main, file) if file else _script_files.get(main)
        return PurePath(file).stem if file else _MAIN[0]
    return _MOVED.get(module, module)


def get_qualified_name(owner: Any) -> str:
    """Return the module and the qualified name of a function or class."""
    return f"{get_module(owner)}.{owner.__qualname__}"
