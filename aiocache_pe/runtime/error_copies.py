"""Copies of exceptions, so that each of several callers gets an exception of its own.

A caller adds notes to an exception, and Python adds the caller's frames and context to it. No other
caller may see them, and none may see what another caller does to a list in an attribute.
"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that a ``class`` statement made
_FIELDS = (GetSetDescriptorType, MemberDescriptorType)
_CONTAINERS = frozenset((list, dict, set, bytearray))


def copy_error(error: E) -> E:
    """Return an exception of the same class, with the same arguments, attributes and traceback.

    No code of the class is called: its ``__init__`` may take other arguments than the exception
    has, and may have effects. Lists, dicts, sets and byte arrays in attributes are copied. Other
    attributes are shared, such as the response of a server. The cause and the context are copied,
    too. An exception that cannot be copied is returned itself.
    """
    try:
        return _copy(error, {})
    except RecursionError:  # a chain of causes of a thousand exceptions
        return error


def _copy(error: E, copies: dict[int, BaseException]) -> E:
    known = copies.get(id(error))
    if known is not None:
        return known  # type: ignore[return-value]  # of the same class
    copies[id(error)] = error  # until the copy exists, and for a chain that leads back here
    try:
        copied = _make_like(error, copies)
    except Exception:  # noqa: BLE001 - a class may refuse to be made without its `__init__`
        return error
    copies[id(error)] = copied
    with suppress(Exception):  # a property without a setter
        for name, value in vars(error).items():
            copied.__dict__[name] = _copy_attribute(value)
    if error.__cause__ is not None:
        copied.__cause__ = _copy(error.__cause__, copies)
    if error.__context__ is not None:
        copied.__context__ = _copy(error.__context__, copies)
    copied.__suppress_context__ = error.__suppress_context__
    return copied.with_traceback(error.__traceback__)


def _make_like(error: E, copies: dict[int, BaseException]) -> E:
    cls = type(error)
    # The nearest class in C has the constructor that fits the layout of the object.
    builtin: Any = next(base for base in cls.__mro__ if not base.__flags__ & _HEAP_TYPE)
    args = error.args
    if isinstance(error, BaseExceptionGroup):
        args = (error.message, [_copy(each, copies) for each in error.exceptions])
    copied: E = builtin.__new__(cls, *args)
    copied.args = error.args
    for base in cls.__mro__:
        for name, member in vars(base).items():
            # Slots and fields in C, such as `OSError.errno`.
            if isinstance(member, _FIELDS) and not name.startswith("__"):
                with suppress(AttributeError, TypeError):  # without a value, or read-only
                    value = member.__get__(error, cls)
                    if value is not None:  # ``None`` may be written as a value of its own
                        member.__set__(copied, _copy_attribute(value))
    return copied


def _copy_attribute(value: object) -> object:
    if type(value) not in _CONTAINERS:
        return value
    try:
        return deepcopy(value)
    except Exception:  # noqa: BLE001 - of an object in the container
        return value
