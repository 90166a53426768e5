"""What keys are called in Redis, and back.

Everything of this library's begins with ``aiocache_pe``: entries with ``aiocache_pe:``,
then the store key in UTF-8; leases with another prefix, so that no scan meets them and
no listener is told of them.
"""

from __future__ import annotations

import re

ENTRIES = b"aiocache_pe:"
LEASES = b"aiocache_pe~lease:"

_SPECIAL = re.compile(rb"[\\*?\[\]]")


def entry_name(key: str) -> bytes:
    """Where a store key's record is; any text, lone surrogates too, is a name of its own.

    Example:
        >>> entry_name("default:greeting")
        b'aiocache_pe:default:greeting'
    """
    return ENTRIES + key.encode("utf-8", "surrogatepass")


def lease_name(key: str) -> bytes:
    """Where the lease of a store key is."""
    return LEASES + key.encode("utf-8", "surrogatepass")


def store_key(name: bytes) -> str | None:
    """The store key of an entry's name; ``None`` if it is no name of ours."""
    try:
        return name.removeprefix(ENTRIES).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def match(prefix: str) -> bytes:
    r"""The pattern for ``SCAN`` that finds all entries whose key begins with a prefix.

    Example:
        >>> match("what?:")
        b'aiocache_pe:what\\?:*'
    """
    return _SPECIAL.sub(rb"\\\g<0>", entry_name(prefix)) + b"*"
