"""Serializer of numpy arrays and scalars as their raw bytes, without pickle."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from math import prod
from typing import Any

import msgspec

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.exceptions import CorruptRecordError

_SIMPLE_DTYPE = re.compile(
    r"[<>|](?:[?biufcSUVmM]\d{1,10}(?:\[[0-9a-zA-Z/]{1,20}\])?|[bBhHiIlLqQ])"
)
_MAX_DTYPE_DEPTH = 16
_MAX_LAYOUT_BYTES = 256 * 1024
_MAX_DIMENSIONS = 64
_MAX_LENGTH = 2**63 - 1
_NATIVE_UTF32 = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"


class ArrayLayout(msgspec.Struct, frozen=True):
    """Interpretation of the bytes of an array.

    Attributes:
        dtype: numpy's short form, such as ``"<f8"``; a dict for records and subarrays.
        shape: length of each dimension.
        order: ``"C"``, or ``"F"`` for an array that is stored column by column.
    """

    dtype: Any
    shape: list[int]
    order: str = "C"


_encode_layout = msgspec.json.Encoder().encode
_decode_layout = msgspec.json.Decoder(ArrayLayout).decode


class NumpyArrays:
    r"""Serializer of arrays; `TaggedJson` writes scalars, and arrays within a value.

    The payload is a line of JSON with dtype, shape and order, then the data::

        {"dtype":"<f4","shape":[3,768],"order":"C"}\n...

    A program that does not use numpy never imports it: a value can be an array only if numpy is
    already imported.
    """

    name = "numpy"

    def encode(self, value: Any) -> bytes | None:
        """Return an array as a line of JSON and its data.

        Returns:
            ``None`` if the value is not an array of exactly numpy's class, or if its elements are
            objects or have a dtype that cannot be rebuilt.
        """
        if not is_array_type(type(value)):
            return None
        try:
            layout, data = decompose_array(value)
            return _encode_layout(layout) + b"\n" + data
        except (NotExactError, UnicodeEncodeError):
            return None

    def decode(self, payload: bytes) -> Any:
        """Return a writable array, a new one at each call.

        Raises:
            CorruptRecordError: the payload has no valid layout, or its data has another size.
        """
        end = payload.find(b"\n", 0, _MAX_LAYOUT_BYTES)
        try:
            # The array copies the data, which must be in memory only twice.
            return build_array(
                _decode_layout(payload[: max(end, 0)]), memoryview(payload)[end + 1 :]
            )
        except CorruptRecordError:
            raise
        except Exception as error:  # numpy may raise any error for a hostile dtype
            raise CorruptRecordError(f"array cannot be restored: {error!r:.200}") from error


def is_array_type(kind: type) -> bool:
    """Return whether a type is ``numpy.ndarray`` itself; subclasses hold more than the array."""
    return kind is getattr(sys.modules.get("numpy"), "ndarray", None)


def is_scalar_type(kind: type) -> bool:
    """Return whether a type is a class of numpy's scalars."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return generic is not None and issubclass(kind, generic)


def decompose_array(array: Any) -> tuple[ArrayLayout, bytes]:
    """Return the layout and the data of an array.

    Raises:
        NotExactError: the elements are objects or have a dtype that cannot be rebuilt.
    """
    dtype = _describe_dtype(array.dtype)
    flags = array.flags
    order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    return ArrayLayout(dtype, list(array.shape), order), array.tobytes(order)


def build_array(layout: ArrayLayout, data: bytes | memoryview) -> Any:
    """Return the array that `decompose_array` took apart.

    Raises:
        CorruptRecordError: the layout is not valid, or the data has another size.
        ValueError, TypeError: numpy refuses the layout.
    """
    np = _import_numpy()
    dtype, shape = _build_dtype(layout.dtype), layout.shape
    if len(shape) > _MAX_DIMENSIONS or not all(
        type(n) is int and 0 <= n <= _MAX_LENGTH for n in shape
    ):
        raise CorruptRecordError(f"an array cannot have the shape {shape!r:.100}")
    if layout.order not in ("C", "F") or dtype.hasobject or dtype.subdtype or not dtype.itemsize:
        raise CorruptRecordError("an array cannot have the layout in the record")

    # Compared before any allocation, with the ints of Python, which do not overflow.
    size = prod(shape) * dtype.itemsize
    if size != len(data):
        raise CorruptRecordError(f"an array must have {size} bytes of data; got {len(data)}")
    if not size:
        return np.empty(shape, dtype, layout.order)
    return np.frombuffer(data, dtype).reshape(shape, order=layout.order).copy(order=layout.order)


