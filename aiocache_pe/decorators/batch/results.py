"""Results of batch functions, split into entries and joined again.

An entry holds the result of one item. The entries alone determine the type of the whole result. The
most common types are stored as they are, the others with a mark:

====================================  =============================================
returned                              stored for one item
====================================  =============================================
a list                                the element; ``[array]`` as an array in one
                                      more dimension, if it has one dimension
a matrix, numpy's, of rows            the row
a tuple, any other array              ``{"batch": "tuple", "value": ...}``, ``"array"``;
                                      ``"objects"`` where the array is one of objects
a list of dicts like those above      ``{"batch": "list", "value": ...}``
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
    """Entries of different forms: the type of the function's results has changed."""


def split_results(result: Any, count: int, name: str) -> list[Any]:
    """Return the values to store, one for each of ``count`` items.

    Raises:
        TypeError: the result is not a list, tuple or array.
        ValueError: the result has another length.

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
    return [_encode_element(form, element) for element in result]


def decode_item(stored: Any) -> Any:
    """Return the result in an entry."""
    return _decode_element(stored)[1]


def join_results(entries: Sequence[Any], *, strict: bool) -> Any:
    """Return the result of the function for these items; the caller owns it.

    With ``strict``, all entries must have the same form, because different calls may have stored
    them. Equal items have the same entry.

    Raises:
        BatchResultError: the forms differ.

    Example:
        >>> join_results(split_results((1, 2), 2, "f"), strict=True)
        (1, 2)
    """
    read = [_decode_element(entry) for entry in entries]
    if strict and len({_find_form(form, value) for form, value in read}) > 1:
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
        return _join_objects(own)
    return own if form == "list" else tuple(own)


def _join_objects(values: list[Any]) -> Any:
    """Return an array of objects, or of rows of objects."""
    numpy = sys.modules["numpy"]
    if all(is_array_type(type(value)) and value.dtype.hasobject for value in values):
        return numpy.stack(values)
    array = numpy.empty(len(values), object)
    for position, value in enumerate(values):  # one by one: numpy would take lists for rows
        array[position] = value
    return array


def _encode_element(form: str, element: Any) -> Any:
    is_array = is_array_type(type(element))
    if form == "array" and is_array and element.ndim == 1:
        return element
    if form == "list":
        if is_array and element.ndim == 1:
            return element[None]
        if not is_array and not (type(element) is dict and element.keys() == _FIELDS):
            return element
    return {"batch": form, "value": element}


def _decode_element(stored: Any) -> tuple[str, Any]:
    """Return the form of the whole result, and the element."""
    if is_array_type(type(stored)):
        return ("array", stored) if stored.ndim == 1 else ("list", stored[0])
    if type(stored) is dict and stored.keys() == _FIELDS:
        return stored["batch"], stored["value"]
    return "list", stored


def _find_form(form: str, value: Any) -> Hashable:
    return (form, value.dtype, value.shape) if form == "array" else form
