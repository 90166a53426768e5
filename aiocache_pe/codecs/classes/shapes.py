"""Shapes: conversion of instances of users' classes to their parts and back.

A shape belongs to one class. It takes an instance apart into its fields and, if there is more, the
rest. It builds an instance from these parts without the class's own ``__init__``, which might
compute, check or change something. The exception is the ``__post_init__`` of msgspec's structs,
which runs; its changes are reverted.

The fields are stored by name, with a digest of the class's schema. If the class has changed since,
the record is refused: one more computation is better than an object that does not fit its class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, Flag
from types import MemberDescriptorType
from typing import Any

import msgspec

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.exceptions import ChangedClassError, CorruptRecordError
from aiocache_pe.keys.class_schemas import digest_schema, digest_text, render_member
from aiocache_pe.keys.qualified_names import get_stored_name
from aiocache_pe.keys.value_parts import get_field_names

_ABSENT = object()
_ATTRS_HASH = "_attrs_cached_hash"  # of attrs classes with ``cache_hash=True``


def get_attributes(value: Any) -> dict[str, Any]:
    """Return the contents of an instance's ``__dict__``; nothing if it has none.

    The ``__orig_class__`` that `typing` sets for ``Box[int](1)`` is left out. It is no part of the
    value, because ``Box(1)`` is equal and of the same type without it.
    """
    attributes = dict(getattr(value, "__dict__", ()))
    attributes.pop("__orig_class__", None)
    return attributes


def join_parts(fields: dict[str, Any], rest: dict[str, Any]) -> Any:
    """Return the state of an instance: its fields, and the rest if there is any."""
    return [fields, rest] if rest else fields


class Shape:
    """Conversion of the instances of one class.

    Args:
        cls: the class.
        names: names of its fields.
    """

    def __init__(self, cls: Any, names: Iterable[str] = ()) -> None:
        self.cls = cls
        self._names = dict.fromkeys(names)
        self._schema: str | None = None

    @property
    def names(self) -> Mapping[str, object]:
        """Names of the fields, in their order; the values have no meaning."""
        return self._names

    def decompose(self, value: Any) -> Any:
        """Return the parts of an instance, as values with tags.

        Raises:
            NotExactError: the instance is in a state that `build` could not restore.
        """
        raise NotImplementedError

    def build(self, state: Any) -> Any:
        """Return the instance that `decompose` took apart.

        Raises:
            CorruptRecordError: the state belongs to another class or to an older version of it.
        """
        raise NotImplementedError

    def get_schema(self, state: Any) -> str:
        """Return the digest of the schema of the class, with which a state is stored."""
        # Not in advance: the annotations may mention classes that are defined later.
        if self._schema is None:
            self._schema = digest_schema(self.cls)
        return self._schema

    def _make_error(self, reason: str) -> NotExactError:
        return NotExactError(f"a {get_stored_name(self.cls)} {reason}")

    def _split(self, state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields and the rest that `join_parts` joined."""
        fields, rest = state if type(state) is list else (state, {})
        names = self.names.keys()
        if type(fields) is not dict or type(rest) is not dict or fields.keys() != names:
            raise ChangedClassError(
                f"{get_stored_name(self.cls)} must have the fields {sorted(names)}; "
                "the record has others"
            )
        return fields, rest


