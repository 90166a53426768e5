"""Constants that functions read: variables of enclosing functions and of modules.

Closures of one function, and one function under different wrappers, differ in nothing else.
Therefore each variable of an enclosing function counts: a value by its identity, a function, class
or module by its name, a local function or class by its code, and any other object by its class.

Of the variables of a module, and of the attributes of its classes, only values count. They are the
same for all functions of the module.
"""

from __future__ import annotations

import dis
import enum
import functools
import inspect
import itertools
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.function_layers import iter_layers, list_layers
from aiocache_pe.keys.qualified_names import get_module, get_qualified_name
from aiocache_pe.keys.source_trees import Sources
from aiocache_pe.runtime.interrupts import raise_interrupt

_LOADS = {
    *("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"),
    *("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"),
}
_ATTRIBUTE_STORES = {"STORE_ATTR", "DELETE_ATTR"}
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
_FUNCTIONS = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial),
    *(types.MethodDescriptorType, types.MethodWrapperType, types.WrapperDescriptorType),
    *(types.ClassMethodDescriptorType, staticmethod, classmethod, property),
)
_PACKAGE = __name__.partition(".")[0]


class Read(NamedTuple):
    """A constant that a function reads.

    Attributes:
        names: the namespace of the module; ``None`` for a variable of an enclosing function, which
            counts with its value at the first call.
        name: the name of the constant.
        value: the value that is part of the digest.
        text: the canonical text of the name and the value.
        is_opaque: whether only the class of the value counts.
    """

    names: Mapping[str, Any] | None
    name: str
    value: Any
    text: str
    is_opaque: bool = False


