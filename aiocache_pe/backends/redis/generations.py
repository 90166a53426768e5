"""Generations of the Redis store: they show whether a change came after a computation began.

An entry has the token of its slot and some bits of its digest, which it shares with other entries.
A change sets a new random token in one step with the entry, and frees its lease. An invalidation by
pattern adds a line to the list of its area, and sets the number of the last line. A computation
reads the token and the number in the command that reads the entry. The script that stores its
result compares both. If there are new lines, the process matches its key against them.

The listener of `client_tracking` also reports changes of tokens and numbers. So a process usually
knows that a computation is outdated, and lets no later caller join it.

Tokens and numbers expire after a day without a change. A token that the server has lost counts as
not raised: otherwise a full server, which evicts, would store no result of a long computation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiocache_pe.backends.redis.client_tracking import TrackedVersion
from aiocache_pe.keys.glob import compile_glob

LIFETIME = 86_400_000
"""Milliseconds for which the server keeps a token after the last change."""


Versioned = tuple[Any, TrackedVersion | None]
"""The value of a name, and the version under which it was read; ``None`` without a listener."""


@dataclass(frozen=True, slots=True)
class RedisGeneration:
    """The generation of a key.

    Attributes:
        token: the token of the entry; ``None`` if the server has none.
        number: the number of the last invalidation in the area; ``None`` if the server has none.
        versions: those of the names of both; empty without a listener.
    """

    token: bytes | None
    number: bytes | None
    versions: Sequence[TrackedVersion] = field(default=(), compare=False)

    @property
    def is_raised(self) -> bool:
        """Return whether the server has reported a change, or may have."""
        return not all(version.is_current for version in self.versions)


def make_generation(token: Versioned, number: Versioned) -> RedisGeneration:
    """Return a generation by the answers for the token and for the last number."""
    (token_value, _), (number_value, _) = token, number
    versions = [version for _, version in (token, number) if version is not None]
    last_number = number_value if isinstance(number_value, bytes) else None
    return RedisGeneration(read_token(token_value), last_number, versions)


def make_token(start: bytes = b"") -> bytes:
    """Return a new token, or the number of an invalidation.

    Args:
        start: the beginning, by which a process recognizes its own tokens; the rest is random.
    """
    return start + os.urandom(8).hex().encode("ascii")


def is_young(life: int, seconds: float) -> bool:
    """Return whether a token or a number was set within the last seconds.

    Args:
        life: its remaining lifetime in milliseconds, as ``PTTL`` returns it; negative without one.
        seconds: the time.
    """
    return life >= 0 and LIFETIME - life <= seconds * 1000


def read_token(value: object) -> bytes | None:
    """Return the token of a generation for a computation; ``None`` if the server has none.

    A computation that begins while a change is in progress has a token that never matches.
    """
    if not isinstance(value, bytes):
        return None
    return b"?" if value.startswith(b"!") else value


def make_invalidation(number: bytes, pattern: str) -> bytes:
    """Return the line of an invalidation."""
    return b"%b %b\n" % (number, json.dumps(pattern).encode("ascii"))


def find_last_number(lines: bytes, rest: str, number: bytes | None) -> bytes | None:
    """Return the number of the last invalidation if none of the new ones concerns a key.

    Args:
        lines: the list of invalidations.
        rest: the key without its area.
        number: the last number that its computation has seen.

    Returns:
        The number; ``None`` if the key was invalidated, or may have been.
    """
    numbers = [line.partition(b" ")[0] for line in lines.splitlines()]
    if number is not None and number not in numbers:
        return None
    new_lines = lines.splitlines()[numbers.index(number) + 1 if number is not None else 0 :]
    try:
        for line in new_lines:
            matches = compile_glob(json.loads(line.partition(b" ")[2]))
            if matches is None or matches(rest):
                return None
    except (ValueError, TypeError):  # a damaged line may concern every key
        return None
    return numbers[-1] if numbers else None
