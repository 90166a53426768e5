"""Arrays and scalars of numpy as their raw bytes, without pickle.

The payload is a line of JSON that says dtype, shape and order, then the data::

    {"dtype":"<f4","shape":[3,768],"order":"C"}
    ...

numpy is never loaded on behalf of somebody who does not use it: a value can only be an
array when it is loaded already.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from math import prod
from typing import Any

import msgspec

from aiocache_pe.codecs.base import NotExact
from aiocache_pe.exceptions import CorruptRecordError

_SIMPLE = re.compile(r"[<>|](?:[?biufcSUVmM]\d{1,10}(?:\[[0-9a-zA-Z/]{1,20}\])?|[bBhHiIlLqQ])")
_MAX_LEVEL = 16  # of dtypes within dtypes
_MAX_DIMENSIONS = 64
_NO_LENGTH = 2**63
_NATIVE = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"


class ArrayLayout(msgspec.Struct, frozen=True):
    """How the bytes of an array are to be read.

    Attributes:
        dtype: numpy's own short form, ``"<f8"``; a dict for records and subarrays.
        shape: the length of each dimension.
        order: ``"C"``, or ``"F"`` for an array that lies in memory column by column.
    """

    dtype: Any
    shape: list[int]
    order: str = "C"


_encode_layout = msgspec.json.Encoder().encode
_decode_layout = msgspec.json.Decoder(ArrayLayout).decode


class NumpyArrays:
    """The serializer of arrays; scalars, and arrays within a value, are tagged JSON's matter."""

    name = "numpy"

    def encode(self, value: Any) -> bytes | None:
        """The array as a line of JSON and its data.

        Returns:
            ``None`` when it is not an array of exactly numpy's own class, or when its
            elements are objects or of a dtype that cannot be rebuilt.
        """
        if not is_array_type(type(value)):
            return None
        try:
            layout, data = decompose_array(value)
            return _encode_layout(layout) + b"\n" + data
        except (NotExact, UnicodeEncodeError):
            return None

    def decode(self, payload: bytes) -> Any:
        """An array of its own for each call, writable.

        Raises:
            CorruptRecordError: the header is not one, or the data is not of its size.
        """
        line, _, data = payload.partition(b"\n")
        try:
            return build_array(_decode_layout(line), data)
        except CorruptRecordError:
            raise
        except Exception as error:  # numpy raises what it likes at hostile dtypes
            raise CorruptRecordError(f"array cannot be restored: {error!r:.200}") from error


def is_array_type(kind: type) -> bool:
    """Whether it is ``numpy.ndarray`` itself; subclasses carry more than the array."""
    return kind is getattr(sys.modules.get("numpy"), "ndarray", None)