class Reader:
    """Reader of the constants of one function, of its wrappers and of local functions.

    Args:
        sources: the sources of the functions.
        layers: the function and its wrappers, the innermost one last.
    """

    def __init__(self, sources: Sources, layers: Sequence[types.FunctionType]) -> None:
        self._sources = sources
        self._package = _get_package(layers[-1])
        self._layers = layers
        # Functions may refer to each other. The order of the numbers is that of the names.
        self._numbers = {id(layer): at for at, layer in enumerate(layers)}

    def iter_all(self, function: Any) -> Iterator[Read]:
        """Yield the constants of the function, of its wrappers, and the wrappers themselves."""
        for at, layer in enumerate(reversed(self._layers)):
            path = f"wrapper {at}." if at else ""
            if path:
                yield from self._iter_wrapper(path, layer)
            yield from self._iter_reads(path, layer)
        yield from self._iter_attributes("", function)

    def _iter_reads(self, prefix: str, function: types.FunctionType) -> Iterator[Read]:
        """Yield the constants that a function reads, each once."""
        variables: dict[str, Any] = {}
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            with suppress(ValueError):  # the variable has no value yet
                variables[name] = cell.cell_contents
        loads, stores, changed = _list_loads(function.__code__)
        found: dict[str, tuple[Mapping[str, Any], str]] = {}
        for name, attributes in loads:
            if name in stores or (name[:2] == name[-2:] == "__"):  # __file__ is no constant
                continue
            names = variables if name in function.__code__.co_freevars else function.__globals__
            followed = _follow(name, attributes, names)
            if followed is not None and not (
                len(followed[0]) > len(name) and followed[2] in changed
            ):
                found.setdefault(followed[0], followed[1:])
            if isinstance(variables.get(name), types.ModuleType | type):
                found.setdefault(name, (variables, name))
        for path, (owner, name) in sorted(found.items()):
            value = owner[name]
            if owner is variables:
                yield from self._iter_variable(f"{prefix}{path}", value)
            elif (text := render_constant(value)) is not None:
                yield Read(owner, name, value, f"{prefix}{path}={text}")

    def _iter_variable(self, path: str, value: Any) -> Iterator[Read]:
        """Yield the parts of a variable of an enclosing function."""
        cls = type(value)
        text = render_constant(value)
        if text is None and id(value) in self._numbers:
            text = f"#{self._numbers[id(value)]}"
        if text is not None:
            yield Read(None, path, value, f"{path}={text}")
            return
        self._numbers[id(value)] = len(self._numbers)
        if issubclass(cls, types.ModuleType):
            yield Read(None, path, value, f"{path}=module {value.__name__}")
        elif issubclass(cls, type):
            yield from self._iter_class(path, value)
        elif _is_function(value):
            yield from self._iter_function(path, value)
        else:
            is_opaque = not issubclass(cls, (list, tuple, dict))
            yield Read(None, path, value, f"{path}=object {get_qualified_name(cls)}", is_opaque)
            yield from self._iter_items(path, value)

    def _iter_items(self, path: str, value: Any) -> Iterator[Read]:
        """Yield the parts of the items of a list, tuple or dict, such as functions."""
        if type(value) in (list, tuple):
            for at, item in enumerate(value):
                yield from self._iter_variable(f"{path}[{at}]", item)
        elif type(value) is dict:
            items = [(_canonicalize(key), item) for key, item in value.items()]
            for key, item in sorted((str(key), at) for at, (key, _) in enumerate(items)):
                yield from self._iter_variable(f"{path}[{key}]", items[item][1])

    def _iter_function(self, path: str, function: Any) -> Iterator[Read]:
        """Yield the name of a function that can be imported, or the parts of any other one."""
        name = _canonicalize(function)
        layers = list_layers(function)
        if name is not None or not layers:
            text = name or f"function {getattr(function, '__qualname__', type(function).__name__)}"
            yield Read(None, path, function, f"{path}={text}")
            return
        for at, layer in enumerate(layers):
            yield from self._iter_code(f"{path}.{at}", layer)
        for layer in iter_layers(function):
            if isinstance(layer, types.MethodType):
                yield from self._iter_variable(f"{path}.__self__", layer.__self__)
        yield from self._iter_attributes(f"{path}.", function)

    def _iter_code(self, path: str, function: types.FunctionType) -> Iterator[Read]:
        """Yield the name of a function that can be imported, or its code and its constants."""
        text, is_local = _canonicalize(function), False
        if text is None and id(function) in self._numbers and path[-2:] != ".0":
            text = f"#{self._numbers[id(function)]}"
        elif text is None:
            self._numbers.setdefault(id(function), len(self._numbers))
            text, is_local = f"code {self._sources.read(function.__code__)}", True
        yield Read(None, path, function, f"{path}={text}")
        if is_local:
            yield from self._iter_reads(f"{path}.", function)

    def _iter_class(self, path: str, cls: type) -> Iterator[Read]:
        """Yield the name of a class that can be imported, or the parts of a local one."""
        for at, base in enumerate(cls.__mro__):
            name = _canonicalize(base)
            text = name or f"class {get_qualified_name(base)}"
            yield Read(None, path, base, f"{path}.{at}={text}")
            members = {} if name is not None else vars(base)
            for member in sorted(members):
                value = members[member]
                if _is_function(value) or member[:2] != "__":
                    yield from self._iter_variable(f"{path}.{at}.{member}", value)

    def _iter_attributes(self, prefix: str, function: Any) -> Iterator[Read]:
        """Yield the constants that partial objects and other objects around a function hold."""
        for layer in iter_layers(function):
            name = type(layer).__name__
            if isinstance(layer, functools.partial):
                values: Mapping[str, Any] = {"args": layer.args, **layer.keywords}
            elif isinstance(layer, _FUNCTIONS) or _is_ours(type(layer).__module__):
                continue  # decorated functions of this library count their hits
            else:
                values = getattr(layer, "__dict__", {})
                call = inspect.getattr_static(type(layer), "__call__", None)
                if isinstance(call, types.FunctionType) and call not in self._layers:
                    yield from self._iter_wrapper(f"{prefix}{name}.", call)
            for attribute, value in list(values.items()):
                is_constant = isinstance(layer, functools.partial) or _is_function(value)
                if attribute[:2] != "__" and (is_constant or render_constant(value) is not None):
                    yield from self._iter_variable(f"{prefix}{name}.{attribute}", value)

    def _iter_wrapper(self, path: str, function: types.FunctionType) -> Iterator[Read]:
        """Yield the name of a wrapper, and its code if it belongs to the function's package."""
        module = _get_code_module(function)
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names or _is_ours(module):
            return  # their names differ by version
        text = f"{module}.{function.__code__.co_qualname}"
        if package == self._package:
            text = f"{text} {self._sources.read(function.__code__)}"
        yield Read(None, path, function, f"{path}={text}")


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == _PACKAGE


