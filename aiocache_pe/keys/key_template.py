"""Keys that the user forms: by a template such as ``"{prompt}:{model}"``, or by a function.

A key is as it is written, ``"user:{id}"`` gives ``user:7``, wherever its text tells all that
there is to tell. It does not for ``"7"`` beside ``7``, for a value that holds the template's
own separators, for one that is long or is no text: then a digest of the values follows,
so different values never share a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePath
from string import Formatter
from typing import Any, NamedTuple

from aiocache_pe.exceptions import ConfigurationError
from aiocache_pe.keys.call_key import append_digest, make_cache_key, printable
from aiocache_pe.keys.canonical import canonical
from aiocache_pe.keys.signatures import Binder
from aiocache_pe.keys.store_keys import check_tags

_LONGEST = 200
_MOST_BITS = 2_000  # the least that may be set as the limit is 640 digits
_STABLE = frozenset((str, int, float, bool, type(None)))
_NAME = re.compile(r"[^.\[]*")
_SIMPLE = re.compile(r"[\w.@-]{1,80}")
_NUMBER = re.compile(r"-?[0-9]+")
_formatter = Formatter()


class _Field(NamedTuple):
    path: str  # "user.name"
    spec: str
    conversion: str | None


class Template:
    """Text with fields that are filled from a call's arguments.

    Args:
        template: as for `str.format`, with the function's parameters as fields.
        function: whose calls.
        what: what to call it in errors.

    Raises:
        ConfigurationError: a field names no parameter, or the braces do not match.

    Example:
        >>> def fetch(user, page=1): ...
        >>> Template("user:{user}", fetch).filled((7,), {})
        'user:7'
    """

    __slots__ = ("_binder", "_is_separable", "_parts")

    def __init__(self, template: str, function: Callable[..., Any], what: str = "key") -> None:
        self._binder = Binder(function)
        self._parts: list[tuple[str, _Field | None]] = []
        try:
            for literal, path, spec, conversion in _formatter.parse(template):
                field = None if path is None else _Field(path, spec or "", conversion)
                self._parts.append((literal, field))
        except ValueError as error:
            raise ConfigurationError(f"{what} {template!r} is no template: {error}") from None
        names = self._binder.names
        for field in (field for _, field in self._parts if field is not None):
            name = _NAME.match(field.path)
            if name is None or name[0] not in names or "{" in field.spec:
                raise ConfigurationError(
                    f"{what} {template!r} has a field {{{field.path}}}; accepted are the "
                    f"parameters: {', '.join(map(repr, sorted(names))) or 'there are none'}"
                )
        between = [literal for literal, field in self._parts if field is not None][1:]
        self._is_separable = all(_SIMPLE.fullmatch(text) is None and text for text in between)

    def fill(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The text for a call, whatever it is."""
        return "".join(literal + text for literal, _, text in self._values(args, kwargs))

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The text for a call, with a digest of the values where the text alone is not enough.

        Raises:
            TypeError: the function cannot be called like that.
            UnstableIdentityError: a value has no identity that outlives the process.
        """
        parts = self._values(args, kwargs)
        if self._is_separable and all(_is_told(value, text) for _, value, text in parts):
            key = "".join(literal + text for literal, _, text in parts)
            # A longer one could look like a text that was cut, with a digest of others.
            if len(key) <= _LONGEST:
                return key
        identity = canonical([value for _, value, _ in parts], path="the key's fields")
        text = "".join(literal + _in_key(value, text) for literal, value, text in parts)[:_LONGEST]
        return f"{text}:{append_digest(identity, ())}"

    def _values(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any, str]]:
        """Each part's literal, value and text."""
        named = self._binder.bind_all(args, kwargs)
        found: list[tuple[str, Any, str]] = []
        for literal, field in self._parts:
            if field is None:
                found.append((literal, "", ""))
                continue
            value, _ = _formatter.get_field(field.path, (), named)
            if field.conversion or field.spec:
                converted = _formatter.convert_field(value, field.conversion)
                value = format(converted, field.spec)
            found.append((literal, value, _text(value)))
        return found


class TemplateKey:
    """Makes keys by a template; see `Template`."""

    __slots__ = ("_start", "_template")

    def __init__(self, template: str, function: Callable[..., Any], start: str) -> None:
        self._start = start
        self._template = Template(template, function)

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of a call."""
        return self._start + self._template.key(args, kwargs)


class BuiltKey:
    """Makes keys by a function of the call's arguments.

    What it returns is the key if it is a short text; of anything else, `make_cache_key`
    makes one.
    """

    __slots__ = ("_build", "_start")

    def __init__(self, build: Callable[..., Any], start: str) -> None:
        self._start = start
        self._build = build

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of a call."""
        made = self._build(*args, **kwargs)
        is_key = type(made) is str and len(made) <= _LONGEST
        return self._start + (made if is_key else make_cache_key(made))


class CallTags:
    """The tags of one function's results; those with fields are filled for each call.

    Args:
        tags: plain tags, and templates such as ``"user:{user}"``.
        function: whose calls.

    Raises:
        ConfigurationError: a template's field names no parameter.
    """

    __slots__ = ("_plain", "_templates")

    def __init__(self, tags: Iterable[str], function: Callable[..., Any]) -> None:
        templates = [tag for tag in tags if "{" in tag or "}" in tag]
        self._plain = tuple(tag for tag in tags if tag not in templates)
        self._templates = [Template(tag, function, "tag") for tag in templates]

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        """The tags for a call.

        Raises:
            InvalidKeyError: one that was filled is empty.
        """
        if not self._templates:
            return self._plain
        filled = [template.fill(args, kwargs) for template in self._templates]
        return check_tags([*self._plain, *filled])


def _text(value: Any) -> str:
    """Python writes no int of many digits in decimal; none of these is told by its text."""
    is_huge = type(value) is int and value.bit_length() > _MOST_BITS
    return hex(value) if is_huge else str(value)


def _in_key(value: Any, text: str) -> str:
    """What a key shows of a value beside the digest.

    The text of a set depends on the process, of a dict on its order, of an object on
    where it is in memory: of these it is the kind.
    """
    is_stable = type(value) in _STABLE or isinstance(value, PurePath)
    return printable(text if is_stable else type(value).__name__)


def _is_told(value: Any, text: str) -> bool:
    """Whether no other value that is told by its text has this one."""
    if type(value) is int:
        return _NUMBER.fullmatch(text) is not None and len(text) <= _LONGEST
    if type(value) is not str:
        return False
    if not text:  # a part without a field
        return True
    return _SIMPLE.fullmatch(text) is not None and _NUMBER.fullmatch(text) is None
