"""Names in Redis for store keys, and back.

All names begin with ``aiocache_pe``. Entries have the prefix ``aiocache_pe:`` and the store key in
UTF-8. Leases and access statistics have other prefixes, so that no scan meets them and no listener
is notified of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from redis.crc import key_slot

ENTRY_PREFIX = b"aiocache_pe:"
LEASE_PREFIX = b"aiocache_pe~lease:"
USAGE_PREFIX = b"aiocache_pe~usage:"
PROBE_NAME = b"aiocache_pe~probe"
"""A name that never exists. Its removal shows that a server accepts changes."""

_HASH_TAG = re.compile(rb"\A[^{]*\{[^}]+\}", re.DOTALL)
_GLOB_CHARACTERS = re.compile(rb"[\\*?\[\]]")


def make_entry_name(key: str) -> bytes:
    """Return the name of an entry; different keys, even with lone surrogates, differ in name.

    Example:
        >>> make_entry_name("default:greeting")
        b'aiocache_pe:default:greeting'
    """
    return ENTRY_PREFIX + key.encode("utf-8", "surrogatepass")


def make_lease_name(key: str) -> bytes:
    """Return the name of a key's lease."""
    return LEASE_PREFIX + key.encode("utf-8", "surrogatepass")


def make_usage_name(name: bytes) -> bytes:
    """Return the name of an entry's access statistics, in the same slot of a Cluster.

    A Cluster hashes the text between a name's first opening brace and the next closing one if there
    is such text, and else the whole name (redis.io, "Redis Cluster Specification", hash tags).

    Args:
        name: the entry's name in Redis.

    Example:
        >>> make_usage_name(b"aiocache_pe:default:k")
        b'aiocache_pe~usage:{aiocache_pe:default:k}'
        >>> make_usage_name(b"aiocache_pe:default:{k}1")
        b'aiocache_pe~usage:aiocache_pe:default:{k}1'
    """
    if b"}" not in name:
        return b"%b{%b}" % (USAGE_PREFIX, name)
    if _HASH_TAG.match(name):
        return USAGE_PREFIX + name
    return b"%b{%b}%b" % (USAGE_PREFIX, _make_slot_tag(key_slot(name)), name)


def parse_store_key(name: bytes) -> str | None:
    """Return the store key of an entry's name; ``None`` if it is not a name of this library."""
    try:
        return name.removeprefix(ENTRY_PREFIX).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def make_scan_pattern(prefix: str) -> bytes:
    r"""Return the ``SCAN`` pattern for all entries under a prefix of store keys.

    Example:
        >>> make_scan_pattern("why?:")
        b'aiocache_pe:why\\?:*'
    """
    return _GLOB_CHARACTERS.sub(rb"\\\g<0>", make_entry_name(prefix)) + b"*"


@lru_cache(maxsize=4096)
def _make_slot_tag(slot: int) -> bytes:
    """Return two bytes that hash to a slot; the checksum of each pair of bytes is different."""
    pairs = (number.to_bytes(2, "big") for number in range(1 << 16))
    return next(pair for pair in pairs if b"}" not in pair and key_slot(pair) == slot)
