"""Tags of JSON for tables of pandas and polars, and for images of Pillow.

A table is written as its columns: arrays of numpy, and lists of plain values. An image is written
as PNG. After writing, the value is built once and compared with the original, so a table with a
type of column that is not known here is refused, and only signed pickle can hold it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from typing import Any, Final

from aiocache_pe.codecs.base import NotExactError
from aiocache_pe.codecs.tags.builtin import (
    Decoder,
    Encoder,
    Reviver,
    Writer,
    check_list,
    check_text,
    from_base64,
    to_base64,
)
from aiocache_pe.exceptions import CorruptRecordError, UnstableIdentityError
from aiocache_pe.keys.canonical import canonicalize

_PLAIN_KINDS = "biufcmM"  # kinds of numpy's dtypes that are written as arrays
_MAX_ITEMS = 100_000  # of a column that is written as a list
_FREE_BYTES, _MAX_RATIO = 32 * 1024 * 1024, 100  # of the pixels of an image, by the size of its PNG
_TIMES = ("Datetime", "Duration")
_MOMENTS = (*_TIMES, "Time")
_SIMPLE = frozenset(
    "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64 Boolean String Binary Date "
    "Time Null Categorical".split()
)
"""Types of polars that have no parameters."""


def find_encoder(kind: type) -> Encoder | None:
    """Return the encoder of a table or image; ``None`` for all other types."""
    for module, names, encoder in _CLASSES:
        if kind.__name__ in names:
            library: Any = sys.modules.get(module)
            if getattr(library, kind.__name__, None) is kind:
                return encoder
    return None


def _check_same(value: Any, copy: Any) -> None:
    """Raise `NotExactError` unless a copy equals the value in all that identifies it."""
    name = type(value).__name__
    try:
        is_same = type(copy) is type(value) and canonicalize(copy) == canonicalize(value)
    except UnstableIdentityError as error:
        raise NotExactError(f"a {name} cannot be compared: {error}") from None
    if not is_same:
        raise NotExactError(f"a {name} would be restored with other values or types")


def _write_pandas(value: Any, writer: Writer) -> Any:
    is_series = value.ndim == 1
    columns = [value] if is_series else [value.iloc[:, at] for at in range(value.shape[1])]
    labels = [value.name] if is_series else _split_labels(value.columns)
    parts = [labels, _split_labels(value.index), [_split_column(each) for each in columns]]
    try:
        _check_same(value, _build_pandas(type(value).__name__, *parts))
    except NotExactError:
        raise
    except Exception as error:  # noqa: BLE001 - pandas may raise any error for odd labels
        raise NotExactError(f"a {type(value).__name__} cannot be rebuilt: {error}") from None
    return {"$pandas": [type(value).__name__, writer.write(parts)]}


def _split_labels(index: Any) -> list[Any]:
    if type(index).__name__ == "RangeIndex":
        return ["range", index.name, index.start, index.stop, index.step]
    if index.nlevels > 1:
        return ["tuples", list(index.names), index.tolist()]
    return ["values", index.name, *_split_column(index)]


def _split_column(column: Any) -> list[Any]:
    dtype = column.dtype
    kind = type(dtype).__name__
    if kind == "CategoricalDtype":
        codes = getattr(column, "cat", column).codes
        categories = _split_labels(dtype.categories)
        return ["category", import_module("numpy").asarray(codes), categories, bool(dtype.ordered)]
    if kind == "DatetimeTZDtype":
        moments = column.dt.tz_convert(None) if hasattr(column, "dt") else column.tz_convert(None)
        return ["zoned", str(dtype), moments.to_numpy()]
    if type(dtype).__module__.startswith("numpy") and dtype.kind in _PLAIN_KINDS:
        return ["array", column.to_numpy()]
    _check_length(column)
    missing = getattr(dtype, "na_value", None) is sys.modules["pandas"].NA
    values = [None if missing and item is dtype.na_value else item for item in column.tolist()]
    return ["list", str(dtype), values]


def _check_length(column: Any) -> None:
    if len(column) > _MAX_ITEMS:  # it would take long in the thread of an event loop
        raise NotExactError(f"a table has more than {_MAX_ITEMS} rows that are no plain numbers")


def _read_pandas(payload: Any, revive: Reviver) -> Any:
    name, parts = check_list(payload, 2)
    return _build_pandas(name, *check_list(revive(parts), 3))


def _build_pandas(name: Any, labels: Any, index: Any, columns: Any) -> Any:
    pandas = import_module("pandas")
    rows = _build_labels(pandas, index)
    built = [_build_column(pandas, *each) for each in check_list(columns)]
    if any(len(each) != len(rows) for each in built):
        raise CorruptRecordError("a table of pandas must have columns as long as its index")
    if name == "Series":
        return pandas.Series(built[0], index=rows, name=check_list(labels, 1)[0])
    if name != "DataFrame":
        raise CorruptRecordError(f"unknown class of pandas {name!r:.80}")
    frame = pandas.DataFrame(dict(enumerate(built)), index=rows)
    frame.columns = _build_labels(pandas, labels)
    return frame


def _build_labels(pandas: Any, parts: list[Any]) -> Any:
    kind, name, *rest = parts
    if kind == "range":
        return pandas.RangeIndex(*rest, name=name)
    if kind == "tuples":
        return pandas.MultiIndex.from_tuples(rest[0], names=name)
    return pandas.Index(_build_column(pandas, *rest), name=name)


def _build_column(pandas: Any, kind: str, *parts: Any) -> Any:
    if kind == "array":
        return parts[0]
    if kind == "category":
        codes, categories, ordered = parts
        labels = _build_labels(pandas, categories)
        return pandas.Categorical.from_codes(codes, categories=labels, ordered=ordered)
    if kind == "zoned":
        zone = check_text(parts[0]).partition(", ")[2].removesuffix("]")
        return pandas.DatetimeIndex(parts[1]).tz_localize("UTC").tz_convert(zone).array
    dtype, values = parts
    return pandas.array(check_list(values), dtype=check_text(dtype))


def _write_polars(value: Any, writer: Writer) -> Any:
    name = type(value).__name__
    columns = [value] if name == "Series" else value.get_columns()
    height = 0 if name == "Series" else value.height
    parts = [[each.name, _split_type(each.dtype), _get_values(each)] for each in columns]
    with _translate_panics(NotExactError):
        _check_same(value, _build_polars(name, height, parts))
    return {"$polars": [name, height, writer.write(parts)]}


def _get_values(column: Any) -> list[Any]:
    """Return the values of a column; moments as numbers, because Python has no nanoseconds."""
    _check_length(column)
    is_moment = str(column.dtype.base_type()) in _MOMENTS
    values: list[Any] = (column.to_physical() if is_moment else column).to_list()
    return values


def _split_type(dtype: Any) -> Any:
    name = str(dtype.base_type())
    if name in _SIMPLE:
        return name
    if name in _TIMES:
        return [name, dtype.time_unit, getattr(dtype, "time_zone", None)]
    if name == "Enum":
        return [name, dtype.categories.to_list()]
    if name == "List":
        return [name, _split_type(dtype.inner)]
    if name == "Struct":
        return [name, [[field.name, _split_type(field.dtype)] for field in dtype.fields]]
    raise NotExactError(f"a table of polars has a column of the type {name}")


def _build_type(polars: Any, parts: Any) -> Any:
    items: list[Any] = [parts] if type(parts) is str else check_list(parts)
    name, *rest = items
    if name in _SIMPLE and not rest:
        return getattr(polars, name)
    if name == "Datetime":
        return polars.Datetime(*rest)
    if name == "Duration":
        return polars.Duration(rest[0])
    if name == "Enum":
        return polars.Enum(check_list(rest[0]))
    if name == "List":
        return polars.List(_build_type(polars, rest[0]))
    if name == "Struct":
        return polars.Struct({field: _build_type(polars, kind) for field, kind in rest[0]})
    raise CorruptRecordError(f"unknown type of polars {name!r:.80}")


def _read_polars(payload: Any, revive: Reviver) -> Any:
    name, height, parts = check_list(payload, 3)
    with _translate_panics(CorruptRecordError):
        return _build_polars(name, height, check_list(revive(parts)))


@contextmanager
def _translate_panics(kind: type[Exception]) -> Generator[None]:
    """Raise another error for a panic of polars, which is no `Exception`."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise kind(f"a table of polars cannot be built: {error}") from None


