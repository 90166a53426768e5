"""Keys that the user defines: by a template such as ``"{prompt}:{model}"``, or by a function.

The text of a filled template is the key wherever it identifies the values: ``"user:{id}"``
gives ``user:7``. It does not identify them if a value is ``"7"`` and not ``7``, contains the
template's separators, is long, or is neither a text nor an int. Then a digest of the values
follows the text, so different values never share a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePath
from string import Formatter
from typing import Any, NamedTuple

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.call_key import make_cache_key
from aiocache_pe.keys.canonical import canonicalize
from aiocache_pe.keys.short_keys import make_label, make_printable, make_short_key
from aiocache_pe.keys.signatures import Args, Binder, Kwargs
from aiocache_pe.keys.store_keys import check_tags

_MAX_LENGTH = 200
_MAX_DECIMAL_BITS = 2_000  # Python's limit on decimal digits can be set to 640, about 2,126 bits
_STABLE_TYPES = frozenset((str, int, float, bool, type(None)))
_SIMPLE_TEXT = re.compile(r"[\w.@-]{1,80}")
_NUMBER = re.compile(r"-?[0-9]+")
_formatter = Formatter()


class _Field(NamedTuple):
    path: str  # "user.name"
    spec: str
    conversion: str | None


_Part = tuple[str, Any, str]
"""A literal of a filled template, and the value and text of the field after it."""


class Template:
    """A format string whose fields are filled with the arguments of a call of ``function``.

    Raises:
        ConfigurationError: a field names no parameter, or the braces do not match.

    Example:
        >>> def fetch(user, page=1): ...
        >>> Template("user:{user}", fetch).fill((7,), {})
        'user:7'
    """

    __slots__ = ("_binder", "_fields", "_is_separable", "_prefix")

    def __init__(
        self, template: str, function: Callable[..., Any], *, prefix: str = "", setting: str = "key"
    ) -> None:
        self._prefix = prefix
        self._binder = Binder(function)
        self._fields: list[tuple[str, _Field | None]] = []  # each after its literal
        try:
            for literal, path, spec, conversion in _formatter.parse(template):
                field = None if path is None else _Field(path, spec or "", conversion)
                self._fields.append((literal, field))
        except ValueError as error:
            raise ConfigurationError(
                f"{setting} must be a valid format string; got {template!r}: {error}"
            ) from None

        names = self._binder.names
        if setting == "key" and names and all(field is None for _, field in self._fields):
            meant = template if template in names else min(names)
            raise ConfigurationError(
                f"key must name a parameter in braces, or all calls have one key; got "
                f'{template!r}; write key="{{{meant}}}" or another parameter: '
                f"{', '.join(map(repr, sorted(names)))}"
            )
        for _, field in self._fields:
            if field is None:
                continue
            name = re.split(r"[.\[]", field.path)[0]
            if name not in names or "{" in field.spec:
                raise ConfigurationError(
                    f"a field of {setting} must name a parameter of the function; got "
                    f"{{{field.path}}} in {template!r}; "
                    f"accepted: {', '.join(map(repr, sorted(names))) or 'none'}"
                )
        separators = [literal for literal, field in self._fields if field is not None][1:]
        self._is_separable = all(text and not _SIMPLE_TEXT.fullmatch(text) for text in separators)

    def fill(self, args: Args, kwargs: Kwargs) -> str:
        """Return the text for a call, of any length and without the prefix."""
        return "".join(literal + text for literal, _, text in self._fill_parts(args, kwargs))

    def make_key(self, args: Args, kwargs: Kwargs) -> str:
        """Return the key of a call: its text, with a digest unless that identifies the values."""
        parts = self._fill_parts(args, kwargs)
        if self._is_separable and all(_is_identified(value, text) for _, value, text in parts):
            key = "".join(literal + text for literal, _, text in parts)
            # A longer key could equal a text that was cut and that has a digest behind it.
            if len(key) <= _MAX_LENGTH:
                return self._prefix + key

        identity = canonicalize([value for _, value, _ in parts], path="the key's fields")
        label = "".join(literal + _make_label(value, text) for literal, value, text in parts)
        return f"{self._prefix}{label[:_MAX_LENGTH]}:{make_short_key(identity)}"

    def _fill_parts(self, args: Args, kwargs: Kwargs) -> list[_Part]:
        named = self._binder.bind_all(args, kwargs)
        parts: list[_Part] = []
        for literal, field in self._fields:
            if field is None:
                parts.append((literal, "", ""))
                continue
            value, _ = _formatter.get_field(field.path, (), named)
            if field.conversion or field.spec:
                value = format(_formatter.convert_field(value, field.conversion), field.spec)
            parts.append((literal, value, _to_text(value)))
        return parts


def make_key_by(build: Callable[..., Any], args: Args, kwargs: Kwargs) -> str:
    """Return the key that a user's function makes of a call's arguments.

    The function's result is the key if it is a text of at most 200 characters. Of any other
    result `make_cache_key` makes the key.
    """
    result = build(*args, **kwargs)
    is_key = type(result) is str and len(result) <= _MAX_LENGTH
    return result if is_key else make_cache_key(result)


class CallTags:
    """The tags of one function's results; those such as ``"user:{user}"`` are templates."""

    __slots__ = ("_plain", "_templates")

    def __init__(self, tags: Iterable[str], function: Callable[..., Any]) -> None:
        templates = [tag for tag in tags if "{" in tag or "}" in tag]
        self._plain = tuple(tag for tag in tags if tag not in templates)
        self._templates = [Template(tag, function, setting="tag") for tag in templates]

    def make_tags(self, args: Args, kwargs: Kwargs) -> tuple[str, ...]:
        """Return the tags for a call; raise `InvalidKeyError` if a filled tag is empty."""
        if not self._templates:
            return self._plain
        filled = [template.fill(args, kwargs) for template in self._templates]
        return check_tags([*self._plain, *filled])


def _to_text(value: Any) -> str:
    # Python refuses to write an int of many digits in decimal. Such a text is never a key alone.
    is_huge = type(value) is int and value.bit_length() > _MAX_DECIMAL_BITS
    return hex(value) if is_huge else str(value)


def _make_label(value: Any, text: str) -> str:
    """Return the readable part of a value in front of the digest.

    The text of a set depends on the process, that of a dict on its order, and that of an
    object on its address. The label of such a value is its type's name.
    """
    is_stable = type(value) in _STABLE_TYPES or isinstance(value, PurePath)
    return make_label(text if is_stable else type(value).__name__)


def _is_identified(value: Any, text: str) -> bool:
    """Return whether no other value that is identified by its text has this text."""
    is_number = _NUMBER.fullmatch(text) is not None
    if type(value) is int:
        return is_number and len(text) <= _MAX_LENGTH
    # An empty text is an empty value, or the end of a template, which has no field.
    is_simple = not text or (
        _SIMPLE_TEXT.fullmatch(text) is not None and make_printable(text) == text
    )
    return type(value) is str and is_simple and not is_number
