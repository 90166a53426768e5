"""How often and when entries were read, kept beside them.

It is a string of its own, for an entry that changes is an entry that its readers may keep
no longer; and in the same slot as its entry, so that a script sees both. Who adds to it also
reads the entry's first bytes: the server, which decides what goes when memory is short,
learns by that of what is read in memory only.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiocache_pe.backends.redis.commands import Commands
from aiocache_pe.backends.redis.key_names import make_entry_name, make_usage_name
from aiocache_pe.backends.redis.scripts import COUNT
from aiocache_pe.exceptions import BackendError

ReadScript = tuple[str, int, float]
"""A store key, hits, and the last of them in seconds since the epoch."""


async def add(commands: Commands, usages: Sequence[ReadScript]) -> None:
    """Add the hits of several entries; those that are not there are passed over.

    Raises:
        BackendError: it is not permitted, or the server is away.
    """
    calls = [
        ((name := make_entry_name(key), make_usage_name(name)), (b"%d" % hits, repr(last).encode()))
        for key, hits, last in usages
    ]
    for answer in await commands.run_together(COUNT, calls):
        if isinstance(answer, BackendError):
            raise answer


async def read(commands: Commands, key: str) -> tuple[int, float | None]:
    """The hits of an entry, and when it was read last; no hits where it is not there.

    Raises:
        BackendError: it is not permitted, or the server is away.
    """
    name = make_entry_name(key)
    [answer] = await commands.run_together(COUNT, [((name, make_usage_name(name)), (b"0", b""))])
    if isinstance(answer, BackendError):
        raise answer
    hits, _, last = answer[0].partition(b" ")
    return int(hits or 0), float(last) if last else None
