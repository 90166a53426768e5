"""The ``cache.json`` of old synchronous cache managers: one JSON object for all entries.

Each key stands for an object with ``value`` and, if they are known, ``created_at`` and
``expires_at``, in seconds since 1970 or as ISO 8601, and ``hit_count``. The object may be
wrapped in another one, as its ``entries``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from aiocache_pe.cli.exits import BadFileError
from aiocache_pe.cli.importing import Bad, Entry
from aiocache_pe.keys.store_keys import check_key

ACCEPTED = (
    'accepted is a JSON object from keys to {"value": ..., "created_at": ..., "expires_at": ..., '
    '"hit_count": ...}, or {"entries": {...}} around it'
)


def read(content: bytes, name: str) -> Iterator[Entry | Bad]:
    """The entries in a file's content, in its order; errors give the file's ``name``.

    Raises:
        BadFileError: it is no such file; the error says what is accepted.
    """
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFileError(f"{name} is not JSON ({error}); {ACCEPTED}") from error
    entries = _unwrapped(whole)
    if entries is None:
        raise BadFileError(f"{name} is JSON, but no such cache; {ACCEPTED}")
    return (_entry(key, described) for key, described in entries.items())


def _unwrapped(whole: Any) -> Mapping[str, Any] | None:
    """The object from keys to entries, if there is one."""
    if not isinstance(whole, dict):
        return None
    inner = whole.get("entries")
    # An entry may have that name, and has a value then.
    if isinstance(inner, dict) and not _is_entry(inner):
        return inner
    return whole if not whole or any(map(_is_entry, whole.values())) else None


def _is_entry(described: Any) -> bool:
    return isinstance(described, dict) and "value" in described


def _entry(key: str, described: Any) -> Entry | Bad:
    if not isinstance(described, dict):
        return Bad(key, f"is no object, but {json.dumps(described):.40}")
    if "value" not in described:
        return Bad(key, 'has no "value"')
    try:
        return Entry(
            check_key(key),
            described["value"],
            _moment("created_at", described.get("created_at")),
            _moment("expires_at", described.get("expires_at")),
            _count(described.get("hit_count")),
        )
    except ValueError as error:
        return Bad(key, str(error))


def _moment(name: str, given: Any) -> float | None:
    """Seconds since the epoch; a text without a zone is local time, as Python writes it."""
    if given is None:
        return None
    if type(given) in (int, float) and _is_moment(given):
        return float(given)
    if type(given) is str:
        try:
            return datetime.fromisoformat(given).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            pass
    told = json.dumps(given)
    raise ValueError(f"{name} is seconds since 1970, ISO 8601 or null, not {told:.40}")


def _is_moment(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int that no float can hold
        return False


def _count(given: Any) -> int:
    if given is None:
        return 0
    if type(given) is not int or not 0 <= given < 2**63:
        raise ValueError(f"hit_count is a number of reads, not {json.dumps(given):.40}")
    return given
