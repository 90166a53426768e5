"""How instances of users' classes are taken apart and put together again.

A shape knows one class. It takes an instance apart into its fields and, when there is
more to it than its fields, the rest; and it makes an instance of those without running
the class's own ``__init__``, which might compute, check or change. (Of msgspec's structs
alone the ``__post_init__`` runs, and what it changed is set back.) What an instance
carries is set back as it was, so it comes back as it was.

The fields are stored by name. When the class has changed since, the names differ and
the record is refused: better to compute once more than to hand out half an object.
"""

from __future__ import annotations

import dataclasses
from enum import Enum, Flag
from types import MemberDescriptorType
from typing import Any, Protocol

import msgspec

from aiocache_pe.codecs.base import NotExact
from aiocache_pe.exceptions import CorruptRecordError
from aiocache_pe.keys.qualified_names import qualified_name

_ABSENT = object()


class Shape(Protocol):
    """Takes instances of one class apart and makes them again."""

    cls: type

    def decompose(self, value: Any) -> Any:
        """What the instance consists of, in values the tags know.

        Raises:
            NotExact: it is in a state that could not be set back.
        """

    def build(self, state: Any) -> Any:
        """The instance, of what `take` gave.

        Raises:
            CorruptRecordError: the state is that of another class, or an older one.
        """


def get_stored_name(cls: type) -> str:
    """The name a class is stored by, ``module.Qualname``.

    A generic pydantic model is a class of its own for each parameter, so the
    parameters' full names belong to it.
    """
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    if generic and generic.get("origin"):
        names = (get_stored_name(a) if isinstance(a, type) else repr(a) for a in generic["args"])
        return f"{get_stored_name(generic['origin'])}[{', '.join(names)}]"
    return qualified_name(cls)


def get_attributes(value: Any) -> dict[str, Any]:
    """What stands in an instance's ``__dict__``, if it has one.

    Left out is what `typing` notes there when ``Box[int](1)`` is made: it is no part of
    the value, and ``Box(1)`` is equal and of the same type without it.
    """
    found = dict(getattr(value, "__dict__", ()))
    found.pop("__orig_class__", None)
    return found


def join_parts(fields: dict[str, Any], rest: dict[str, Any]) -> Any:
    """The state of an instance: its fields, and beside them the rest if there is any."""
    return [fields, rest] if rest else fields


def split_parts(
    cls: type, state: Any, names: frozenset[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields and rest again.

    Raises:
        CorruptRecordError: these are not the fields the class has now.
    """
    fields, rest = state if type(state) is list else (state, {})
    if type(fields) is not dict or type(rest) is not dict or fields.keys() != names:
        raise CorruptRecordError(
            f"{get_stored_name(cls)} has the fields {sorted(names)} now, and others in the record"
        )
    return fields, rest


class AttributeShape:
    """Dataclasses: whatever stands in ``__dict__`` and in slots, fields or not.

    Args:
        cls: the class.

    Raises:
        TypeError: instances cannot be made without their ``__init__``, as they are
            built on a C type such as ``Exception``, or are abstract.
    """

    def __init__(self, cls: type) -> None:
        object.__new__(cls)
        self.cls = cls
        self._names = tuple(field.name for field in dataclasses.fields(cls))
        self._known = frozenset(self._names)
        self._slots = {
            name: member
            for base in reversed(cls.__mro__)
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        }

    def decompose(self, value: Any) -> Any:
        """The fields, and the other attributes if there are any."""
        rest = get_attributes(value)
        for name, member in self._slots.items():
            try:
                rest[name] = member.__get__(value)
            except AttributeError:  # never set
                continue
        fields = {name: rest.pop(name, _ABSENT) for name in self._names}
        for name, part in fields.items():
            if part is _ABSENT:
                fields[name] = self._default(name)
        return join_parts(fields, rest)

    def build(self, state: Any) -> Any:
        """An instance with just these attributes; no ``__init__`` or ``__post_init__`` runs."""
        fields, rest = split_parts(self.cls, state, self._known)
        value: Any = object.__new__(self.cls)
        for name, part in (*fields.items(), *rest.items()):
            if name in self._slots:
                self._slots[name].__set__(value, part)
            else:
                value.__dict__[name] = part
        return value

    def _default(self, name: str) -> Any:
        # A field with a default that ``__init__`` does not take lives in the class.
        default = getattr(self.cls, name, _ABSENT)
        if default is _ABSENT or name in self._slots:
            raise NotExact(f"a {get_stored_name(self.cls)} has no {name}")
        return default


class NamedTupleShape:
    """Named tuples, of ``typing`` and of ``collections``.

    Args:
        cls: the class.
    """

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
        self._known = frozenset(self._names)

    def decompose(self, value: Any) -> Any:
        """The items by their names, and the attributes a subclass may have."""
        if len(value) != len(self._names):
            raise NotExact(f"a {get_stored_name(self.cls)} has {len(value)} items")
        # By tuple's own iteration: a subclass may have another.
        fields = dict(zip(self._names, tuple.__iter__(value), strict=True))
        return join_parts(fields, get_attributes(value))

    def build(self, state: Any) -> Any:
        """An instance with just these items; the class's own ``__new__`` does not run."""
        fields, rest = split_parts(self.cls, state, self._known)
        make: Any = tuple.__new__  # of a class that mypy cannot know to be a tuple
        value = make(self.cls, [fields[name] for name in self._names])
        if rest:
            value.__dict__.update(rest)
        return value


class EnumShape:
    """Enums by their members' names; combinations of flags by their value.

    Args:
        cls: the class.
    """

    def __init__(self, cls: type[Enum]) -> None:
        self.cls = cls

    def decompose(self, value: Any) -> Any:
        """The member's name, or a combination's number."""
        name = value.name
        if self.cls.__members__.get(name) is value:
            return name
        if isinstance(value, Flag) and type(value.value) is int:
            return value.value
        raise NotExact(f"a {get_stored_name(self.cls)} is none of its members")

    def build(self, state: Any) -> Any:
        """The member."""
        member: Enum | None = self.cls.__members__.get(state)
        if member is None and type(state) is int and issubclass(self.cls, Flag):
            member = self.cls(state)
        if type(member) is not self.cls:
            raise CorruptRecordError(f"{get_stored_name(self.cls)} has no member {state!r:.80}")
        return member


class StructShape:
    """msgspec's structs.

    Args:
        cls: the class.
    """

    def __init__(self, cls: type[msgspec.Struct]) -> None:
        self.cls = cls
        self._names = cls.__struct_fields__
        self._known = frozenset(self._names)
        self._runs_code = hasattr(cls, "__post_init__")

    def decompose(self, value: Any) -> Any:
        """The fields, and the other attributes of a struct with ``dict=True``."""
        try:
            fields = {name: getattr(value, name) for name in self._names}
        except AttributeError as error:
            raise NotExact(f"a {get_stored_name(self.cls)} is not complete: {error}") from None
        state = join_parts(fields, get_attributes(value))
        if self._runs_code:  # it will run again when the value is read: it may refuse
            try:
                self.build(state)
            except Exception as error:
                raise NotExact(
                    f"a {get_stored_name(self.cls)} cannot be made again: {error}"
                ) from error
        return state

    def build(self, state: Any) -> Any:
        """An instance with these fields, whatever its ``__post_init__`` would make of them."""
        fields, rest = split_parts(self.cls, state, self._known)
        value: Any = self.cls(**fields)
        if self._runs_code:  # a struct cannot be made without it
            for name, part in fields.items():
                msgspec.structs.force_setattr(value, name, part)
        if rest:
            value.__dict__.update(rest)
        return value
