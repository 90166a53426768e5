"""What a batch returned, taken apart into entries and put together again.

An entry holds one result, and whoever finds nothing but entries must know what the
function would have returned. What is most common is stored as it is; the rest says so:

====================================  =============================================
returned                              stored of one item
====================================  =============================================
a list                                the element; ``[array]`` as an array in one
                                      more dimension, if it has one dimension
a matrix, numpy's, of rows            the row
a tuple, any other array              ``{"batch": "tuple", "value": ...}``, ``"array"``;
                                      ``"objects"`` where the array is one of objects
a list, of what looks like the above  ``{"batch": "list", "value": ...}``
====================================  =============================================
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from typing import Any

from aiocache_pe.codecs.numpy_arrays import is_array_type
from aiocache_pe.loading.copying import copy_or_share

_FIELDS = {"batch", "value"}


class BatchResultError(Exception):
    """Entries that no one call can have returned: a function's results changed their form."""


def split_results(result: Any, count: int, name: str) -> list[Any]:
    """What to store for each item.

    Args:
        result: what the function returned.
        count: for how many items.
        name: the function's.

    Raises:
        TypeError: it is no list, tuple or array.
        ValueError: it has another length.

    Example:
        >>> split_results((1, 2), 2, "f")
        [{'batch': 'tuple', 'value': 1}, {'batch': 'tuple', 'value': 2}]
    """
    is_array = is_array_type(type(result))
    form = type(result).__name__
    if is_array:
        form = "objects" if result.dtype.hasobject else "array"
    elif type(result) not in (list, tuple):
        raise TypeError(
            f"{name}() returned a {type(result).__name__}; accepted are a list, a tuple and a "
            "numpy array, with a result for each item"
        )
    length = len(result) if not is_array or result.ndim else 0
    if length != count:
        raise ValueError(f"{name}() returned {length} results for {count} items")
    return [_stored(form, element) for element in result]


def decode_item(stored: Any) -> Any:
    """The result in an entry.

    Example:
        >>> value_of({"batch": "tuple", "value": 7})
        7
    """
    return _read(stored)[1]


def join_results(entries: Sequence[Any], *, strict: bool) -> Any:
    """What the function would have returned for these items, the caller's own.

    Args:
        entries: one for each item; where two items are the same, the same object twice.
        strict: whether entries must be of one form, for they were stored at several times.

    Raises:
        MisfitError: they are not.

    Example:
        >>> join_results(split_results((1, 2), 2, "f"), strict=True)
        (1, 2)
    """
    read = [_read(entry) for entry in entries]
    if strict and len({_kind(form, value) for form, value in read}) > 1:
        raise BatchResultError
    form = read[0][0]
    if form == "array":
        return sys.modules["numpy"].stack([value for _, value in read])  # a copy
    seen: set[int] = set()
    own: list[Any] = []
    for entry, (_, value) in zip(entries, read, strict=True):
        own.append(copy_or_share(value) if id(entry) in seen else value)
        seen.add(id(entry))
    if form == "objects":
        return _of_objects(own)
    return own if form == "list" else tuple(own)


def _of_objects(values: list[Any]) -> Any:
    """An array of any objects, or of rows of such."""
    numpy = sys.modules["numpy"]
    if all(is_array_type(type(value)) and value.dtype.hasobject for value in values):
        return numpy.stack(values)
    made = numpy.empty(len(values), object)
    for place, value in enumerate(values):  # one by one: numpy would take lists for rows
        made[place] = value
    return made


def _stored(form: str, element: Any) -> Any:
    is_array = is_array_type(type(element))
    if form == "array" and is_array and element.ndim == 1:
        return element
    if form == "list":
        if is_array and element.ndim == 1:
            return element[None]
        if not is_array and not (type(element) is dict and element.keys() == _FIELDS):
            return element
    return {"batch": form, "value": element}


def _read(stored: Any) -> tuple[str, Any]:
    """Of which form the result was, and its element."""
    if is_array_type(type(stored)):
        return ("array", stored) if stored.ndim == 1 else ("list", stored[0])
    if type(stored) is dict and stored.keys() == _FIELDS:
        return stored["batch"], stored["value"]
    return "list", stored


def _kind(form: str, value: Any) -> Hashable:
    return (form, value.dtype, value.shape) if form == "array" else form
