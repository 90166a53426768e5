"""Receivers of methods: the instance or class on which a method is called is part of the key.

A receiver is an argument like any other. Two rules are added. An instance without attributes
counts by its class. The constants of the class that the method reads, such as ``self.PROMPT``,
count like the constants of the module.

A class counts by its name. A class that is defined in a function, or that was replaced under its
name, counts by its members, because another class may have the same name.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from itertools import count
from operator import attrgetter
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any
from weakref import WeakKeyDictionary

from aiocache_pe.keys.code_digest import CodeDigest
from aiocache_pe.keys.constant_reads import list_names, render_constant
from aiocache_pe.keys.function_layers import list_layers
from aiocache_pe.keys.qualified_names import get_qualified_name
from aiocache_pe.keys.value_parts import (
    find_key_function,
    get_field_names,
    get_value_parts,
    has_hidden_state,
    is_stateless,
)

_MAX_CLASSES = 1024  # of one function
_FUNCTIONS = (FunctionType, staticmethod, classmethod, property, functools.cached_property)
_SLOTS = (MemberDescriptorType, GetSetDescriptorType)
_DECLARATIONS = {"__dataclass_fields__", "__attrs_attrs__", "__struct_fields__"}
_NOTHING = object()
_members = WeakKeyDictionary[type, list[str] | None]()


class Receivers:
    """Identities of the receivers of one method.

    Args:
        function: the function that is defined in a class.
    """

    __slots__ = ("_classes", "_count", "_names", "_owner", "_readers")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._owner = function.__qualname__.split(".")[-2]
        self._names = {
            name for layer in list_layers(function) for name in list_names(layer.__code__)
        }
        self._readers: dict[type, tuple[int, Callable[[Any], Any]]] = {}
        self._classes: dict[type, int] = {}
        self._count = count()

    def identify(self, receiver: Any) -> Any:
        """Return the value that stands for a receiver in a key.

        A receiver without an identity is returned itself, to be refused like other arguments.
        """
        is_class = isinstance(receiver, type)
        cls: type = receiver if is_class else type(receiver)
        if all(base.__name__ != self._owner for base in cls.__mro__):
            return receiver  # the first argument of a staticmethod
        constants = self._find_constants(cls)
        if is_class or (get_value_parts(receiver) is None and is_stateless(receiver)):
            identity = _identify_class(cls)
            return receiver if identity is None else (is_class, identity, constants)
        return (receiver, constants) if constants else receiver

    def read(self, receiver: Any) -> tuple[int, Any]:
        """Return a number for the class of a receiver, and the state of the instance.

        Receivers with different identities have different results. The numbers hold for this
        object only. A state that is no plain data does not identify the receiver.
        """
        cls = type(receiver)
        known = self._readers.get(cls)
        if known is None:
            if len(self._readers) >= _MAX_CLASSES:
                self._readers.clear()
            known = self._readers[cls] = next(self._count), self._choose_reader(cls)
        return known[0], known[1](receiver)

    def _choose_reader(self, cls: type) -> Callable[[Any], Any]:
        make_key = find_key_function(cls)
        if make_key is not None:
            return make_key
        if issubclass(cls, type):
            return self._number_class
        if issubclass(cls, enum.Enum):
            return attrgetter("_name_", "_value_")
        if hasattr(cls, "__pydantic_extra__"):
            return attrgetter("__dict__", "__pydantic_extra__")
        names = get_field_names(cls)
        if not names:
            has_slots = any(isinstance(each, _SLOTS[0]) for each in vars(cls).values())
            is_plain = cls.__dictoffset__ and not has_slots and not has_hidden_state(cls)
            return vars if is_plain else _return_itself
        return _return_itself if _DECLARATIONS.isdisjoint(vars(cls)) else attrgetter(*names)

    def _number_class(self, cls: type) -> int:
        number = self._classes.get(cls)
        if number is None:
            if len(self._classes) >= _MAX_CLASSES:
                self._classes.clear()
            number = self._classes[cls] = next(self._count)
        return number

    def _find_constants(self, cls: type) -> dict[str, str]:
        """Return the constants of a class that the method reads, by name."""
        fields = get_field_names(cls, all_fields=True)
        found: dict[str, str] = {}
        for name in self._names.difference(fields):
            value = inspect.getattr_static(cls, name, _NOTHING)
            text = None if isinstance(value, _SLOTS) else render_constant(value)
            if text is not None:
                found[name] = text
        return found


def _return_itself(receiver: Any) -> Any:
    return receiver


def _identify_class(cls: type) -> Any:
    """Return the identity of a class; ``None`` if it has none."""
    if get_value_parts(cls) is not None:
        return cls
    if cls not in _members:
        _members[cls] = _render_members(cls)
    return _members[cls]


def _has_code(member: Any) -> bool:
    names = ("__wrapped__", "__func__")
    return isinstance(member, _FUNCTIONS) or any(
        inspect.getattr_static(member, name, None) is not None for name in names
    )


def _render_members(cls: type) -> list[str] | None:
    """Return the texts of the members of a class that cannot be imported by its name."""
    texts: list[str] = []
    for base in cls.__mro__:
        texts.append(get_qualified_name(base))
        if get_value_parts(base) is not None:
            continue
        for name, member in sorted(vars(base).items()):
            if isinstance(member, _SLOTS) or name.startswith("_abc_"):
                continue
            if _has_code(member):
                text: str | None = CodeDigest(member).compute()[0]
            elif name[:2] == name[-2:] == "__":  # __module__, __doc__
                continue
            elif isinstance(member, type):
                text = get_qualified_name(member)
            else:
                text = render_constant(member)
            if text is None:
                return None
            texts.append(f"{name}={text}")
    return texts
