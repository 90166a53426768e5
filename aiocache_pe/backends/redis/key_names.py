"""What keys are called in Redis, and back.

Everything of this library's begins with ``aiocache_pe``: entries with ``aiocache_pe:``,
then the store key in UTF-8; leases and usage with other prefixes, so that no scan meets
them and no listener is told of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from redis.crc import key_slot

ENTRIES = b"aiocache_pe:"
LEASES = b"aiocache_pe~lease:"
USAGE = b"aiocache_pe~usage:"

_HASH_TAG = re.compile(rb"\A[^{]*\{[^}]+\}", re.DOTALL)
_SPECIAL = re.compile(rb"[\\*?\[\]]")


def make_entry_name(key: str) -> bytes:
    """Where a store key's record is; any text, lone surrogates too, is a name of its own.

    Example:
        >>> make_entry_name("default:greeting")
        b'aiocache_pe:default:greeting'
    """
    return ENTRIES + key.encode("utf-8", "surrogatepass")


def make_lease_name(key: str) -> bytes:
    """Where the lease of a store key is."""
    return LEASES + key.encode("utf-8", "surrogatepass")


def make_usage_name(name: bytes) -> bytes:
    """Where the usage of the entry of that name is: in the same slot of a Cluster.

    What a Cluster hashes is the text between a name's first brace and the next closing one,
    if there is any, else all of it (redis.io, "Redis Cluster Specification", hash tags).

    Example:
        >>> make_usage_name(b"aiocache_pe:default:k")
        b'aiocache_pe~usage:{aiocache_pe:default:k}'
        >>> make_usage_name(b"aiocache_pe:default:{k}1")
        b'aiocache_pe~usage:aiocache_pe:default:{k}1'
    """
    if b"}" not in name:
        return b"%b{%b}" % (USAGE, name)
    if _HASH_TAG.match(name):
        return USAGE + name
    return b"%b{%b}%b" % (USAGE, _tag(key_slot(name)), name)


def parse_store_key(name: bytes) -> str | None:
    """The store key of an entry's name; ``None`` if it is no name of ours."""
    try:
        return name.removeprefix(ENTRIES).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def make_match(prefix: str) -> bytes:
    r"""The pattern for ``SCAN`` that finds all entries whose key begins with a prefix.

    Example:
        >>> match("what?:")
        b'aiocache_pe:what\\?:*'
    """
    return _SPECIAL.sub(rb"\\\g<0>", make_entry_name(prefix)) + b"*"


@lru_cache(maxsize=4096)
def _tag(slot: int) -> bytes:
    """Two bytes that lie in a slot; the checksum gives each pair of bytes another value."""
    pairs = (number.to_bytes(2, "big") for number in range(1 << 16))
    return next(pair for pair in pairs if b"}" not in pair and key_slot(pair) == slot)
