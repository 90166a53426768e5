"""Store keys: how a namespace and a user's key become one string.

A store key is ``area:key``. The area is the namespace, percent-encoded so that it
holds no colon, and for what the library itself keeps beside the entries it has a
suffix that encoding never yields: ``default+tags:``, ``default+stats:``. So two
namespaces can never meet, whatever characters a key holds, and a store needs to know
nothing of namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from aiocache_pe.exceptions import InvalidKeyError

MAX_KEY_LENGTH = 65_536
MAX_NAMESPACE_LENGTH = 200
MAX_TAG_LENGTH = 200
_TAG_SHOWN = 100  # characters of a longer one, before its digest

_LOWER = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_.-")
_BOTH = _LOWER | frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _table(safe: frozenset[int]) -> dict[int, str]:
    return {b: chr(b) if b in safe else f"%{b:02X}" for b in range(256)}


_CODES = {f"{b:02X}": b for b in range(256)}
_TABLES = {False: _table(_LOWER), True: _table(_BOTH)}


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


def check_keys(keys: object) -> list[str]:
    """Several keys, each once, in the order given.

    Raises:
        TypeError: it is one string, or no iterable of strings.
        InvalidKeyError: one of them cannot be stored.
    """
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise TypeError(f"keys are an iterable of str, not {type(keys).__name__}: {keys!r:.80}")
    return list(dict.fromkeys(check_key(key) for key in keys))


def check_mapping(mapping: object) -> None:
    """Check that what is to be stored is a mapping from keys.

    Raises:
        TypeError: it is no mapping, or one of its keys no string.
        InvalidKeyError: one of the keys cannot be stored.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(
            f"a mapping from keys to values is wanted, not {type(mapping).__name__}: "
            f"{mapping!r:.80}"
        )
    for key in mapping:
        check_key(key)


def check_tags(tags: object) -> tuple[str, ...]:
    """Tags, each once and sorted; of one that is long, its beginning and a digest.

    They stand in the head of every entry that carries them. They may be long, for what
    fills a template such as ``"page:{url}"`` is not known before the call.

    Raises:
        TypeError: it is one string, or no iterable of strings.
        InvalidKeyError: one of them is empty.

    Example:
        >>> check_tags(["news", "x" * 1000])[1].partition("~")[2]
        'c9b2bd4ff487864c29fb41fab3e8187e'
    """
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise TypeError(f"tags are an iterable of str, not {type(tags).__name__}: {tags!r:.80}")
    for tag in (found := tuple(tags)):
        if not isinstance(tag, str):
            raise TypeError(f"a tag is a str, not {type(tag).__name__}: {tag!r:.80}")
        if not tag:
            raise InvalidKeyError("tag of 0 characters, at least 1 is accepted")
    return tuple(sorted({tag if len(tag) <= MAX_TAG_LENGTH else _shortened(tag) for tag in found}))


def _shortened(tag: str) -> str:
    digest = blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{tag[:_TAG_SHOWN]}~{digest}"


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


def is_side(key: str) -> bool:
    """Whether a store key is of a side area, and so no entry of a user's.

    Example:
        >>> is_side("search+tags:news"), is_side("search:a+b")
        (True, False)
    """
    return "+" in key.partition(":")[0]


def quote(text: str, *, upper: bool = False) -> str:
    """Percent-encode everything but letters, digits and ``_ . -``.

    Args:
        text: any text; lone surrogates are encoded as the bytes they would have.
        upper: leave upper case as it is. Otherwise it is encoded too, so the result
            differs from every other text's even where case does not count.

    Returns:
        ASCII that is a file name anywhere: neither a leading dot nor a leading hyphen.

    Example:
        >>> quote("User:1")
        '%55ser%3A1'
        >>> quote("User:1", upper=True)
        'User%3A1'
    """
    table = _TABLES[upper]
    if text.isascii():
        out = text.translate(table)
    else:
        out = "".join([table[b] for b in text.encode("utf-8", "surrogatepass")])
    return f"%{ord(out[0]):02X}{out[1:]}" if out[:1] in (".", "-") else out


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
        code = _CODES.get(part[:2])
        if code is None:
            raise ValueError(f"not made by quote: {text!r:.80}")
        raw.append(code)
        raw += part[2:].encode("ascii")
    return raw.decode("utf-8", "surrogatepass")
