"""Names of functions and classes in stores: the same in every process."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from types import ModuleType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

_MAIN = ("__main__", "__mp_main__")
"""Names of the started module, in its own process and in processes that it spawns."""

_INSTALLED = {"site-packages", "dist-packages"}
"""Directories of modules that are installed, in a place that differs by environment."""

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
        spec = getattr(main, "__spec__", None)
        if spec is not None:  # python -m package.module
            return str(spec.name).removesuffix(".__main__")
        file = _get_file(main)
        return PurePath(file).stem if file else _MAIN[0]
    return _MOVED.get(module, module)


def find_script(owner: Any) -> str:
    """Return the resolved path of the script in which a function or class is defined.

    Scripts often have the same name, such as ``main``. A module outside of any package counts as
    a script, also when it is imported. Modules in packages and installed modules do not count.

    Returns:
        The path; empty for other modules.
    """
    name = get_module(owner)
    module = sys.modules.get(getattr(owner, "__module__", None) or "")
    if "." in name or hasattr(module, "__path__") or name in sys.stdlib_module_names:
        return ""
    file = _get_file(module)
    path = os.path.realpath(file) if file else ""
    return "" if _INSTALLED.intersection(PurePath(path).parts) else path


def _get_file(module: ModuleType | None) -> str | None:
    file: str | None = getattr(module, "__file__", None)
    if module is None:
        return None
    # Python deletes `__file__` after the script, before the handlers of `atexit` run.
    return _script_files.setdefault(module, file) if file else _script_files.get(module)


def get_qualified_name(owner: Any) -> str:
    """Return the module and the qualified name of a function or class."""
    return f"{get_module(owner)}.{owner.__qualname__}"


def get_stored_name(cls: type) -> str:
    """Return the name of a class in records, ``module.Qualname``.

    A generic pydantic model is a separate class for each parameter, so its name contains the full
    names of the parameters. The SDKs of models leave type variables in such classes.
    """
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    if generic and generic.get("origin"):
        names = map(_get_argument_name, generic["args"])
        return f"{get_stored_name(generic['origin'])}[{', '.join(names)}]"
    return get_qualified_name(cls)


def _get_argument_name(argument: Any) -> str:
    if isinstance(argument, TypeVar):
        return f"~{argument.__module__}.{argument.__name__}"
    return get_stored_name(argument) if isinstance(argument, type) else repr(argument)
