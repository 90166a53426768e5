"""Names in Redis for store keys, and back.

All names begin with ``aiocache_pe``. Entries have the prefix ``aiocache_pe:`` and the store key in
UTF-8. Leases, generations and access statistics have other prefixes, so that no listing meets them.
Listeners are not notified of leases and statistics. The names of an entry share its Cluster slot.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from zlib import crc32

from redis.crc import key_slot

from aiocache_pe.keys.glob import compile_glob

ENTRY_PREFIX = b"aiocache_pe:"
LEASE_PREFIX = b"aiocache_pe~lease:"
USAGE_PREFIX = b"aiocache_pe~usage:"
PROBE_NAME = b"aiocache_pe~probe"
"""A name that never exists. Its removal shows that a server accepts changes."""
GENERATION_PREFIX = b"aiocache_pe~generation:"
INVALIDATION_PREFIX = b"aiocache_pe~invalidation:"

_HASH_TAG = re.compile(rb"\A[^{]*\{[^}]+\}", re.DOTALL)
_GLOB_CHARACTERS = re.compile(rb"[\\*?\[\]]")


def make_entry_name(key: str) -> bytes:
    """Return the name of an entry; different keys, even with lone surrogates, differ in name.

    Example:
        >>> make_entry_name("default:greeting")
        b'aiocache_pe:default:greeting'
    """
    return ENTRY_PREFIX + key.encode("utf-8", "surrogatepass")


def make_lease_name(name: bytes) -> bytes:
    """Return the name of the lease of an entry, by the entry's name in Redis."""
    return _make_name_in_slot(LEASE_PREFIX, name)


def list_names(name: bytes) -> list[bytes]:
    """Return the names of an entry, its access statistics, its generation and its lease."""
    return [name, make_usage_name(name), make_generation_name(name), make_lease_name(name)]


def parse_lease_name(name: bytes) -> bytes:
    """Return the name of an entry by the name of its lease.

    Example:
        >>> parse_lease_name(make_lease_name(b"aiocache_pe:default:{}"))
        b'aiocache_pe:default:{}'
    """
    rest = name.removeprefix(LEASE_PREFIX)
    if not rest.startswith(b"{"):
        return rest
    return rest[4:] if rest[3:4] == b"}" else rest[1:-1]


def make_generation_name(name: bytes) -> bytes:
    """Return the name of the generation of an entry, which it shares with some other entries.

    There are 65,536 generations, four for each slot of a Cluster.

    Args:
        name: the entry's name in Redis.
    """
    return b"%b{%b}%d" % (GENERATION_PREFIX, _make_slot_tag(key_slot(name)), crc32(name) & 3)


def make_invalidation_names(prefix: str) -> tuple[bytes, bytes]:
    """Return two names in one slot: of the number of the last invalidation, and of the list.

    Args:
        prefix: an area with its colon.
    """
    name = b"%b{%b}" % (INVALIDATION_PREFIX, prefix.encode("utf-8", "surrogatepass"))
    return name, name + b"list"


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
    return _make_name_in_slot(USAGE_PREFIX, name)


def make_probe_name(slot: int) -> bytes:
    """Return a name in a slot of a Cluster that never exists."""
    return b"%b{%b}" % (PROBE_NAME, _make_slot_tag(slot))


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


def make_wide_scan_pattern(prefix: str) -> bytes:
    r"""Return a ``SCAN`` pattern for the entries under a prefix and their leases.

    Some other names of the library match as well.

    Example:
        >>> make_wide_scan_pattern("why?:")
        b'aiocache_pe*:why\\?:*'
    """
    return make_scan_pattern(prefix).replace(ENTRY_PREFIX, ENTRY_PREFIX[:-1] + b"*:", 1)


def make_name_filter(prefix: str, pattern: str | None) -> Callable[[bytes], bool]:
    """Return a function that selects the names of matching entries; see `Backend.scan`."""
    start, matches = make_entry_name(prefix), compile_glob(pattern)

    def is_chosen(name: bytes) -> bool:
        key = parse_store_key(name) if name.startswith(start) else None
        return key is not None and (matches is None or bool(matches(key[len(prefix) :])))

    return is_chosen


def _make_name_in_slot(prefix: bytes, name: bytes) -> bytes:
    if b"}" not in name:
        return b"%b{%b}" % (prefix, name)
    if _HASH_TAG.match(name):
        return prefix + name
    return b"%b{%b}%b" % (prefix, _make_slot_tag(key_slot(name)), name)


@lru_cache(maxsize=1 << 14)
def _make_slot_tag(slot: int) -> bytes:
    """Return two bytes that hash to a slot.

    The slot is the lower 14 bits of the bytes' checksum, CRC-16 with the polynomial 0x1021. Each
    checksum has one pair of bytes, which the steps of the checksum in reverse order return.
    """
    for checksum in range(slot, 1 << 16, 1 << 14):
        register = checksum
        for _ in range(16):
            register = (register >> 1) ^ (0x8810 if register & 1 else 0)
        pair = register.to_bytes(2, "big")
        if b"}" not in pair:
            return pair
    raise AssertionError(f"no pair of bytes hashes to slot {slot}")
