"""Store keys: how a namespace and a user's key become one string.

A store key is ``area:key``. The area is the namespace, percent-encoded so that it holds no
colon. The library's internal data beside the entries has an area with a suffix that the encoding
never yields: ``default+tags:``, ``default+stats:``. Two namespaces can therefore never share
a store key, whatever characters a key holds, and a store needs no notion of namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from aiocache_pe.exceptions import InvalidKeyError

MAX_KEY_LENGTH = 65_536
MAX_NAMESPACE_LENGTH = 200
MAX_TAG_LENGTH = 200
_TAG_LABEL_LENGTH = 100  # characters of a longer tag in front of its digest


def check_key(key: object) -> str:
    """Return the key, if it can be stored."""
    if not isinstance(key, str):
        raise TypeError(
            f"key must be a str; got {describe(key)}; make_cache_key() makes a key of any arguments"
        )
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidKeyError(
            f"key must have at most {MAX_KEY_LENGTH} characters; got {len(key)}; "
            "make_cache_key() makes a short key of any text"
        )
    return key


def check_keys(keys: object) -> list[str]:
    """Return keys that can be stored, without duplicates, in the given order."""
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise TypeError(f"keys must be an iterable of str; got {describe(keys)}")
    return list(dict.fromkeys(check_key(key) for key in keys))


def check_mapping(mapping: object) -> None:
    """Check that an object is a mapping from keys that can be stored."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"mapping must be a mapping from keys to values; got {describe(mapping)}")
    for key in mapping:
        check_key(key)


def check_tags(tags: object) -> tuple[str, ...]:
    """Return tags sorted and without duplicates; a long tag is replaced by a digest.

    The head of every entry holds the entry's tags. A tag may be long because a template such
    as ``"page:{url}"`` is filled only at the call.

    Example:
        >>> check_tags(["news", "x" * 1000])[1].partition("~")[2]
        'c9b2bd4ff487864c29fb41fab3e8187e'
    """
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        advice = f"; write [{tags!r:.80}]" if isinstance(tags, str) else ""
        raise TypeError(f"tags must be an iterable of str; got {describe(tags)}{advice}")
    found = tuple(tags)
    for tag in found:
        if not isinstance(tag, str):
            raise TypeError(f"tag must be a str; got {describe(tag)}")
        if not tag:
            raise InvalidKeyError("tag must have at least 1 character; got ''")
    return tuple(sorted({tag if len(tag) <= MAX_TAG_LENGTH else _shorten(tag) for tag in found}))


def _shorten(tag: str) -> str:
    digest = blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{tag[:_TAG_LABEL_LENGTH]}~{digest}"


def describe(value: object) -> str:
    """Return the type and the beginning of a value, for an error message."""
    return f"{type(value).__name__}: {value!r:.80}"


def make_namespace_prefix(namespace: object) -> str:
    """Return the prefix of all store keys of a namespace's entries, colon included.

    Example:
        >>> make_namespace_prefix("search"), make_namespace_prefix("a:b")
        ('search:', 'a%3Ab:')
    """
    if not isinstance(namespace, str):
        raise TypeError(f"namespace must be a str; got {describe(namespace)}")
    if not 0 < len(namespace) <= MAX_NAMESPACE_LENGTH:
        raise InvalidKeyError(
            f"namespace must have 1 to {MAX_NAMESPACE_LENGTH} characters; got {len(namespace)}"
        )
    return quote(namespace) + ":"


def make_internal_prefix(prefix: str, name: str) -> str:
    """Return the prefix of the library's internal data, such as ``search+tags:``."""
    return f"{prefix[:-1]}+{name}:"


def is_internal_key(key: str) -> bool:
    """Return whether a store key holds the library's internal data, and no entry of a user.

    Example:
        >>> is_internal_key("search+tags:news"), is_internal_key("search:a+b")
        (True, False)
    """
    return "+" in key.partition(":")[0]


_LOWER = b"abcdefghijklmnopqrstuvwxyz0123456789_.-"
_TABLES = {
    False: {b: chr(b) if b in _LOWER else f"%{b:02X}" for b in range(256)},
    True: {b: chr(b) if b in _LOWER + _LOWER.upper() else f"%{b:02X}" for b in range(256)},
}
_CODES = {f"{b:02X}": b for b in range(256)}


def quote(text: str, *, upper: bool = False) -> str:
    """Percent-encode everything but letters, digits and ``_ . -``.

    Lone surrogates are encoded as the bytes they would have. Upper-case letters are encoded too
    unless ``upper`` is given, so that two results differ even where case is ignored. The result is
    a file name on every system, without a leading dot or hyphen.

    Example:
        >>> quote("User:1"), quote("User:1", upper=True)
        ('%55ser%3A1', 'User%3A1')
    """
    table = _TABLES[upper]
    if text.isascii():
        out = text.translate(table)
    else:
        out = "".join([table[b] for b in text.encode("utf-8", "surrogatepass")])
    return f"%{ord(out[0]):02X}{out[1:]}" if out[:1] in (".", "-") else out


def unquote(text: str) -> str:
    """Return the text that `quote` encoded; raise `ValueError` for any other text."""
    if "%" not in text:
        return text
    head, *rest = text.split("%")
    raw = bytearray(head.encode("ascii"))
    for part in rest:
        code = _CODES.get(part[:2])
        if code is None:
            raise ValueError(f"text must be a result of quote(); got {text!r:.80}")
        raw.append(code)
        raw += part[2:].encode("ascii")
    return raw.decode("utf-8", "surrogatepass")
