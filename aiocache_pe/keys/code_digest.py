"""Digests of functions: their source, and the constants that it reads.

The digest is part of the keys of a decorated function, so an edited function or an edited prompt
template computes its results again, and two closures of one function have different keys.

The source counts as a syntax tree: comments, formatting, decorators and the docstring have no
effect, and neither has the version of Python. A function without source counts by its bytecode,
which differs between versions of Python.

The constants are the variables of enclosing functions and of the module, and attributes of other
modules such as ``prompts.ASK``, as far as they are values with an identity. Clients, modules,
functions and classes do not count, except for the fields of the classes that are annotated as the
result and belong to the package of the function. A list, dict or set counts with its content when
the digest is computed, unless the function changes it (``calls.append(...)``).
"""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import os
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.function_layers import iter_layers, list_layers
from aiocache_pe.keys.qualified_names import find_script, get_module
from aiocache_pe.keys.source_trees import render_source
from aiocache_pe.runtime.interrupts import raise_interrupt

_VERSION = re.compile(
    r"[^@]*@(?:(3\.\d+-)?([0-9a-f]{20}):|([^@:]+):(?:.*:)?[0-9a-f]{32}$)", re.DOTALL
)
_WATCHED_TOGETHER = 3  # constants
_DIGEST_SIZE = 10  # bytes; two closures among a billion collide with a probability of 4e-7
_LOADS = {
    *("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"),
    *("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"),
}
_STORES = {"STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_NO_CONSTANTS = (
    *(types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType),
    *(types.MethodType, staticmethod, classmethod, property),
)
_CONTAINERS = (list, dict, set, deque, bytearray)
_CHANGES = {
    *("append", "appendleft", "extend", "insert", "pop", "popleft", "remove", "clear", "update"),
    *("add", "discard", "setdefault", "popitem", "sort", "reverse"),
}
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_PACKAGE = f"{__name__.partition('.')[0]}."
_Stamp = tuple[int, int] | None


def find_version(key: str) -> str | None:
    """Return the version in a key that the library made: a digest, or the setting ``version``.

    Example:
        >>> find_version("app.ask@3.11-0123456789abcdef0123:Why?:58688d6826a74926488ad309d184a855")
        '3.11-0123456789abcdef0123 (bytecode of Python 3.11, without source)'
    """
    found = _VERSION.match(key)
    if found is None:
        return None
    python, digest, own = found.groups()
    return (
        f"{python}{digest} (bytecode of Python {python[:-1]}, without source)"
        if python
        else digest or own
    )


class Read(NamedTuple):
    """A constant that a function reads.

    Attributes:
        names: the namespace of the module; ``None`` for a variable of an enclosing function, which
            counts with its value at the first call.
        name: the name of the constant.
        value: the value that is part of the digest.
        text: the canonical text of the name and the value.
    """

    names: Mapping[str, Any] | None
    name: str
    value: Any
    text: str


_KeyMaker = Callable[[Any, Any], str]
_Constant = tuple[Mapping[str, Any], str, Any]


def watch_constants(reads: list[Read], make_key: _KeyMaker, bind_again: _KeyMaker) -> _KeyMaker:
    """Return a key maker for a digest that holds as long as the constants of modules do.

    Args:
        reads: the constants in the digest.
        make_key: the maker of keys with this digest.
        bind_again: the maker of a key after a constant was replaced or deleted.
    """
    constants = [(read.names, read.name, read.value) for read in reads if read.names is not None]
    for at in range(0, len(constants), _WATCHED_TOGETHER):
        make_key = _watch(constants[at : at + _WATCHED_TOGETHER], make_key, bind_again)
    return make_key


