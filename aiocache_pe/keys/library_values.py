"""Parts of tables and images of other libraries: pandas, polars and Pillow.

The parts are values, not the bytes of a file format: equal tables may have different bytes, which
also change with the version of the library.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

Parts = tuple[Any, ...]

_PLAIN_KINDS = "biufcmM"  # kinds of numpy's dtypes with values that their bytes identify


def get_table_parts(value: Any, cls: Any) -> Parts | None:
    """Return the parts of a table or column; ``None`` for any other value.

    Only the classes themselves are known: a derived class may have a state of its own.
    """
    package = cls.__module__.partition(".")[0]
    library: Any = sys.modules.get(package)
    if package == "pandas":
        if cls is library.DataFrame:
            columns = [_get_column(value.iloc[:, at]) for at in range(value.shape[1])]
            return _get_labels(value.index), _get_labels(value.columns), columns, value.attrs
        if cls is library.Series:
            return _get_labels(value.index), value.name, _get_column(value), value.attrs
        if isinstance(value, library.Index):
            return _get_labels(value)
        return () if value is library.NA or value is library.NaT else None
    if package == "polars":
        if cls is library.DataFrame:
            return value.height, [_get_polars_column(each) for each in value.get_columns()]
        if cls is library.Series:
            return _get_polars_column(value)
    return None


def get_image_parts(value: Any, cls: Any) -> Parts | None:
    """Return the parts of an image of Pillow; ``None`` for any other value.

    An image of several frames has no parts, because only one frame is known at a time.
    """
    image: Any = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if image is None or not isinstance(value, image) or getattr(value, "n_frames", 1) > 1:
        return None
    palette = value.getpalette("RGBA") if value.mode in ("P", "PA") else None
    return value.mode, value.size, value.tobytes(), palette, dict(value.info)


def _get_labels(index: Any) -> Parts:
    names = list(index.names)
    if type(index).__name__ == "RangeIndex":
        return names, (index.start, index.stop, index.step)
    return names, str(index.dtype), _get_values(index)


def _get_column(column: Any) -> Parts:
    dtype = column.dtype
    if type(dtype).__name__ == "CategoricalDtype":  # its text is shortened
        return str(dtype), dtype.ordered, list(dtype.categories), _get_values(column)
    return str(dtype), _get_values(column)


def _get_values(values: Any) -> Any:
    """Return the values of a column or index, as an array if its bytes identify them."""
    dtype = values.dtype
    if type(dtype).__module__.startswith("numpy") and dtype.kind in _PLAIN_KINDS:
        return values.to_numpy()
    return values.tolist()


def _get_polars_column(column: Any) -> Parts:
    is_plain = column.dtype.is_numeric() and not column.dtype.is_decimal()
    if is_plain and not column.null_count():
        return column.name, str(column.dtype), _to_numpy(column)
    # The datetimes of Python have no nanoseconds; the numbers of categories differ in each process.
    is_named = "Categorical" in repr(column.dtype) or "Enum" in repr(column.dtype)
    values = column if is_named else column.to_physical()
    return column.name, repr(column.dtype), values.to_list()


def _to_numpy(column: Any) -> Any:
    try:
        import_module("numpy")
    except ImportError:
        return column.to_list()
    return column.to_numpy()
