"""Tags of JSON for types of modules that are imported on first use.

If a value has such a type, its module is imported already, so writing it imports nothing. Reading
imports the module by a name in this file, never by a name in the record.
"""

from __future__ import annotations

import sys
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
    read_numbers,
    to_base64,
    write_numbers,
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
    package = kind.__module__.partition(".")[0]
    if numpy_arrays.is_array_type(kind):
        return _write_array
    if package == "numpy" and numpy_arrays.is_scalar_type(kind):
        return _write_scalar

    module, names, encoder = _CLASSES.get(package, ("", (), None))
    is_defined = getattr(sys.modules.get(module), kind.__name__, None) is kind
    return encoder if is_defined and kind.__name__ in names else None


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


def _make_text_encoder(tag: str) -> Encoder:
    return lambda value, writer: {tag: [type(value).__name__, writer.write(_write_text(value))]}


def _make_text_decoder(module: str, names: tuple[str, ...]) -> Decoder:
    def read(payload: Any, revive: Reviver) -> Any:
        name, written = check_list(payload, 2)
        cls = getattr(import_module(module), names[names.index(name)])
        return cls(check_text(revive(written)))

    return read


def _write_fraction(value: Any, writer: Writer) -> Any:
    return {"$fraction": write_numbers((value.numerator, value.denominator), writer)}


def _read_fraction(payload: Any, revive: Reviver) -> Any:
    from fractions import Fraction  # noqa: PLC0415 - see the top of the file

    return Fraction(*read_numbers(payload, 2, revive))


def _write_array(value: Any, writer: Writer) -> Any:
    layout, data = numpy_arrays.decompose_array(value)
    return {"$ndarray": [layout.dtype, layout.shape, layout.order, to_base64(data)]}


def _read_array(payload: Any, revive: Reviver) -> Any:
    dtype, shape, order, data = check_list(payload, 4)
    layout = numpy_arrays.ArrayLayout(dtype, check_list(shape), order)
    return numpy_arrays.build_array(layout, from_base64(data))


def _write_scalar(value: Any, writer: Writer) -> Any:
    dtype, data = numpy_arrays.decompose_scalar(value)
    return {"$numpy": [dtype, to_base64(data)]}


def _read_scalar(payload: Any, revive: Reviver) -> Any:
    dtype, data = check_list(payload, 2)
    return numpy_arrays.build_scalar(dtype, from_base64(data))


_CLASSES: Final[dict[str, tuple[str, tuple[str, ...], Encoder | None]]] = {
    "pathlib": ("pathlib", PATH_CLASSES, _make_text_encoder("$path")),
    "fractions": ("fractions", ("Fraction",), _write_fraction),
    "ipaddress": ("ipaddress", _ADDRESSES, _make_text_encoder("$ip")),
    "pydantic": ("pydantic.networks", _URLS, _make_text_encoder("$url")),
}
"""Module, names and encoder of classes, by their package."""

DECODERS: Final[dict[str, Decoder]] = {
    "$path": _make_text_decoder("pathlib", PATH_CLASSES),
    "$fraction": _read_fraction,
    "$ndarray": _read_array,
    "$numpy": _read_scalar,
    "$ip": _make_text_decoder("ipaddress", _ADDRESSES),
    "$url": _make_text_decoder("pydantic.networks", _URLS),
}