def is_scalar_type(kind: type) -> bool:
    """Whether it is a class of numpy's scalars."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return generic is not None and issubclass(kind, generic)


def decompose_array(array: Any) -> tuple[ArrayLayout, bytes]:
    """An array's layout and its data.

    Raises:
        NotExact: its elements are objects or of a dtype that cannot be rebuilt.
    """
    dtype = _describe(array.dtype)
    flags = array.flags
    order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    return ArrayLayout(dtype, list(array.shape), order), array.tobytes(order)


def build_array(layout: ArrayLayout, data: bytes) -> Any:
    """The array, from what `take` gave.

    Raises:
        CorruptRecordError: the data is not of the size that the layout says.
        ValueError, TypeError: numpy refuses the layout.
    """
    np = _numpy()
    dtype, shape = _build(layout.dtype), layout.shape
    if len(shape) > _MAX_DIMENSIONS or not all(
        type(n) is int and 0 <= n < _NO_LENGTH for n in shape
    ):
        raise CorruptRecordError("an array has no such shape")
    if layout.order not in ("C", "F") or dtype.hasobject or dtype.subdtype or not dtype.itemsize:
        raise CorruptRecordError("an array has no such layout")
    # Compared before anything is allocated, and by Python's ints, which do not overflow.
    size = prod(shape)
    if size * dtype.itemsize != len(data):
        raise CorruptRecordError("an array's data is not of its size")
    if not size:
        return np.empty(layout.shape, dtype, layout.order)
    shaped = np.frombuffer(data, dtype).reshape(layout.shape, order=layout.order)
    return shaped.copy(order=layout.order)


def decompose_scalar(scalar: Any) -> tuple[Any, bytes]:
    """A scalar's dtype and its data.

    Raises:
        NotExact: it would come back different.
    """
    kind, size = scalar.dtype.kind, scalar.dtype.itemsize
    if kind in "SU":
        # One may end in zeros or be empty; an array, and pickle, would take the zeros away.
        content = scalar.tobytes()[:size]
        return kind, content if kind == "S" else _recoded(content, _NATIVE, "utf-8")
    dtype, data = _describe(scalar.dtype), scalar.tobytes()
    copy = build_scalar(dtype, data)
    if type(copy) is not type(scalar) or copy.tobytes() != data:
        raise NotExact(f"a numpy {type(scalar).__name__} cannot be rebuilt")
    return dtype, data


def build_scalar(dtype: Any, data: bytes) -> Any:
    """The scalar, from what `decompose_scalar` gave; raises as `make` does."""
    if dtype == "S":
        return _numpy().bytes_(data)
    if dtype == "U":
        return _numpy().str_(data.decode("utf-8", "surrogatepass"))
    return build_array(ArrayLayout(dtype, []), data)[()]


def _recoded(text: bytes, before: str, after: str) -> bytes:
    return text.decode(before, "surrogatepass").encode(after, "surrogatepass")


def _numpy() -> Any:
    # Only who reads an array comes here before numpy is loaded.
    return sys.modules.get("numpy") or import_module("numpy")


def _describe(dtype: Any) -> Any:
    """A dtype in JSON, checked by building it again."""
    spec = _spec(dtype, 0)
    try:
        same = _is_same(_build(spec), dtype)
    except (CorruptRecordError, ValueError, TypeError):
        same = False
    if not same:
        raise NotExact(f"a numpy dtype cannot be rebuilt: {dtype!r:.100}")
    return spec


def _spec(dtype: Any, level: int) -> Any:
    if level > _MAX_LEVEL or dtype.hasobject or dtype.metadata or not dtype.itemsize:
        raise NotExact(f"a numpy dtype cannot be written: {dtype!r:.100}")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _spec(base, level + 1), "shape": list(shape)}
    if dtype.names is None:
        spec: str = dtype.str
        # int64 and longlong have one short form and two scalar types.
        return spec if _build(spec).char == dtype.char else spec[0] + dtype.char
    fields = [dtype.fields[name] for name in dtype.names]
    if any(len(field) > 2 for field in fields):  # noqa: PLR2004 - a title, numpy's rarest
        raise NotExact("a numpy record has titles")
    return {
        "names": list(dtype.names),
        "formats": [_spec(field[0], level + 1) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _build(spec: Any, level: int = 0) -> Any:
    np = _numpy()
    if type(spec) is str and _SIMPLE.fullmatch(spec):
        return np.dtype(spec)
    if type(spec) is not dict or level > _MAX_LEVEL:
        raise CorruptRecordError("an array has no such dtype")
    if "base" in spec:
        return np.dtype((_build(spec["base"], level + 1), tuple(spec["shape"])))
    parts = dict(spec, formats=[_build(part, level + 1) for part in spec["formats"]])
    aligned = parts.pop("aligned")
    return np.dtype(parts, align=bool(aligned))


def _is_same(built: Any, dtype: Any) -> bool:
    if built != dtype or built.type is not dtype.type:
        return False
    if built.isalignedstruct != dtype.isalignedstruct:
        return False
    if dtype.names is not None:
        return all(_is_same(built[name], dtype[name]) for name in dtype.names)
    return bool(built.char == dtype.char)