def _is_function(value: Any) -> bool:
    return (
        issubclass(type(value), _FUNCTIONS)
        or inspect.getattr_static(value, "__wrapped__", None) is not None
    )


def _get_code_module(function: types.FunctionType) -> str:
    """Return the module with the code of a function, which `functools.wraps` does not change."""
    return get_module(types.SimpleNamespace(__module__=function.__globals__.get("__name__")))


def _get_package(function: types.FunctionType) -> str:
    return _get_code_module(function).partition(".")[0]


def _follow(
    name: str, attributes: list[str], names: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], str] | None:
    """Return the path, the namespace and the name of a variable, or of a module's attribute.

    The attributes of classes, and the members of enums, are found as well. The result is ``None``
    for a variable without a value, a builtin, and a container that the function changes.
    """
    path = name
    while name in names:
        value = names[name]
        inner = _get_names(value, attributes[0]) if attributes else None
        if inner is None:
            changes = attributes[:1] if isinstance(value, _CONTAINERS) else []
            return None if _CHANGES.intersection(changes) else (path, names, name)
        names = inner
        name, *attributes = attributes
        path = f"{path}.{name}"
    return None


def _get_names(owner: Any, attribute: str) -> Mapping[str, Any] | None:
    """Return the names in a module or class that has an attribute; ``None`` for other values.

    Those of the standard library do not count, because they differ by version.
    """
    cls = type(owner)
    is_module = issubclass(cls, types.ModuleType)
    if not is_module and not issubclass(cls, type):
        return None
    module = owner.__name__ if is_module else owner.__module__
    if str(module).partition(".")[0] in sys.stdlib_module_names:
        return None
    if is_module:
        return cast("Mapping[str, Any]", vars(owner))
    if issubclass(cls, enum.EnumMeta) and attribute in owner.__members__:
        return cast("Mapping[str, Any]", owner.__members__)
    return next((vars(base) for base in owner.__mro__ if attribute in vars(base)), None)


def render_constant(value: Any) -> str | None:
    """Return the canonical text of a value; ``None`` if it is not a constant with an identity."""
    if isinstance(value, _NO_CONSTANTS) or inspect.getattr_static(value, "__wrapped__", None):
        return None
    return _canonicalize(value)


def _canonicalize(value: Any) -> str | None:
    try:
        return canonicalize(value)
    except Exception as error:  # noqa: BLE001 - the code of a foreign class may raise anything
        raise_interrupt(error)  # the key would lack the constant
        return None


def list_names(code: types.CodeType) -> set[str]:
    """Return the names of globals and attributes in a code object and those inside of it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {*code.co_names, *(name for each in inner for name in list_names(each))}


def _list_loads(
    code: types.CodeType,
) -> tuple[list[tuple[str, list[str]]], set[str], set[str]]:
    """Return the names that are loaded, each with the attributes read of it, and those stored.

    The names of attributes that are stored come last.
    """
    loads: list[tuple[str, list[str]]] = []
    stores: set[str] = set()
    changed: set[str] = set()
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
            elif one.opname in _ATTRIBUTE_STORES:
                changed.add(one.argval)
    stores -= set(code.co_cellvars)
    return loads, stores, changed