class AttributeShape(Shape):
    """Shape of a dataclass or attrs class: the contents of ``__dict__`` and slots, fields or not.

    Raises:
        TypeError: instances cannot be created without their ``__init__``, because the class
            derives from a C type such as ``Exception`` or is abstract.
    """

    def __init__(self, cls: type) -> None:
        object.__new__(cls)
        super().__init__(cls, get_field_names(cls, all_fields=True))
        self._slots = {
            name: member
            for base in reversed(cls.__mro__)
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        }

    def decompose(self, value: Any) -> Any:
        """Return the fields, and the other attributes if there are any."""
        rest = get_attributes(value)
        for name, member in self._slots.items():
            try:
                rest[name] = member.__get__(value)
            except AttributeError:  # never set
                continue
        if _ATTRS_HASH in rest:
            raise self._make_error("keeps its hash, which differs in each process")
        fields = {name: rest.pop(name, _ABSENT) for name in self._names}
        for name, part in fields.items():
            if part is _ABSENT:
                fields[name] = self._get_default(name)
        return join_parts(fields, rest)

    def build(self, state: Any) -> Any:
        """Return an instance with these attributes; no ``__init__`` or ``__post_init__`` runs."""
        fields, rest = self._split(state)
        value: Any = object.__new__(self.cls)
        for name, part in (*fields.items(), *rest.items()):
            if name in self._slots:
                self._slots[name].__set__(value, part)
            else:
                value.__dict__[name] = part
        return value

    def _get_default(self, name: str) -> Any:
        # A default of a field that ``__init__`` does not set is an attribute of the class.
        default = getattr(self.cls, name, _ABSENT)
        if default is _ABSENT or name in self._slots:
            raise self._make_error(f"has no {name}")
        return default


class NamedTupleShape(Shape):
    """Shape of a named tuple of ``typing`` or ``collections``."""

    def decompose(self, value: Any) -> Any:
        """Return the items by their names, and the attributes that a subclass may have."""
        if len(value) != len(self._names):
            raise self._make_error(f"has {len(value)} items")
        # By the iterator of tuple, because a subclass may have another one.
        fields = dict(zip(self._names, tuple.__iter__(value), strict=True))
        return join_parts(fields, get_attributes(value))

    def build(self, state: Any) -> Any:
        """Return an instance with these items; the class's own ``__new__`` does not run."""
        fields, rest = self._split(state)
        value: Any = tuple.__new__(self.cls, [fields[name] for name in self._names])
        if rest:
            value.__dict__.update(rest)
        return value


class EnumShape(Shape):
    """Shape of an enum: members by their names, combinations of flags by their values."""

    def decompose(self, value: Any) -> Any:
        """Return the name of a member, or the number of a combination of flags."""
        name = value.name
        if self.cls.__members__.get(name) is value:
            return name
        if isinstance(value, Flag) and type(value.value) is int:
            return value.value
        raise self._make_error("is none of its members")

    def get_schema(self, state: Any) -> str:
        """Return the digest of a member's value; other members may change."""
        is_state = type(state) is str or type(state) is int
        return digest_text(render_member(self.cls, state)) if is_state else ""

    def build(self, state: Any) -> Any:
        """Return the member."""
        member: Enum | None = self.cls.__members__.get(state)
        if member is None and type(state) is int and issubclass(self.cls, Flag):
            member = self.cls(state)
        if type(member) is not self.cls:
            raise CorruptRecordError(f"{get_stored_name(self.cls)} has no member {state!r:.80}")
        return member


class StructShape(Shape):
    """Shape of a msgspec struct."""

    def decompose(self, value: Any) -> Any:
        """Return the fields, and the other attributes of a struct with ``dict=True``."""
        try:
            fields = {name: getattr(value, name) for name in self._names}
        except AttributeError as error:
            raise self._make_error(f"is not complete: {error}") from None
        state = join_parts(fields, get_attributes(value))
        if hasattr(self.cls, "__post_init__"):  # it runs again when the value is read
            try:
                self.build(state)
            except Exception as error:
                raise self._make_error(f"cannot be built again: {error}") from error
        return state

    def build(self, state: Any) -> Any:
        """Return an instance with these fields, without the changes of its ``__post_init__``."""
        fields, rest = self._split(state)
        value: Any = self.cls(**fields)
        if hasattr(self.cls, "__post_init__"):  # a struct cannot be created without it
            for name, part in fields.items():
                msgspec.structs.force_setattr(value, name, part)
        if rest:
            value.__dict__.update(rest)
        return value