def _build_polars(name: Any, height: int, parts: list[Any]) -> Any:
    polars = import_module("polars")
    columns = [_build_series(polars, *check_list(each, 3)) for each in parts]
    if name == "Series":
        return columns[0]
    if name != "DataFrame" or any(len(each) != height for each in columns):
        raise CorruptRecordError("a table of polars must have columns of one length")
    return polars.DataFrame(columns)


def _build_series(polars: Any, name: Any, kind: Any, values: Any) -> Any:
    dtype = _build_type(polars, kind)
    if (kind if type(kind) is str else kind[0]) in _MOMENTS:
        return polars.Series(check_text(name), values, dtype=polars.Int64).cast(dtype)
    return polars.Series(check_text(name), values, dtype=dtype, strict=True)


def _write_image(value: Any, writer: Writer) -> Any:
    buffer = BytesIO()
    bare = value.copy()
    bare.info = {}
    try:
        bare.save(buffer, "PNG")
    except (OSError, ValueError) as error:
        raise NotExactError(f"PNG cannot hold an Image of the mode {value.mode}") from error
    try:
        _check_same(value, _build_image(buffer.getvalue(), dict(value.info)))
    except CorruptRecordError as error:
        raise NotExactError(str(error)) from None
    return {"$image": [to_base64(buffer.getvalue()), writer.write(dict(value.info))]}


def _read_image(payload: Any, revive: Reviver) -> Any:
    data, info = check_list(payload, 2)
    return _build_image(from_base64(data), revive(info))


def _build_image(data: bytes, info: dict[str, Any]) -> Any:
    image = import_module("PIL.Image")
    with image.open(BytesIO(data), formats=["PNG"]) as opened:
        if opened.width * opened.height * 4 > _FREE_BYTES + _MAX_RATIO * len(data):
            raise CorruptRecordError("an image has too many pixels for its size")
        built = opened.copy()  # of the class `Image`, without the file
    built.info = info
    return built


_CLASSES: Final[tuple[tuple[str, tuple[str, ...], Encoder], ...]] = (
    ("pandas", ("DataFrame", "Series"), _write_pandas),
    ("polars", ("DataFrame", "Series"), _write_polars),
    ("PIL.Image", ("Image",), _write_image),
)
"""Module, names and encoder of classes."""

DECODERS: Final[dict[str, Decoder]] = {
    "$pandas": _read_pandas,
    "$polars": _read_polars,
    "$image": _read_image,
}