def _watch(constants: list[_Constant], make_key: _KeyMaker, bind_again: _KeyMaker) -> _KeyMaker:
    """Watch up to three constants, without a loop, which takes longer than the comparisons."""
    names, name, value = constants[0]
    names_2, name_2, value_2 = constants[len(constants) // 2]
    names_3, name_3, value_3 = constants[-1]

    # A key function of the user may raise KeyError, too; then it is called once more.
    def make_key_of_one(args: Any, kwargs: Any) -> str:
        try:
            if names[name] is value:
                return make_key(args, kwargs)
        except KeyError:
            pass
        return bind_again(args, kwargs)

    def make_key_of_three(args: Any, kwargs: Any) -> str:
        try:
            if names[name] is value and names_2[name_2] is value_2 and names_3[name_3] is value_3:
                return make_key(args, kwargs)
        except KeyError:
            pass
        return bind_again(args, kwargs)

    return make_key_of_one if len(constants) == 1 else make_key_of_three


class CodeDigest:
    """The digest of one function; it is computed on demand, because reading a source takes time.

    Args:
        function: the function. Its wrappers (``__wrapped__``), a bound method and
            `functools.partial` are followed to the innermost function, which has the source.
            The constants of the wrappers count, too.
    """

    __slots__ = ("_function", "_layers", "_source", "_stamp")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._layers = list_layers(function)
        # A file that is edited after its import is not the source of the running function.
        self._stamp = _read_stamp(self._layers[-1].__code__) if self._layers else None
        self._source: str | None = None

    def compute(
        self, render_result: Callable[[str], str] = lambda package: ""
    ) -> tuple[str, list[Read]]:
        """Return the digest and the constants in it.

        Args:
            render_result: returns the schemas of the classes of the results, for the package of
                the function.

        Returns:
            Hex digits; with ``3.11-`` in front for the bytecode of that version of Python. Empty
            for a callable without code, such as a function written in C.
        """
        if not self._layers:
            return "", []
        if self._source is None:
            self._source = self._read_source()
        reads = [read for layer in self._layers for read in _iter_reads(layer)]
        script = find_script(self._layers[-1])
        texts = [*(read.text for read in reads), *_iter_wrapper_texts(self._function)]
        schemas = render_result(get_module(self._layers[-1]).partition(".")[0])
        if schemas:
            texts.append(f"result={schemas}")
        parts = [self._source, *sorted(texts), script]
        text = "\n".join(parts).encode("utf-8", "surrogatepass")
        digest = blake2b(text, digest_size=_DIGEST_SIZE).hexdigest()
        is_bytecode = self._source.startswith("bytecode ")
        return f"{_PYTHON}-{digest}" if is_bytecode else digest, reads

    def _read_source(self) -> str:
        code = self._layers[-1].__code__
        text = render_source(code)
        is_current = _read_stamp(code) == self._stamp
        return text if text is not None and is_current else f"bytecode {_render_code(code)}"


def _iter_wrapper_texts(function: Any) -> Iterator[str]:
    """Yield the texts of the constants that objects around a function hold."""
    for layer in iter_layers(function):
        if isinstance(layer, functools.partial):
            values = {"args": layer.args, **layer.keywords}
        elif isinstance(layer, types.FunctionType) or type(layer).__module__.startswith(_PACKAGE):
            continue  # decorated functions of this library count their hits
        else:
            values = dict(getattr(layer, "__dict__", {}))
        for name, value in values.items():
            text = render_constant(value)
            if text is not None and name[:2] != "__":
                yield f"{type(layer).__name__}.{name}={text}"


def _read_stamp(code: types.CodeType) -> _Stamp:
    try:
        stat = os.stat(code.co_filename)  # noqa: PTH116 - a Path takes three times as long
    except (OSError, ValueError) as error:
        raise_interrupt(error)
        return None
    return stat.st_mtime_ns, stat.st_size


def _render_code(code: types.CodeType) -> str:
    constants = [
        _render_code(each) if isinstance(each, types.CodeType) else canonicalize(each)
        for each in code.co_consts
    ]
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars
    return canonicalize([code.co_code, names, constants, code.co_flags])


def _iter_reads(function: types.FunctionType) -> Iterator[Read]:
    """Yield the constants that a function reads, each once."""
    variables: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # the variable has no value yet
            variables[name] = cell.cell_contents
    loads, stores = _list_loads(function.__code__)
    seen: set[str] = set()
    for name, attributes in loads:
        if name in stores or (name[:2] == name[-2:] == "__"):  # __file__ is no constant
            continue
        names = variables if name in function.__code__.co_freevars else function.__globals__
        found = _follow(name, attributes, names)
        if found is None or found[0] in seen:
            continue
        path, owner, attribute = found
        text = render_constant(owner[attribute])
        if text is not None:
            seen.add(path)
            module = None if owner is variables else owner
            yield Read(module, attribute, owner[attribute], f"{path}={text}")


def _follow(
    name: str, attributes: list[str], names: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], str] | None:
    """Return the path, the namespace and the name of a variable or of a module's attribute.

    The result is ``None`` for a variable without a value, a builtin, and a container that the
    function changes.
    """
    path = name
    while name in names:
        value = names[name]
        if not (isinstance(value, types.ModuleType) and attributes and _is_own(value)):
            changes = attributes[:1] if isinstance(value, _CONTAINERS) else []
            return None if _CHANGES.intersection(changes) else (path, names, name)
        names = vars(value)
        name, *attributes = attributes
        path = f"{path}.{name}"
    return None


def _is_own(module: types.ModuleType) -> bool:
    """Return whether a module's values count; those of the standard library differ by version."""
    return module.__name__.partition(".")[0] not in sys.stdlib_module_names


def render_constant(value: Any) -> str | None:
    """Return the canonical text of a value; ``None`` if it is not a constant with an identity."""
    if isinstance(value, _NO_CONSTANTS) or inspect.getattr_static(value, "__wrapped__", None):
        return None
    try:
        return canonicalize(value)
    except Exception as error:  # noqa: BLE001 - the code of a foreign class may raise anything
        raise_interrupt(error)  # the key would lack the constant
        return None


def list_names(code: types.CodeType) -> set[str]:
    """Return the names of globals and attributes in a code object and those inside of it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {*code.co_names, *(name for each in inner for name in list_names(each))}


def _list_loads(code: types.CodeType) -> tuple[list[tuple[str, list[str]]], set[str]]:
    """Return the names that are loaded, each with the attributes read of it, and those stored."""
    loads: list[tuple[str, list[str]]] = []
    stores: set[str] = set()
    codes = [code]
    for each in codes:
        codes += [inner for inner in each.co_consts if isinstance(inner, types.CodeType)]
        found = [one for one in dis.get_instructions(each) if one.opname != "EXTENDED_ARG"]
        for at, one in enumerate(found):
            if one.opname in _LOADS:
                rest = itertools.islice(found, at + 1, None)
                following = itertools.takewhile(lambda one: one.opname in _ATTRIBUTES, rest)
                loads.append((one.argval, [attribute.argval for attribute in following]))
            elif one.opname in _STORES:
                stores.add(one.argval)
    stores -= set(code.co_cellvars)
    return loads, stores
