"""Tags of JSON for types of modules that are imported on first use.

If a value has such a type, its module is imported already, so writing it imports nothing. Reading
imports the module by a name in this file, never by a name in the record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from aiocache_pe.codecs import numpy_arrays
from aiocache_pe.codecs.base import PATH_CLASSES, NotExactError
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

_ADDRESSES = (
    "IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network",
)  # fmt: skip
_URLS = ("AnyUrl", "AnyHttpUrl", "HttpUrl", "AnyWebsocketUrl", "WebsocketUrl", "FileUrl", "FtpUrl")


def find_encoder(kind: type) -> Encoder | None:
    """Return the encoder of a type for which this module defines a tag.

    Args:
        kind: exact type of a value.

    Returns:
        ``None`` for all other types, including a class that only claims to be defined in one of
        these modules.
    """
    find = _FINDERS.get(kind.__module__.partition(".")[0])
    return find(kind) if find else None


def _is_class_of(kind: type, module: str, names: tuple[str, ...]) -> bool:
    name = kind.__name__
    return name in names and getattr(sys.modules.get(module), name, None) is kind


def _write_text(value: Any) -> str:
    """Return the text of a value, after a value was built from it once.

    A Windows path such as ``//a/`` is read differently from how it is written.
    """
    written = str(value)
    copy = type(value)(written)
    if copy != value or str(copy) != written:
        raise NotExactError(
            f"a {type(value).__name__} is written {written!r:.80} and read as {str(copy)!r:.80}"
        )
    return written


def _find_path_encoder(kind: type) -> Encoder | None:
    if not _is_class_of(kind, "pathlib", PATH_CLASSES):
        return None
    return lambda value, writer: {"$path": [kind.__name__, writer.write(_write_text(value))]}


def _read_path(payload: Any, revive: Reviver) -> Any:
    import pathlib  # noqa: PLC0415 - see the top of the file

    name, path = check_list(payload, 2)
    cls = getattr(pathlib, PATH_CLASSES[PATH_CLASSES.index(name)])
    return cls(check_text(revive(path)))


def _make_text_encoder_finder(
    tag: str, module: str, names: tuple[str, ...]
) -> Callable[[type], Encoder | None]:
    """Make a finder for classes that can be built from their text."""

    def find(kind: type) -> Encoder | None:
        if not _is_class_of(kind, module, names):
            return None
        return lambda value, _: {tag: [kind.__name__, _write_text(value)]}

    return find


def _make_text_decoder(module: str, names: tuple[str, ...]) -> Decoder:
    def read(payload: Any, revive: Reviver) -> Any:
        del revive
        name, written = check_list(payload, 2)
        return getattr(import_module(module), names[names.index(name)])(check_text(written))

    return read


def _find_fraction_encoder(kind: type) -> Encoder | None:
    if not _is_class_of(kind, "fractions", ("Fraction",)):
        return None
    return lambda value, writer: {
        "$fraction": writer.write_items((value.numerator, value.denominator))
    }


def _read_fraction(payload: Any, revive: Reviver) -> Any:
    from fractions import Fraction  # noqa: PLC0415 - see the top of the file

    return Fraction(*map(revive, check_list(payload, 2)))


def _find_numpy_encoder(kind: type) -> Encoder | None:
    if numpy_arrays.is_array_type(kind):
        return _write_array
    return _write_scalar if numpy_arrays.is_scalar_type(kind) else None


def _write_array(value: Any, writer: Writer) -> Any:
    del writer
    layout, data = numpy_arrays.decompose_array(value)
    return {"$ndarray": [layout.dtype, layout.shape, layout.order, to_base64(data)]}


def _read_array(payload: Any, revive: Reviver) -> Any:
    del revive
    dtype, shape, order, data = check_list(payload, 4)
    layout = numpy_arrays.ArrayLayout(dtype, check_list(shape), order)
    return numpy_arrays.build_array(layout, from_base64(data))


def _write_scalar(value: Any, writer: Writer) -> Any:
    del writer
    dtype, data = numpy_arrays.decompose_scalar(value)
    return {"$numpy": [dtype, to_base64(data)]}


def _read_scalar(payload: Any, revive: Reviver) -> Any:
    del revive
    dtype, data = check_list(payload, 2)
    return numpy_arrays.build_scalar(dtype, from_base64(data))


_FINDERS: Final[dict[str, Callable[[type], Encoder | None]]] = {
    "pathlib": _find_path_encoder,
    "fractions": _find_fraction_encoder,
    "numpy": _find_numpy_encoder,
    "ipaddress": _make_text_encoder_finder("$ip", "ipaddress", _ADDRESSES),
    "pydantic": _make_text_encoder_finder("$url", "pydantic.networks", _URLS),
}

DECODERS: Final[dict[str, Decoder]] = {
    "$path": _read_path,
    "$fraction": _read_fraction,
    "$ndarray": _read_array,
    "$numpy": _read_scalar,
    "$ip": _make_text_decoder("ipaddress", _ADDRESSES),
    "$url": _make_text_decoder("pydantic.networks", _URLS),
}
