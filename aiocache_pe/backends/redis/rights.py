"""Rights that a user of a Redis server needs, each with a harmless command that needs it.

The commands change nothing: they concern a name that never exists. `docs/redis.md` lists the same
rights. ``aiocache-pe doctor`` tries all of them, and a refused script is explained by them: its
answer does not always name the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiocache_pe.backends.redis.key_names import (
    ENTRY_PREFIX,
    GENERATION_PREFIX,
    INVALIDATION_PREFIX,
    LEASE_PREFIX,
    PROBE_NAME,
    USAGE_PREFIX,
)

_NO_SCRIPT = "0" * 40  # the digest of no script

BASIC_RIGHTS: Mapping[str, tuple[Any, ...]] = {
    "+get": ("GET", PROBE_NAME),
    "+set": ("SET", PROBE_NAME, "", "XX", "PX", 1),
    "+getrange": ("GETRANGE", PROBE_NAME, 0, 0),
    "+mget": ("MGET", PROBE_NAME),
    "+strlen": ("STRLEN", PROBE_NAME),
    "+pttl": ("PTTL", PROBE_NAME),
    "+pexpire": ("PEXPIRE", PROBE_NAME, 1),
    "+unlink": ("UNLINK", PROBE_NAME),
    "+scan": ("SCAN", 0, "MATCH", "aiocache_pe~none", "COUNT", 1),
    "+eval": ("EVAL", "return 1", 1, PROBE_NAME),
    "+evalsha": ("EVALSHA", _NO_SCRIPT, 1, PROBE_NAME),
    "+time": ("TIME",),
}
"""Rights for all functions."""

NAME_RIGHTS: Mapping[str, tuple[Any, ...]] = {
    f"~{prefix.decode()}*": ("GET", prefix + PROBE_NAME)
    for prefix in (
        *(ENTRY_PREFIX, LEASE_PREFIX, USAGE_PREFIX),
        *(GENERATION_PREFIX, INVALIDATION_PREFIX),
    )
}
"""Names to which the user needs access; all begin with ``aiocache_pe``."""

TIER_RIGHTS: Mapping[str, tuple[Any, ...]] = {
    "+client|tracking": ("CLIENT", "TRACKING", "OFF"),
    "+ping": ("PING",),
}
"""Rights for the memory tier."""

CLUSTER_RIGHTS: Mapping[str, tuple[Any, ...]] = {
    "+cluster|slots": ("CLUSTER", "SLOTS"),
    "+cluster|nodes": ("CLUSTER", "NODES"),
    "+asking": ("ASKING",),
    "+command": ("COMMAND COUNT",),
}
"""Rights for a Cluster."""


def find_right(command: str) -> str:
    """Return the right for the command that a refusal names.

    A server before version 7 does not name the subcommand.

    Example:
        >>> find_right("get"), find_right("client"), find_right("cluster nodes")
        ('+get', '+client|tracking', '+cluster|nodes')
    """
    right = f"+{command.lower().replace(' ', '|')}"
    for known in (*BASIC_RIGHTS, *TIER_RIGHTS, *CLUSTER_RIGHTS):
        if known.startswith(f"{right}|"):
            return known
    return right
