"""Store keys: how a namespace and a user's key become one string.

A store key is ``area:key``. The area is the namespace, percent-encoded so that it
holds no colon, and for what the library itself keeps beside the entries it has a
suffix that encoding never yields: ``default+tags:``, ``default+stats:``. So two
namespaces can never meet, whatever characters a key holds, and a store needs to know
nothing of namespaces.
"""

from __future__ import annotations

import re

from aiocache_pe.exceptions import InvalidKeyError

MAX_KEY_LENGTH = 65_536
MAX_NAMESPACE_LENGTH = 200

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]*").fullmatch
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_.-")


def check_key(key: object) -> str:
    """The key itself, if it is one that can be stored.

    Raises:
        TypeError: it is not a string.
        InvalidKeyError: it is longer than 65,536 characters.
    """
    if not isinstance(key, str):
        raise TypeError(
            f"a key is a str, not {type(key).__name__}: {key!r:.80}; "
            "make_cache_key() makes one of any arguments"
        )
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidKeyError(
            f"key of {len(key)} characters, at most {MAX_KEY_LENGTH} are accepted; "
            "make_cache_key() makes a short one of any text"
        )
    return key


def namespace_prefix(namespace: object) -> str:
    """The prefix of all store keys of a namespace's entries, colon included.

    Raises:
        TypeError: it is not a string.
        InvalidKeyError: it is empty, or longer than 200 characters.

    Example:
        >>> namespace_prefix("search")
        'search:'
        >>> namespace_prefix("a:b")
        'a%3Ab:'
    """
    if not isinstance(namespace, str):
        raise TypeError(f"a namespace is a str, not {type(namespace).__name__}: {namespace!r:.80}")
    if not 0 < len(namespace) <= MAX_NAMESPACE_LENGTH:
        raise InvalidKeyError(
            f"namespace of {len(namespace)} characters, 1 to {MAX_NAMESPACE_LENGTH} are accepted"
        )
    return quote(namespace) + ":"


def side_area(prefix: str, name: str) -> str:
    """The prefix of what the library keeps beside the entries under ``prefix``.

    Example:
        >>> side_area("search:", "tags")
        'search+tags:'
    """
    return f"{prefix[:-1]}+{name}:"


def quote(text: str) -> str:
    """Percent-encode everything but lower-case letters, digits and ``_ . -``.

    Upper case is encoded too, and so is a leading dot or hyphen, so the result can be a
    file name anywhere, and differs from every other text's also where case does not
    count. Lone surrogates are encoded as the bytes they would have.

    Example:
        >>> quote("User:1")
        '%55ser%3A1'
    """
    if _PLAIN(text):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    out = [chr(b) if b in _SAFE else f"%{b:02X}" for b in raw]
    if out and out[0] in ".-":
        out[0] = f"%{raw[0]:02X}"
    return "".join(out)


def unquote(text: str) -> str:
    """What was given to `quote`.

    Raises:
        ValueError: `quote` did not make this.
    """
    if "%" not in text:
        return text
    head, *rest = text.split("%")
    raw = bytearray(head.encode("ascii"))
    for part in rest:
        raw.append(int(part[:2], 16))
        raw += part[2:].encode("ascii")
    return raw.decode("utf-8", "surrogatepass")
