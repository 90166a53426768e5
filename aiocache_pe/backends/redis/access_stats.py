"""Access statistics of entries: their hits and last access, stored beside them.

The statistics are a string of their own, because a change of the entry would invalidate the copies
of all its readers. The string is in the entry's slot, so that a script can use both. The script
that adds hits also reads the first bytes of the entry. So the server, which decides about eviction
when its memory is full, learns of hits in the memory tier.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.key_names import make_entry_name, make_usage_name
from aiocache_pe.backends.redis.scripts import ADD_USAGE
from aiocache_pe.exceptions import BackendError


async def add_usage(commands: Commands, usages: Sequence[tuple[str, int, float]]) -> None:
    """Add the hits of several entries, and ignore entries that are not stored.

    Args:
        commands: of the store.
        usages: store keys, each with the hits to add and the last access in seconds since the
            epoch.

    Raises:
        BackendError: the server refuses the script.
        StoreUnavailableError: the server is away.
    """
    calls = [
        (
            ((name := make_entry_name(key)), make_usage_name(name)),
            (b"%d" % hits, repr(last_access).encode()),
        )
        for key, hits, last_access in usages
    ]
    for answer in await commands.run_joined(ADD_USAGE, calls):
        if isinstance(answer, BackendError):
            raise answer


async def get_usage(commands: Commands, key: str) -> tuple[int, float | None]:
    """Return the hits of an entry and its last access in seconds since the epoch.

    Returns:
        Both figures; ``(0, None)`` if the entry is not stored.

    Raises:
        BackendError: the server refuses the script.
        StoreUnavailableError: the server is away.
    """
    name = make_entry_name(key)
    call = ((name, make_usage_name(name)), (b"0", b""))
    [answer] = await commands.run_joined(ADD_USAGE, [call])
    if isinstance(answer, BackendError):
        raise answer
    hits, _, last_access = answer[0].partition(b" ")
    return int(hits or 0), float(last_access) if last_access else None
