"""Tags for types whose modules are not loaded for nothing.

A value of such a type shows that its module is there already, so nothing is imported
to write it. To read one the module is imported by a name that stands here, never by
one that stands in the record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from aiocache_pe.codecs import numpy_arrays
from aiocache_pe.codecs.base import NotExact
from aiocache_pe.codecs.tags.builtin import (
    Decoder,
    Encoder,
    Revive,
    array,
    from_base64,
    text,
    to_base64,
)

_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_ADDRESSES = (
    "IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network",
)  # fmt: skip
_URLS = ("AnyUrl", "AnyHttpUrl", "HttpUrl", "AnyWebsocketUrl", "WebsocketUrl", "FileUrl", "FtpUrl")


def encoder_for(kind: type) -> Encoder | None:
    """The encoder of a type that `tags` and `tags_time` do not know.

    Args:
        kind: the exact type of a value.

    Returns:
        ``None`` when it is not known here either. A class that merely says it comes
        from one of these modules is not taken for one that does.
    """
    maker = _MAKERS.get(kind.__module__.partition(".")[0])
    return maker(kind) if maker else None


def _path_encoder(kind: type) -> Encoder | None:
    name = kind.__name__
    if name not in _PATHS or getattr(sys.modules.get("pathlib"), name, None) is not kind:
        return None
    return lambda value, writer: {"$path": [name, writer.write(_path_text(value))]}


def _text_encoder(
    tag: str, module: str, names: tuple[str, ...]
) -> Callable[[type], Encoder | None]:
    """Makes the encoder of classes that can be made again of their text."""

    def maker(kind: type) -> Encoder | None:
        name = kind.__name__
        if name not in names or getattr(sys.modules.get(module), name, None) is not kind:
            return None
        return lambda value, _: {tag: [name, _checked(str(value), value)]}

    return maker


def _checked(written: str, value: Any) -> str:
    again = type(value)(written)
    if again != value or str(again) != written:
        raise NotExact(f"a {type(value).__name__} is read otherwise than it is written")
    return written


def _text_decoder(module: str, names: tuple[str, ...]) -> Decoder:
    def read(payload: Any, revive: Revive) -> Any:
        del revive
        name, written = array(payload, 2)
        return getattr(import_module(module), names[names.index(name)])(text(written))

    return read


def _path_text(path: Any) -> str:
    written = str(path)
    # A Windows path such as ``//a/`` is read differently from how it is written.
    again = type(path)(written)
    if again != path or str(again) != written:
        raise NotExact(f"a path is written {written!r:.80} and read as {str(again)!r:.80}")
    return written


def _fraction_encoder(kind: type) -> Encoder | None:
    if getattr(sys.modules.get("fractions"), "Fraction", None) is not kind:
        return None
    return lambda value, writer: {"$fraction": writer.items((value.numerator, value.denominator))}


def _numpy_encoder(kind: type) -> Encoder | None:
    if numpy_arrays.is_array_type(kind):
        return lambda value, _: {"$ndarray": _array_parts(numpy_arrays.decompose_array(value))}
    if numpy_arrays.is_scalar_type(kind):
        return lambda value, _: {"$numpy": _scalar_parts(numpy_arrays.decompose_scalar(value))}
    return None


def _array_parts(taken: tuple[numpy_arrays.ArrayLayout, bytes]) -> list[Any]:
    layout, data = taken
    return [layout.dtype, layout.shape, layout.order, to_base64(data)]


def _scalar_parts(taken: tuple[Any, bytes]) -> list[Any]:
    dtype, data = taken
    return [dtype, to_base64(data)]


def _read_path(payload: Any, revive: Revive) -> Any:
    import pathlib  # noqa: PLC0415 - see the top of the file

    name, path = array(payload, 2)
    return getattr(pathlib, _PATHS[_PATHS.index(name)])(text(revive(path)))


def _read_fraction(payload: Any, revive: Revive) -> Any:
    from fractions import Fraction  # noqa: PLC0415 - see the top of the file

    return Fraction(*map(revive, array(payload, 2)))


def _read_array(payload: Any, revive: Revive) -> Any:
    del revive
    dtype, shape, order, data = array(payload, 4)
    return numpy_arrays.build_array(
        numpy_arrays.ArrayLayout(dtype, array(shape), order), from_base64(data)
    )


def _read_scalar(payload: Any, revive: Revive) -> Any:
    del revive
    dtype, data = array(payload, 2)
    return numpy_arrays.build_scalar(dtype, from_base64(data))


_MAKERS: Final[dict[str, Callable[[type], Encoder | None]]] = {
    "pathlib": _path_encoder,
    "fractions": _fraction_encoder,
    "numpy": _numpy_encoder,
    "ipaddress": _text_encoder("$ip", "ipaddress", _ADDRESSES),
    "pydantic": _text_encoder("$url", "pydantic.networks", _URLS),
}

DECODERS: Final[dict[str, Decoder]] = {
    "$path": _read_path,
    "$fraction": _read_fraction,
    "$ndarray": _read_array,
    "$numpy": _read_scalar,
    "$ip": _text_decoder("ipaddress", _ADDRESSES),
    "$url": _text_decoder("pydantic.networks", _URLS),
}
