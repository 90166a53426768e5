"""Names by which functions and classes are known in stores, the same in every process."""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

_MAIN = ("__main__", "__mp_main__")
"""What the module that was started is called, in its process and in those it spawns."""

_scripts = WeakKeyDictionary[ModuleType, str]()


def get_module(owner: Any) -> str:
    """The module of a function or class, by the name that others import it by.

    What a script defines is in ``__main__``, which is somewhere else in every script, so
    the script's own name is used: two scripts that share a store do not meet, and a
    script that is imported agrees with itself when it is run.

    Args:
        owner: a function or class.

    Returns:
        The module's name; ``__main__`` only where there is no other, as at a prompt.

    Example:
        >>> from pathlib import Path
        >>> get_module(Path)
        'pathlib'
    """
    module: str = getattr(owner, "__module__", None) or ""
    if module in _MAIN:
        main = sys.modules.get(module)
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:  # python -m package.module
            return str(spec.name).removesuffix(".__main__")
        if main is not None:
            # It is taken away when the script has run, before handlers of `atexit` do.
            file = _scripts.setdefault(main, file) if file else _scripts.get(main)
        return PurePath(file).stem if file else _MAIN[0]
    return "pathlib" if module == "pathlib._local" else module  # where 3.13 has its classes


def qualified_name(owner: Any) -> str:
    """Module and qualified name.

    Example:
        >>> qualified_name(qualified_name)
        'aiocache_pe.keys.qualified_names.qualified_name'
    """
    return f"{get_module(owner)}.{owner.__qualname__}"