def decompose_scalar(scalar: Any) -> tuple[Any, bytes]:
    """Return the dtype and the data of a scalar.

    Raises:
        NotExactError: the scalar would be restored differently.
    """
    kind, size = scalar.dtype.kind, scalar.dtype.itemsize
    if kind in "SU":
        # It may be empty or end in zeros, which an array and pickle would remove.
        content = scalar.tobytes()[:size]
        if kind == "U":
            text = content.decode(_NATIVE_UTF32, "surrogatepass")
            content = text.encode("utf-8", "surrogatepass")
        return kind, content

    dtype, data = _describe_dtype(scalar.dtype), scalar.tobytes()
    copy = build_scalar(dtype, data)
    if type(copy) is not type(scalar) or copy.tobytes() != data:
        raise NotExactError(f"a numpy {type(scalar).__name__} cannot be rebuilt")
    return dtype, data


def build_scalar(dtype: Any, data: bytes) -> Any:
    """Return the scalar that `decompose_scalar` took apart.

    Raises:
        CorruptRecordError: the dtype is not valid, or the data has another size.
        ValueError, TypeError: numpy refuses the dtype, or the text is not UTF-8.
    """
    if dtype == "S":
        return _import_numpy().bytes_(data)
    if dtype == "U":
        return _import_numpy().str_(data.decode("utf-8", "surrogatepass"))
    return build_array(ArrayLayout(dtype, []), data)[()]


def _import_numpy() -> Any:
    return sys.modules.get("numpy") or import_module("numpy")


def _describe_dtype(dtype: Any) -> Any:
    description = _write_dtype(dtype, 0)
    try:  # once, as every reader will
        if _is_same_dtype(_build_dtype(description), dtype):
            return description
    except (CorruptRecordError, ValueError, TypeError):
        pass
    raise NotExactError(f"a numpy dtype cannot be rebuilt: {dtype!r:.100}")


def _write_dtype(dtype: Any, depth: int) -> Any:
    if depth > _MAX_DTYPE_DEPTH or dtype.hasobject or dtype.metadata or not dtype.itemsize:
        raise NotExactError(f"a numpy dtype cannot be written: {dtype!r:.100}")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _write_dtype(base, depth + 1), "shape": list(shape)}
    if dtype.names is None:
        short: str = dtype.str
        # int64 and longlong have one short form and two types of scalars.
        return short if _build_dtype(short).char == dtype.char else short[0] + dtype.char

    fields = [dtype.fields[name] for name in dtype.names]
    if any(len(field) > 2 for field in fields):  # noqa: PLR2004 - the third part is a title
        raise NotExactError("a numpy record has titles")
    return {
        "names": list(dtype.names),
        "formats": [_write_dtype(field[0], depth + 1) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _build_dtype(description: Any, depth: int = 0) -> Any:
    np = _import_numpy()
    if type(description) is str and _SIMPLE_DTYPE.fullmatch(description):
        return np.dtype(description)
    if type(description) is not dict or depth > _MAX_DTYPE_DEPTH:
        raise CorruptRecordError(f"an array cannot have the dtype {description!r:.100}")
    if "base" in description:
        base = _build_dtype(description["base"], depth + 1)
        return np.dtype((base, tuple(description["shape"])))
    formats = [_build_dtype(part, depth + 1) for part in description["formats"]]
    parts = dict(description, formats=formats)
    aligned = parts.pop("aligned")
    return np.dtype(parts, align=bool(aligned))


def _is_same_dtype(built: Any, dtype: Any) -> bool:
    if built != dtype or built.type is not dtype.type:
        return False
    if built.isalignedstruct != dtype.isalignedstruct:
        return False
    if dtype.names is not None:
        return all(_is_same_dtype(built[name], dtype[name]) for name in dtype.names)
    return bool(built.char == dtype.char)
